"""The configurations in the repository, parsed, beside what Compose gives each Alloy."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from alloy_configs.files import LOCAL
from alloy_syntax import Block, Call, expressions, parse

REPOSITORY = Path(__file__).resolve().parents[3]
SERVICES = ("orchestrator", "scraper", "chunking", "embedding")
STACKS = (*SERVICES, "gateway-vm")
CONFIGS = {**{stack: f"{stack}/alloy/config.alloy" for stack in STACKS}, "laptop": LOCAL}
COMPOSE = {
    **{stack: f"{stack}/docker-compose.yml" for stack in STACKS},
    "laptop": "local-dev/docker-compose.observe.yml",
}


@cache
def text(name: str) -> str:
    return (REPOSITORY / CONFIGS[name]).read_text()


def blocks(name: str) -> dict[str, Block]:
    """Return a configuration's blocks by their names, such as `loki.write.remote`."""
    found = parse(text(name))
    by_id = {block.id: block for block in found}
    assert len(by_id) == len(found), "two components have one name"
    return by_id


def containers(name: str) -> dict[str, dict[str, Any]]:
    class Loader(yaml.SafeLoader):
        """Takes Compose's `!override` for what it is put before."""

    Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node, deep=True))
    found: dict[str, dict[str, Any]] = yaml.load((REPOSITORY / COMPOSE[name]).read_text(), Loader)["services"]
    return found


def environment(name: str) -> dict[str, str]:
    """Return what Compose sets for an Alloy, with the defaults of its variables."""
    given = containers(name)["alloy"].get("environment", {})
    return {
        variable: re.sub(r"\$\{\w+(?::-([^}]*))?[^}]*\}", lambda match: match[1] or "", str(value))
        for variable, value in given.items()
    }


def example(name: str) -> dict[str, str]:
    """Return the variables of a VM's alloy.env.example; a value in comment is a default."""
    given = (REPOSITORY / name / "alloy" / "alloy.env.example").read_text()
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", given, re.MULTILINE))


def asked(name: str) -> set[str]:
    """Return the variables that a configuration reads."""
    return {
        part.arguments[0]
        for top in blocks(name).values()
        for block in top.walk()
        for attribute in block.attributes.values()
        for part in expressions(attribute)
        if isinstance(part, Call) and part.function == "sys.env"
    }
