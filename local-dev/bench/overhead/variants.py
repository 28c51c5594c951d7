"""The applications that are compared: one route, with more and more of what a service of ours puts around it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
OFF: Final = MappingProxyType({"OTEL_SDK_DISABLED": "true"})
SAMPLED: Final = MappingProxyType({"OTEL_TRACES_SAMPLER_ARG": "0.1"})


@dataclass(frozen=True)
class Variant:
    """One application.

    Attributes
    ----------
    name
        As the table shows it.
    base
        The variant that this one adds something to, or does otherwise; its cost is told against that one.
    key, limits, telemetry, service
        Whether it checks a key, limits, traces, and has what else a service has: ids, metrics, problem documents, a
        limit on bodies, an audit line.
    builtin_spans
        Whether FastAPI's own spans take the place of `FastAPIInstrumentor`'s.
    env
        Variables of its process.
    """

    name: str
    base: str | None = None
    key: bool = False
    limits: bool = False
    telemetry: bool = False
    service: bool = False
    builtin_spans: bool = False
    env: Mapping[str, str] = field(default_factory=lambda: NOTHING)


BARE: Final = "bare"
EVERYTHING: Final = "+ the rest of a service"
IN_PRODUCTION: Final = "… a tenth of the traces"
DISABLED: Final = "… OTEL_SDK_DISABLED"
VARIANTS: Final = (
    Variant(BARE),
    Variant("+ auth from cache", BARE, key=True),
    Variant("+ limits", "+ auth from cache", key=True, limits=True),
    Variant("+ telemetry", "+ limits", key=True, limits=True, telemetry=True),
    Variant(EVERYTHING, "+ telemetry", key=True, limits=True, telemetry=True, service=True),
    Variant(IN_PRODUCTION, EVERYTHING, True, True, True, True, env=SAMPLED),
    Variant("… with FastAPI's spans", EVERYTHING, True, True, True, True, builtin_spans=True),
    Variant(DISABLED, EVERYTHING, True, True, True, True, env=OFF),
)
BY_NAME: Final = MappingProxyType({variant.name: variant for variant in VARIANTS})
