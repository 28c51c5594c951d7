"""The README says what there is: commands, exit statuses, methods, tools."""

import re
from pathlib import Path

from cloudcix_ml import AsyncClient, Client, errors
from cloudcix_ml.agents import tools
from cloudcix_ml.cli.app import app
from cloudcix_ml.cli.exits import Exit

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_every_exit_status_is_listed_and_no_other() -> None:
    assert {int(number) for number in re.findall(r"^\| (\d+) \|", README, re.M)} == {int(one) for one in Exit}


def test_every_command_is_named_and_each_that_is_named_is_there() -> None:
    here = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert {name for name in here if not re.search(rf"`?(cloudcix-ml |`){name}\b", README)} == {"logout"}
    assert set(re.findall(r"cloudcix-ml ([a-z]+)", README)) <= here


def test_every_method_that_is_named_is_there_in_both_clients() -> None:
    named = re.findall(r"`client\.(\w+)", README)
    assert len(named) > 8
    clients = (Client("http://x", "k"), AsyncClient("http://x", "k"))
    assert [name for name in named if not all(hasattr(client, name) for client in clients)] == []


def test_the_bounds_and_the_tools_of_agents_are_the_real_ones() -> None:
    assert (
        f"({tools.MOST_PASSAGES} passages, {tools.MOST_OF_A_PASSAGE:,} characters of each, {tools.MOST_IN_ALL:,} in all)"
        in README
    )
    for name in ("search", "list_corpora", "read_document", "job_status", "index_page", "crawl_site"):
        assert f"`{name}`" in README
        assert hasattr(tools.Tools, name)


def test_errors_that_are_named_are_there() -> None:
    for name in re.findall(r"\b(\w+Error)\b", README):
        assert hasattr(errors, name), name
