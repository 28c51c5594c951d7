"""Gauges of what all processes share, a queue or a table: read when somebody scrapes, and kept nowhere.

A gauge of a process stays in its file at the last value that it was given. What is read here has no last value: when its
store does not answer, its series are gone.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ml_shared.deadlines import within

logger = logging.getLogger(__name__)

READ_TIMEOUT_SECONDS: Final = 1.0
# far below a scrape's own limit
KEPT_SECONDS: Final = 5.0
# several scrapers must not become load


class Reading:
    """A gauge that is read.

    Parameters
    ----------
    name, documentation, labels
        As a `prometheus_client.Gauge` takes them; labels of few values.
    """

    declared: Final[dict[str, "Reading"]] = {}

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...] = ()) -> None:
        self.name = name
        self.documentation = documentation
        self.labels = labels
        self.declared[name] = self


Values = Mapping[Reading, Mapping[tuple[str, ...], float]]
"""The values of some readings, by their labels' values."""
Read = Callable[[], Coroutine[Any, Any, Values]]


class _Source:
    def __init__(self, read: Read, kept_seconds: float) -> None:
        self._read = read
        self._kept_seconds = kept_seconds
        self._values: Values = {}
        self._until = 0.0
        self._failing = False
        self._turn = asyncio.Lock()

    async def values(self) -> Values:
        async with self._turn:
            if time.monotonic() < self._until:
                return self._values
            try:
                self._values = await within(READ_TIMEOUT_SECONDS, self._read())
            except Exception as error:  # noqa: BLE001 - whatever a driver raises, the other metrics are to be scraped
                if not self._failing:
                    logger.warning("some metrics can't be read", extra={"error": f"{type(error).__name__}: {error}"})
                self._values, self._failing = {}, True
            else:
                self._failing = False
            self._until = time.monotonic() + self._kept_seconds
            return self._values


class Readings:
    """What one application reads for its `/metrics`: `app.state.readings`."""

    def __init__(self) -> None:
        self._sources: list[_Source] = []

    def add(self, read: Read, *, kept_seconds: float = KEPT_SECONDS) -> None:
        """Read something at each scrape.

        Parameters
        ----------
        read
            Returns what it read; it has a second. When it raises, its series are left out.
        kept_seconds
            Scrapes that come sooner are answered with the same values.
        """
        self._sources.append(_Source(read, kept_seconds))

    async def render(self) -> bytes:
        """Return the values in Prometheus' text format."""
        found = await asyncio.gather(*(source.values() for source in self._sources))
        registry = CollectorRegistry()
        registry.register(_Families([values for values in found if values]))
        return generate_latest(registry)


class _Families(Collector):
    def __init__(self, found: list[Values]) -> None:
        self._found = found

    def collect(self) -> Iterator[Any]:
        for values in self._found:
            for reading, series in values.items():
                family = GaugeMetricFamily(reading.name, reading.documentation, labels=reading.labels)
                for labels, value in series.items():
                    family.add_metric(labels, value)
                yield family
