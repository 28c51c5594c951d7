"""A full disk behind standard output, or a stream that is closed: each is a line and an exit status, and never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cloudcix_ml.cli.exits import Exit
from fake_gateway import KEY, FakeGateway, job_of

COMMAND = (sys.executable, "-m", "cloudcix_ml.cli")
FULL = Path("/dev/full")
full_disk = pytest.mark.skipif(not FULL.exists(), reason="Linux has /dev/full, and others have not")
Done = subprocess.CompletedProcess[str]


@pytest.fixture(autouse=True)
def known(gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDCIX_ML_URL", gateway.url)
    monkeypatch.setenv("CLOUDCIX_ML_KEY", KEY)
    monkeypatch.setenv("CLOUDCIX_ML_WEBHOOK_SECRET", "whsec_" + "a" * 32)
    gateway.corpus("a")
    gateway.jobs = {"j": job_of("j", "https://example.com/", "completed")}


def redirected(how: str, *words: str) -> Done:
    """Run a command with its streams redirected as a shell does it."""
    command = ["sh", "-c", f'exec "$@" {how}', "sh", *COMMAND, *words]
    return subprocess.run(command, input="", capture_output=True, text=True, check=False)


def one_line_of(done: Done, status: Exit, *said: str) -> None:
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert all(part in done.stderr for part in said), done.stderr


@full_disk
@pytest.mark.parametrize(
    "words", [("corpora",), ("corpora", "--json"), ("watch", "j"), ("--help",), ("completion", "bash")], ids=" ".join
)
def test_a_result_that_a_full_disk_does_not_take_is_an_error(words: tuple[str, ...]) -> None:
    one_line_of(redirected(f">{FULL}", *words), Exit.FAILED, "standard output", os.strerror(28))


@pytest.mark.parametrize("words", [("corpora",), ("search", "x", "--json"), ("--version",)], ids=" ".join)
def test_a_result_that_nobody_can_be_told_is_an_error(words: tuple[str, ...]) -> None:
    one_line_of(redirected(">&-", *words), Exit.FAILED, "standard output", os.strerror(9))


@full_disk
@pytest.mark.parametrize("how", [f"2>{FULL}", "2>&-"])
def test_where_nothing_can_be_said_beside_it_the_result_and_the_status_are_the_same(
    gateway: FakeGateway, how: str
) -> None:
    done = redirected(how, "index", "https://example.com/")
    assert (done.returncode, done.stdout.partition(" (")[0]) == (Exit.GOOD, "completed: https://example.com/"), (
        done.stderr
    )
    assert redirected(how, "corpora", "show", "nothing").returncode == Exit.NOT_FOUND


@pytest.mark.parametrize(
    "words",
    [
        ("index", "-", "--name", "a.md"),
        ("login", "--url", "http://127.0.0.1:9"),
        ("webhooks", "verify", "-H", "webhook-id: m"),
        ("mcp",),
    ],
    ids=" ".join,
)
def test_standard_input_that_is_closed_is_an_error_where_it_is_to_be_read(
    gateway: FakeGateway, words: tuple[str, ...]
) -> None:
    one_line_of(redirected("<&-", *words), Exit.CONFIGURATION, "standard input", "closed")
    assert gateway.received == []


def test_standard_input_that_can_not_be_read_is_an_error_too() -> None:
    one_line_of(
        redirected("0>/dev/null", "index", "-", "--name", "a.md"), Exit.CONFIGURATION, "standard input can't be read"
    )


def test_what_reads_nothing_does_not_need_standard_input() -> None:
    assert redirected("<&-", "corpora", "--quiet").returncode == Exit.GOOD
    done = redirected("<&-", "corpora", "delete", "a")
    assert (done.returncode, "--yes" in done.stderr) == (Exit.CONFIGURATION, True)
