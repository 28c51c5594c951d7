"""Whatever words a command is given, and whatever it finds on this machine, it ends with a line and an exit status."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloudcix_ml.cli.app import app
from cloudcix_ml.cli.exits import Exit
from fake_gateway import KEY, FakeGateway, hit_of
from typer.main import get_command
from typer.testing import CliRunner, Result

NO_TEXT = "\udcff"
# what Python makes of a byte that is not UTF-8
ODD = {"no text": NO_TEXT, "no number": "a/²", "a long number": "a/" + "9" * 5_000, "a long text": "x" * 70_000}
SERVERS = {"mcp"}
# what goes on until it is ended
STATUSES = {int(status) for status in Exit}


@pytest.fixture(autouse=True)
def known(gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDCIX_ML_URL", gateway.url)
    monkeypatch.setenv("CLOUDCIX_ML_KEY", KEY)
    monkeypatch.setenv("CLOUDCIX_ML_WEBHOOK_SECRET", "whsec_" + "a" * 32)


def said(*words: str, given: bytes | None = None) -> Result:
    """What a command says, which is no traceback."""
    done = CliRunner().invoke(app, [*words], input=given)
    assert done.exception is None or isinstance(done.exception, SystemExit), (words, done.exception)
    assert done.exit_code in STATUSES, words
    return done


def commands() -> Iterator[list[str]]:
    """The words that each command is called with."""
    for name, one in get_command(app).commands.items():  # type: ignore[attr-defined]
        below = getattr(one, "commands", {})
        yield from ([name, other] for other in below)
        if name not in SERVERS and (not below or one.invoke_without_command):
            yield [name]


def parameters(words: list[str]) -> tuple[int, list[str]]:
    """How many arguments a command has, and its options that take a value."""
    one = get_command(app)
    for word in words:
        one = one.commands[word]  # type: ignore[attr-defined]
    options = [each for each in one.params if each.param_type_name == "option"]
    return len(one.params) - len(options), [each.opts[0] for each in options if not each.is_flag]


@pytest.mark.parametrize("words", [*commands()], ids=" ".join)
def test_a_value_that_can_not_be_right_is_told_in_a_line(words: list[str]) -> None:
    arguments, options = parameters(words)
    yes = ["--yes"] if words[-1] in {"delete", "confirm"} else []
    for odd in ODD.values() if arguments else ():
        said(*words, *[odd] * arguments, *yes, given=b"")
    for option in options:
        for odd in (f"a={NO_TEXT}", "9" * 30):
            said(*words, *["x"] * arguments, *yes, option, odd, given=b"")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("search", NO_TEXT), Exit.CONFIGURATION),
        (("search", "x", "-f", f"a={NO_TEXT}"), Exit.CONFIGURATION),
        (("corpora", "show", NO_TEXT), Exit.CONFIGURATION),
        (("jobs", "--host", NO_TEXT), Exit.CONFIGURATION),
        (("index", f"http://{NO_TEXT}/"), Exit.CONFIGURATION),
        (("watch", "a/²"), Exit.NOT_FOUND),
        (("watch", "a/" + "9" * 5_000), Exit.NOT_FOUND),
        (("runs", "show", "a/²"), Exit.CONFIGURATION),
        (("jobs", "--since", "9999-12-31T23:59:59-14:00"), Exit.CONFIGURATION),
        (("jobs", "--since", "0001-01-01T00:00:00+14:00"), Exit.CONFIGURATION),
    ],
)
def test_what_is_wrong_with_a_value_is_an_exit_status(words: tuple[str, ...], status: Exit) -> None:
    done = said(*words)
    assert "surrogates" not in done.stderr
    assert (done.exit_code, done.stdout) == (status, ""), done.output
    assert done.stderr.startswith("error: ")


def test_a_file_whose_name_is_no_text_is_told_before_anything_is_submitted(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    file = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.md")
    Path(file).write_text("# Hello")
    done = said("index", "https://example.com/", file)
    assert (done.exit_code, gateway.received) == (Exit.CONFIGURATION, [])
    assert "not UTF-8" in done.stderr


@pytest.mark.parametrize(
    "url", ["http://a..b", "http://.", f"http://{'a' * 64}.b", f"http://{NO_TEXT}", f"http://x/{NO_TEXT}", "http://☃.x"]
)
def test_an_address_that_no_host_can_have_is_said_to_be_one(url: str, monkeypatch, tmp_path: Path) -> None:
    done = said("login", "--no-check", "--url", url, given=KEY.encode())
    assert (done.exit_code, "address" in done.stderr) == (Exit.CONFIGURATION, True)
    assert not (tmp_path / "cloudcix-ml").exists()
    monkeypatch.setenv("CLOUDCIX_ML_URL", url)
    assert said("corpora").exit_code == Exit.CONFIGURATION


def test_a_key_that_is_no_text_is_none(gateway: FakeGateway) -> None:
    assert said("login", "--url", gateway.url, given=b"\xff\xfe").exit_code == Exit.CONFIGURATION


def test_what_can_not_be_kept_says_so(gateway: FakeGateway, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "a file"))
    done = said("login", "--url", gateway.url, given=KEY.encode())
    assert (done.exit_code, "can't be written" in done.stderr, KEY in done.output) == (Exit.CONFIGURATION, True, False)
    (tmp_path / "cloudcix-ml" / "config.json").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    done = said("logout")
    assert (done.exit_code, "can't be removed" in done.stderr) == (Exit.CONFIGURATION, True)


def test_a_letter_that_the_terminal_has_not_is_shown_as_its_number(gateway: FakeGateway) -> None:
    gateway.hits = [hit_of(text="ein schöner \N{SNOWMAN}")]
    command = [sys.executable, "-m", "cloudcix_ml.cli", "search", "x"]
    done = subprocess.run(command, env=os.environ | {"PYTHONIOENCODING": "latin-1"}, capture_output=True, check=False)
    assert done.returncode == Exit.GOOD, done.stderr
    assert "ein schöner \\u2603".encode("latin-1") in done.stdout
