"""Labels of targets: what relabelling makes of containers as Docker describes them."""

import re

import pytest
import yaml
from alloy_configs.files import EXPORTERS, GATEWAY_EXPORTERS
from alloy_files import CONFIGS, REPOSITORY, SERVICES, STACKS, blocks, containers, environment
from alloy_values import Labels, final, relabelled, value_of

EVERY_EXPORTER = EXPORTERS | GATEWAY_EXPORTERS
PREFIX = "__meta_docker_container_label_com_docker_compose"


def container(
    service: str, project: str = "orchestrator", port: str = "", *, address: str = "172.18.0.5", **more: str
) -> Labels:
    """Return a container as `discovery.docker` describes it; one that has ended has no address."""
    labels = {
        "__address__": f"{address}:{port or 80}",
        "__meta_docker_container_id": f"id-of-{service}",
        "__meta_docker_container_name": f"/{project}-{service}-1",
        "__meta_docker_network_ip": address,
        f"{PREFIX}_service": service,
        f"{PREFIX}_project": project,
        **more,
    }
    return {name: value for name, value in labels.items() if value}


def log_labels(name: str, service: str, **environment: str) -> list[Labels]:
    return [
        final(target)
        for target in relabelled(blocks(name)["discovery.relabel.logs"], [container(service)], environment)
    ]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_services_containers_have_its_name_and_say_which_process_they_are(name: str) -> None:
    for service in SERVICES:
        assert log_labels(name, service) == [{"service": service, "process": "api"}]
        assert log_labels(name, f"{service}-worker") == [{"service": service, "process": "worker"}]
    assert log_labels(name, "orchestrator-beat") == [{"service": "orchestrator", "process": "beat"}]
    for service in ("orchestrator", "embedding"):
        assert log_labels(name, f"{service}-migrate") == [{"service": service, "process": "migrate"}]
    assert log_labels(name, "redis-orch") == [{"service": "redis-orch"}]


@pytest.mark.parametrize("stack", STACKS)
def test_every_container_of_a_stack_is_read_but_alloy(stack: str) -> None:
    unread = [one for one in containers(stack) if not log_labels(stack, one)]
    assert unread == ["alloy"]


@pytest.mark.parametrize("name", CONFIGS)
def test_each_alloy_reads_its_own_projects_containers_alone(name: str) -> None:
    running = [container("scraper", project) for project in ("scraper", "orchestrator", "scraper-2", "other")]
    for project in ("scraper", "orchestrator"):
        read = relabelled(blocks(name)["discovery.relabel.logs"], running, {"COMPOSE_PROJECT_NAME": project})
        assert [final(one) for one in read] == [{"service": "scraper", "process": "api"}], project


@pytest.mark.parametrize("name", CONFIGS)
def test_compose_tells_each_alloy_which_project_it_belongs_to(name: str) -> None:
    given = containers(name)["alloy"]["environment"]
    assert given["COMPOSE_PROJECT_NAME"] == "${COMPOSE_PROJECT_NAME}"


@pytest.mark.parametrize("name", CONFIGS)
def test_a_container_that_ended_before_anybody_looked_is_read_too(name: str) -> None:
    (filtered,) = (block.attributes for block in blocks(name)["discovery.docker.containers"].blocks)
    assert filtered["name"] == "status"
    # those that the engine lists without being asked for a status, and those that have ended
    assert {*filtered["values"]} == {"running", "restarting", "paused", "exited"}
    ended = [container("orchestrator-migrate", address="")]
    (read,) = relabelled(blocks(name)["discovery.relabel.logs"], ended, {})
    assert final(read) == {"service": "orchestrator", "process": "migrate"}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_container_that_starts_again_elsewhere_is_the_same_to_whoever_notes_how_far_it_was_read(name: str) -> None:
    lives = [
        container("scraper", port="8000", __meta_docker_port_public="8001"),
        container("scraper", port="8000", address="172.18.0.9"),
        container("scraper", address=""),
    ]
    first, *others = (relabelled(blocks(name)["discovery.relabel.logs"], [one], {}) for one in lives)
    assert first == [{"service": "scraper", "process": "api", "__meta_docker_container_id": "id-of-scraper"}]
    assert all(other == first for other in others)


def test_a_laptop_reads_nothing_of_what_stores_the_logs() -> None:
    assert [one for one in containers("laptop") if log_labels("laptop", one)] == []


def test_a_container_that_compose_did_not_start_is_left_alone() -> None:
    other = {"__address__": "172.17.0.2:80", "__meta_docker_container_name": "/other"}
    for name in CONFIGS:
        assert relabelled(blocks(name)["discovery.relabel.logs"], [other], {}) == []


def test_a_laptop_scrapes_the_stack_that_it_was_started_with() -> None:
    component = blocks("laptop")["discovery.relabel.services"]
    given = {"COMPOSE_PROJECT_NAME": "embedding", "WORKER_METRICS_PORT": "9200"}
    running = ["embedding", "embedding-worker", "embedding-migrate", "redis-embed", "alloy", "nginx", "nginx-exporter"]
    found = relabelled(component, [container(one, "embedding", "8000") for one in running], given)
    assert [(one["__address__"], final(one)) for one in found] == [
        ("172.18.0.5:8000", {"job": "embedding", "process": "api", "instance": "embedding-embedding-1"}),
        ("172.18.0.5:9200", {"job": "embedding", "process": "worker", "instance": "embedding-embedding-worker-1"}),
        ("172.18.0.5:9113", {"job": "nginx", "instance": "embedding-nginx-exporter-1"}),
    ]
    assert relabelled(component, [container("scraper", "scraper")], given) == []
    ended = [container("embedding", "embedding", address=""), container("embedding-worker", "embedding", address="")]
    assert relabelled(component, ended, given) == []


def test_a_laptop_finds_the_same_jobs_and_processes_as_each_vm() -> None:
    component = blocks("laptop")["discovery.relabel.services"]
    for service in SERVICES:
        found = relabelled(component, [container(one, service) for one in containers(service)], environment(service))
        on_vm = value_of(blocks(service)["prometheus.scrape.services"].attributes["targets"], environment(service))
        assert [(one["job"], one["process"]) for one in found] == [(one["job"], one["process"]) for one in on_vm]
        ports = [[one["__address__"].rpartition(":")[2] for one in side] for side in (found, on_vm)]
        assert ports[0] == ports[1]


@pytest.mark.parametrize("name", CONFIGS)
def test_exporters_within_alloy_have_jobs_of_one_word_and_the_vms_name(name: str) -> None:
    components = blocks(name)
    scraped = value_of(
        components["prometheus.scrape.exporters"].attributes["targets"],
        {},
        {f"discovery.relabel.{job}.output": [job] for job in EVERY_EXPORTER},
    )
    given = {"VM_NAME": "this-one", "REDIS_ADDRESS": "redis:6379", "POSTGRES_ADDRESS": "postgres:5432/x"}
    given["TLS_PROBE_ADDRESS"] = "nginx:443"
    target = {"__address__": "127.0.0.1:12345", "job": "integrations/of-its-own", "instance": "3f2a"}
    for job in scraped:
        assert components[f"discovery.relabel.{job}"].attributes["targets"].name == f"{EVERY_EXPORTER[job]}.targets"
        (found,) = relabelled(components[f"discovery.relabel.{job}"], [target], given)
        assert final(found) == {"job": job, "instance": "this-one"}
    # each exporter that is there is scraped
    assert {EVERY_EXPORTER[job] for job in scraped} == {
        one for one in components if one.startswith("prometheus.exporter.")
    }


def test_a_laptop_asks_no_store_that_its_stack_has_not() -> None:
    components, target = blocks("laptop"), [{"__address__": "127.0.0.1:12345"}]
    for job in ("redis", "postgres"):
        assert relabelled(components[f"discovery.relabel.{job}"], target, environment("chunking")) == []
        assert len(relabelled(components[f"discovery.relabel.{job}"], target, environment("embedding"))) == 1
    for job in ("node", "alloy"):
        assert len(relabelled(components[f"discovery.relabel.{job}"], target, {})) == 1


def test_a_certificate_is_looked_at_where_there_is_one() -> None:
    component, target = blocks("gateway-vm")["discovery.relabel.certificate"], [{"__address__": "127.0.0.1:12345"}]
    assert relabelled(component, target, environment("gateway-vm")) == []
    with_tls = (REPOSITORY / "gateway-vm" / "docker-compose.tls.yml").read_text()
    (address,) = re.findall(r"^ +TLS_PROBE_ADDRESS: (\S+)", with_tls, re.MULTILINE)
    (found,) = relabelled(component, target, {"TLS_PROBE_ADDRESS": address})
    assert final(found) == {"job": "certificate", "instance": "gateway"}
    probe = blocks("gateway-vm")["prometheus.exporter.blackbox.certificate"]
    assert value_of(probe.one("target").attributes["address"], {"TLS_PROBE_ADDRESS": address}) == "nginx:443"
    module = yaml.safe_load(probe.attributes["config"])["modules"][probe.one("target").attributes["module"]]
    assert module["tcp"]["tls"] is True


def test_nginx_is_scraped_by_its_exporter() -> None:
    (target,) = value_of(blocks("gateway-vm")["prometheus.scrape.nginx"].attributes["targets"], {})
    assert target == {"__address__": "nginx-exporter:9113", "job": "nginx"}
    assert "nginx-exporter" in containers("gateway-vm")
