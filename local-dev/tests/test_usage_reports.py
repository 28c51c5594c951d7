"""Nothing tells its makers how it is used: what does so unless it is told not to is told, wherever Compose starts it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = sorted(REPOSITORY.glob("*/docker-compose*.yml"))
GRAFANA = {
    *("GF_ANALYTICS_REPORTING_ENABLED=false", "GF_ANALYTICS_CHECK_FOR_UPDATES=false"),
    *("GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES=false", "GF_NEWS_NEWS_FEED_ENABLED=false"),
    *("GF_PLUGINS_PLUGIN_ADMIN_ENABLED=false", "GF_PLUGINS_PREINSTALL_DISABLED=true"),
    *("GF_PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED=true", "GF_SECURITY_DISABLE_GRAVATAR=true"),
    "GF_SNAPSHOTS_EXTERNAL_ENABLED=false",
}
SILENT = {"nginx", "nginx/nginx-prometheus-exporter", "pgvector/pgvector", "postgres", "prom/prometheus", "redis"}
"""Images that report nothing. One that is new here has to be looked up."""


class _ComposeLoader(yaml.SafeLoader):
    """Takes Compose's `!override` and `!reset` for what they are put before."""


for _tag in ("!override", "!reset"):
    _ComposeLoader.add_constructor(_tag, lambda loader, node: loader.construct_sequence(node, deep=True))


def started() -> list[Any]:
    """Return every container of an image that is not ours, of every compose file."""
    return list(_started())


def _started() -> Iterator[Any]:
    for path in FILES:
        for name, one in yaml.load(path.read_text(), _ComposeLoader)["services"].items():
            if "image" in one and not one["image"].startswith("cloudcix/"):
                yield pytest.param(one, id=f"{path.parent.name}-{name}")


def words(container: dict[str, Any]) -> list[str]:
    command = container["command"]
    return command.split() if isinstance(command, str) else command


def configuration(container: dict[str, Any]) -> Any:
    """Return the configuration that a container's command names, from the file that is mounted there."""
    (target,) = re.findall(r"-config\.file=(\S+)", " ".join(words(container)))
    (source,) = (volume.split(":")[0] for volume in container["volumes"] if f":{target}:" in volume)
    return yaml.safe_load((REPOSITORY / "local-dev" / source).read_text())


def is_silent(container: dict[str, Any]) -> bool:
    image = container["image"].partition(":")[0]
    if image == "grafana/alloy":
        return "--disable-reporting" in words(container)
    if image == "grafana/pyroscope":
        return "-usage-stats.enabled=false" in words(container)
    if image == "grafana/loki":
        return configuration(container)["analytics"] == {"reporting_enabled": False}
    if image == "grafana/tempo":
        return configuration(container)["usage_report"] == {"reporting_enabled": False}
    if image == "grafana/grafana":
        return set(container["environment"]) >= GRAFANA
    return image in SILENT


@pytest.mark.parametrize("container", started())
def test_a_container_reports_nothing_of_its_use(container: dict[str, Any]) -> None:
    assert is_silent(container), container["image"]


def test_every_compose_file_that_starts_something_was_looked_at() -> None:
    looked_at = {one.id.rpartition("-")[2] for one in started()}
    assert {"alloy", "loki", "tempo", "prometheus", "pyroscope", "grafana", "nginx"} <= looked_at
    assert sum(one.id.endswith("-alloy") for one in started()) == 6
