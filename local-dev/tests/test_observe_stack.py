"""The observability stack of a laptop: what its files say to each other, and that Compose takes them with every stack."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

from ml_shared.telemetry.profiling import tie_profiles_to_spans

REPOSITORY = Path(__file__).resolve().parents[2]
LOCAL_DEV = REPOSITORY / "local-dev"
OBSERVE = LOCAL_DEV / "observe"
STACKS = ("orchestrator", "scraper", "chunking", "embedding", "gateway-vm")
ALL = {"alloy", "loki", "tempo", "prometheus", "pyroscope", "grafana"}
# whose data a restart must not lose, and where their images keep it
KEPT_IN = {
    "alloy": "/var/lib/alloy/data",
    "loki": "/loki",
    "tempo": "/var/tempo",
    "prometheus": "/prometheus",
    "pyroscope": "/data",
    "grafana": "/var/lib/grafana",
}


class _ComposeLoader(yaml.SafeLoader):
    """Takes Compose's `!override` for what it is put before."""


_ComposeLoader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node, deep=True))


def containers() -> dict[str, dict[str, Any]]:
    text = (LOCAL_DEV / "docker-compose.observe.yml").read_text()
    found: dict[str, dict[str, Any]] = yaml.load(text, _ComposeLoader)["services"]
    return found


def datasources() -> dict[str, dict[str, Any]]:
    """Return the data sources by type, as Grafana reads them: `$$` is a `$`."""
    text = (OBSERVE / "grafana-provisioning" / "datasources" / "datasources.yaml").read_text()
    found = yaml.safe_load(text.replace("$$", "$"))["datasources"]
    return {source["type"]: source for source in found}


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(part)


def configuration(name: str) -> Any:
    return yaml.safe_load((OBSERVE / name).read_text())


def test_every_container_is_checked_and_waited_for_until_it_is_ready() -> None:
    assert set(containers()) == ALL
    for name, one in containers().items():
        assert one["healthcheck"]["test"], name
        assert one["healthcheck"]["retries"] * int(one["healthcheck"]["interval"].removesuffix("s")) >= 120
        assert {how["condition"] for how in one.get("depends_on", {}).values()} <= {"service_healthy"}
    stores = ALL - {"alloy", "grafana"}
    assert set(containers()["grafana"]["depends_on"]) == set(containers()["alloy"]["depends_on"]) == stores


def test_nothing_is_published_beyond_this_machine() -> None:
    published = [port for one in containers().values() for port in one["ports"]]
    assert all(re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z_]+:-(\d+)\}:\1", port) for port in published), published
    numbers = [int(port.rpartition(":")[2]) for port in published]
    # those of the specification, and Alloy's own page
    assert sorted(numbers) == [3000, 3100, 3200, 4040, 4100, 4317, 9090, 12345]


def test_what_each_store_keeps_is_on_a_volume_and_for_days_only() -> None:
    for name, folder in KEPT_IN.items():
        (volume,) = (one for one in containers()[name]["volumes"] if one.endswith(f":{folder}"))
        assert volume.startswith(f"{name}_data:")
    loki, tempo = configuration("loki-local.yaml"), configuration("tempo-local.yaml")
    assert loki["limits_config"]["retention_period"] == "72h"
    assert loki["compactor"]["retention_enabled"]
    assert loki["compactor"]["delete_request_store"] == "filesystem"
    assert tempo["overrides"]["defaults"]["compaction"]["block_retention"] == "48h"
    assert configuration("prometheus.yml")["storage"]["tsdb"]["retention"] == {"time": "72h", "size": "2GB"}
    # the flags are deprecated, and which of the two holds is nothing to have to know
    assert [word for word in containers()["prometheus"]["command"] if "retention" in word] == []


def test_every_file_that_is_mounted_is_there_and_named_from_a_siblings_folder() -> None:
    for one in containers().values():
        for volume in one["volumes"]:
            source = volume.partition(":")[0]
            if "/" in source and not source.startswith("/"):
                assert source.startswith("../local-dev/observe/")
                assert (LOCAL_DEV / source).exists()


def test_each_data_source_has_a_uid_and_links_name_those_only() -> None:
    sources = datasources()
    uids = {source["uid"] for source in sources.values()}
    assert uids == {"prometheus", "loki", "tempo", "pyroscope"}
    named = {value for source in sources.values() for key, value in walk(source) if key == "datasourceUid"}
    assert named == uids
    for source in sources.values():
        host, port = re.fullmatch(r"http://(\w+):(\d+)", source["url"]).groups()  # type: ignore[union-attr]
        assert any(published.endswith(f":{port}") for published in containers()[host]["ports"])


def test_a_span_leads_to_its_logs_its_profile_and_its_services_metrics() -> None:
    links = datasources()["tempo"]["jsonData"]
    logs = links["tracesToLogsV2"]
    assert (logs["datasourceUid"], logs["customQuery"]) == ("loki", True)
    # stages of Alloy: `service` is a label of every line, `trace_id` structured metadata
    assert logs["query"] == '{service=~".+"} | trace_id = "${__trace.traceId}"'
    profile = links["tracesToProfiles"]
    assert profile["datasourceUid"] == "pyroscope"
    assert profile["tags"] == [{"key": "service.name", "value": "service_name"}]
    metrics = links["tracesToMetrics"]
    assert metrics["datasourceUid"] == "prometheus"
    assert metrics["tags"] == [{"key": "service.name", "value": "service"}]
    assert all("{$__tags" in query["query"] for query in metrics["queries"])


def test_a_log_line_and_an_exemplar_lead_to_their_trace() -> None:
    (field,) = datasources()["loki"]["jsonData"]["derivedFields"]
    assert (field["matcherType"], field["matcherRegex"], field["datasourceUid"]) == ("label", "trace_id", "tempo")
    assert field["url"] == "${__value.raw}"
    (exemplar,) = datasources()["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplar["datasourceUid"] == "tempo"
    # Tempo makes the exemplars; Prometheus takes and keeps them
    tempo = configuration("tempo-local.yaml")
    generator = tempo["overrides"]["defaults"]["metrics_generator"]
    assert generator["trace_id_label_name"] == exemplar["name"]
    assert set(generator["processors"]) == {"service-graphs", "span-metrics"}
    (written,) = tempo["metrics_generator"]["storage"]["remote_write"]
    assert written == {"url": "http://prometheus:9090/api/v1/write", "send_exemplars": True}
    command = containers()["prometheus"]["command"]
    assert {"--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage"} <= set(command)
    assert configuration("loki-local.yaml")["limits_config"]["allow_structured_metadata"] is True


def test_a_workers_span_names_its_profile_as_grafana_looks_for_it() -> None:
    pytest.importorskip("pyroscope.otel", reason="pyroscope-otel has no build for this platform")
    provider = TracerProvider()
    tie_profiles_to_spans(provider)
    with provider.get_tracer("test").start_as_current_span("task") as span:
        assert isinstance(span, ReadableSpan)
        assert dict(span.attributes or {}) == {"pyroscope.profile.id": f"{span.get_span_context().span_id:016x}"}


def test_alloy_sends_where_the_stack_listens() -> None:
    alloy = (OBSERVE / "alloy-local.alloy").read_text()
    tempo = configuration("tempo-local.yaml")["distributor"]["receivers"]["otlp"]["protocols"]
    assert f"http://tempo:{tempo['http']['endpoint'].rpartition(':')[2]}" in alloy
    assert "-server.http-listen-port=4100" in containers()["pyroscope"]["command"]
    for url in ("http://pyroscope:4100", "http://prometheus:9090/api/v1/write", "http://loki:3100/loki/api/v1/push"):
        assert f'"{url}"' in alloy


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stacks' compose files with an `.env` each, beside local-dev."""
    docker = shutil.which("docker")
    version = docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    if not version or version.returncode:
        pytest.skip("no `docker compose` here: install Docker with its compose plugin")
    folder = tmp_path_factory.mktemp("stacks")
    (folder / "local-dev").symlink_to(LOCAL_DEV)
    for stack in STACKS:
        (folder / stack).mkdir()
        shutil.copy(REPOSITORY / stack / "docker-compose.yml", folder / stack)
        example = (REPOSITORY / stack / ".env.example").read_text()
        (folder / stack / "alloy").mkdir()
        (folder / stack / "alloy" / "alloy.env").write_text("LGTM_BEARER_TOKEN=of-the-cluster\n")
        (folder / stack / ".env").write_text(re.sub(r"<[^>\n]+>", "filled", example))
    return folder


def config(folder: Path, *files: str) -> dict[str, Any]:
    chosen = [word for file in files for word in ("-f", file)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
    command = ["docker", "compose", *chosen, "config"]
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = yaml.safe_load(done.stdout)
    return found


@pytest.mark.parametrize("stack", STACKS)
def test_dev_full_is_a_stack_whose_alloy_is_the_laptops(stacks: Path, stack: str) -> None:
    alone = config(stacks / stack, "docker-compose.yml")["services"]
    both = config(stacks / stack, "docker-compose.yml", "../local-dev/docker-compose.observe.yml")["services"]
    assert set(both) == set(alone) | ALL
    alloy = both["alloy"]
    mounts = {volume["target"]: volume["source"] for volume in alloy["volumes"]}
    assert mounts["/etc/alloy/config.alloy"].endswith("/local-dev/observe/alloy-local.alloy")
    # the stack's own are replaced: published twice, they would clash
    published = [(port["target"], port["published"], port["host_ip"]) for port in alloy["ports"]]
    assert published == [(port, str(port), "127.0.0.1") for port in (4317, 4040, 12345)]
    # what it is told of the stack stays: where the stores are
    told = alone["alloy"]["environment"]
    # but not the cluster's credentials
    assert told.pop("LGTM_BEARER_TOKEN") == "of-the-cluster"
    del told["GOMEMLIMIT"]  # the laptop's is lower
    assert "LGTM_BEARER_TOKEN" not in alloy["environment"]
    assert told.items() <= alloy["environment"].items()
    assert alloy["environment"]["COMPOSE_PROJECT_NAME"] == stack


def test_obs_is_the_stack_alone(stacks: Path) -> None:
    found = config(stacks / "local-dev", "../local-dev/docker-compose.observe.yml")
    assert set(found["services"]) == ALL
    assert found["name"] == "local-dev"
    for service in found["services"].values():
        assert all(port["host_ip"] == "127.0.0.1" for port in service["ports"])


@pytest.mark.parametrize("stack", STACKS)
def test_dev_observed_is_a_stack_with_its_own_alloy_that_sends_to_obs(stacks: Path, stack: str) -> None:
    found = config(stacks / stack, "docker-compose.yml", "../local-dev/docker-compose.observed.yml")
    alloy = found["services"]["alloy"]
    mounts = {volume["target"]: volume["source"] for volume in alloy["volumes"]}
    assert mounts["/etc/alloy/config.alloy"].endswith(f"/{stack}/alloy/config.alloy")
    assert "ports" not in alloy
    assert alloy["environment"]["TRACE_SAMPLING_PERCENT"] == "100"
    assert "LGTM_BEARER_TOKEN" not in alloy["environment"]
    local = (OBSERVE / "alloy-local.alloy").read_text()
    for store in ("TEMPO", "LOKI", "MIMIR", "PYROSCOPE"):
        assert f'"{alloy["environment"][f"{store}_REMOTE_ENDPOINT"]}"' in local
    assert set(alloy["networks"]) == {"default", "observe"}
    assert found["networks"]["observe"] == {"name": "local-dev_default", "external": True}
