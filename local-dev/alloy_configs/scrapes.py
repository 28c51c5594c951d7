"""What each Alloy scrapes: the processes of its VM's service, and exporters that run within Alloy."""

from typing import Final

from ml_shared.names import Service

OWN_PROJECT: Final = """\
  // other projects on this machine have an Alloy of their own, or are nobody's business here
  rule {
    source_labels = ["__meta_docker_container_label_com_docker_compose_project"]
    regex = coalesce(sys.env("COMPOSE_PROJECT_NAME"), ".*")
    action = "keep"
  }
"""
"""A rule for every Alloy: a VM's engine, too, may run more than one stack, and each would send all stacks' lines."""

_SERVICES: Final = "|".join(Service)
_WORKER_PORT: Final = 'coalesce(sys.env("WORKER_METRICS_PORT"), "9100")'
_SCRAPE: Final = """\
prometheus.scrape "%s" {
  targets = %s
  scrape_interval = "15s"
  scrape_timeout = "10s"
  forward_to = [prometheus.remote_write.remote.receiver]
}
"""


def targets(service: str, *, worker: bool) -> str:
    """Return the scrape of a service's API, and of its worker where it has one."""
    found = [f'    {{"__address__" = "{service}:8000", "job" = "{service}", "process" = "api"}},']
    if worker:
        address = f'"{service}-worker:" + {_WORKER_PORT}'
        found.append(f'    {{"__address__" = {address}, "job" = "{service}", "process" = "worker"}},')
    return _SCRAPE % ("services", "\n".join(["[", *found, "  ]"]))


def fixed(name: str, address: str) -> str:
    """Return the scrape of one exporter in a container of its own."""
    return _SCRAPE % (name, f'[{{"__address__" = "{address}", "job" = "{name}"}}]')


def discovered() -> str:
    """Return the scrape of whatever containers of the stacks the engine runs beside this Alloy."""
    container = '"__meta_docker_container_label_com_docker_compose_service"'
    address = f'[{container}, "__meta_docker_network_ip"]'
    rules = [
        _rule(f"[{container}]", f"(?:{_SERVICES})(?:-worker)?|nginx-exporter", 'action = "keep"'),
        # one that has ended has no address
        _rule('["__meta_docker_network_ip"]', ".+", 'action = "keep"'),
        _rule(f"[{container}]", f"({_SERVICES}|nginx)(?:-worker|-exporter)?", *_sets("job", '"$1"')),
        _rule(f"[{container}]", _SERVICES, *_sets("process", '"api"')),
        _rule(f"[{container}]", ".+-worker", *_sets("process", '"worker"')),
        _rule('["__meta_docker_container_name"]', "/(.+)", *_sets("instance", '"$1"')),
        # one target a container, whichever ports it publishes
        _rule(address, f"(?:{_SERVICES});(.+)", *_sets("__address__", '"$1:8000"')),
        _rule(address, ".+-worker;(.+)", *_sets("__address__", f'"$1:" + {_WORKER_PORT}')),
        _rule(address, "nginx-exporter;(.+)", *_sets("__address__", '"$1:9113"')),
    ]
    head = 'discovery.relabel "services" {\n  targets = discovery.docker.containers.targets\n\n'
    scrape = _SCRAPE % ("services", "discovery.relabel.services.output")
    return head + OWN_PROJECT + "".join(rules) + "}\n\n" + scrape


def exporters(components: dict[str, str], vm: str, *, only_with: dict[str, str] | None = None) -> str:
    """Return the scrape of exporters within Alloy, which name their targets by jobs and hosts of their own.

    Parameters
    ----------
    components
        The job's name, and its component.
    vm
        The expression of this VM's name.
    only_with
        A job's name, and the variable without which there is nothing to scrape.
    """
    blocks = []
    for job, component in components.items():
        rules = [_rule(None, None, *_sets("job", f'"{job}"')), _rule(None, None, *_sets("instance", vm))]
        if only_with and job in only_with:
            rules += [
                _rule(None, None, *_sets("__tmp_address", f'sys.env("{only_with[job]}")')),
                _rule('["__tmp_address"]', ".+", 'action = "keep"'),
            ]
        blocks.append(f'discovery.relabel "{job}" {{\n  targets = {component}.targets\n{"".join(rules)}}}\n')
    outputs = "".join(f"    discovery.relabel.{job}.output,\n" for job in components)
    blocks.append(_SCRAPE % ("exporters", f"array.concat(\n{outputs}  )"))
    return "\n".join(blocks)


def _sets(label: str, expression: str) -> tuple[str, str]:
    return f'target_label = "{label}"', f"replacement = {expression}"


def _rule(source_labels: str | None, regex: str | None, *others: str) -> str:
    lines = [f"source_labels = {source_labels}"] if source_labels else []
    lines += [f'regex = "{regex}"'] if regex else []
    return "".join(f"  {line}\n" for line in ["rule {", *(f"  {line}" for line in [*lines, *others]), "}"])
