"""A full disk behind standard output, or a stream that is closed: each is a line and an exit status, and never a traceback."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cloudcix_ml.cli.app import run
from cloudcix_ml.cli.exits import Exit
from fake_gateway import KEY, FakeGateway, job_of

FULL = Path("/dev/full")
full_disk = pytest.mark.skipif(not FULL.exists(), reason="Linux has /dev/full, and others have not")
Ended = Callable[..., tuple[int, str]]
JOB = "https://example.com/"


@pytest.fixture(autouse=True)
def known(gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDCIX_ML_URL", gateway.url)
    monkeypatch.setenv("CLOUDCIX_ML_KEY", KEY)
    monkeypatch.setenv("CLOUDCIX_ML_WEBHOOK_SECRET", "whsec_" + "a" * 32)
    gateway.corpus("a")
    gateway.jobs = {"j": job_of("j", JOB, "completed")}


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ended:
    """Run a command with some of its streams replaced; return its status, and what it said on standard error."""

    def with_streams(*words: str, **streams: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["cloudcix-ml", *words])
        for name, stream in streams.items():
            monkeypatch.setattr(sys, name, stream)
        with pytest.raises(SystemExit) as end:
            run()
        return int(end.value.code or 0), capsys.readouterr().err

    return with_streams


def redirected(how: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as a process whose streams a shell redirects."""
    command = ["sh", "-c", f'exec "$@" {how}', "sh", sys.executable, "-m", "cloudcix_ml.cli", *words]
    return subprocess.run(command, input="", capture_output=True, text=True, check=False)


def one_line(said: str, *parts: str) -> None:
    assert said.startswith("error: "), said
    assert said.count("\n") == 1
    assert all(part in said for part in parts), said


@full_disk
@pytest.mark.parametrize(
    "words",
    [
        ("corpora",),
        ("corpora", "--json"),
        ("documents", "text", "d"),
        ("watch", "j"),
        ("--help",),
        ("completion", "bash"),
    ],
    ids=" ".join,
)
def test_a_result_that_a_full_disk_does_not_take_is_an_error(
    ended: Ended, gateway: FakeGateway, words: tuple[str, ...]
) -> None:
    document = "00000000-0000-0000-0000-000000000007"
    gateway.texts["d"] = {"document_id": document, "url": JOB, "title": None, "text": "words", "start": 0}
    with FULL.open("w") as full:
        status, said = ended(*words, stdout=full)
    assert status == Exit.FAILED
    one_line(said, "standard output", os.strerror(28))


@pytest.mark.parametrize("words", [("corpora",), ("search", "x", "--json"), ("--version",)], ids=" ".join)
def test_a_result_that_nobody_can_be_told_is_an_error(ended: Ended, words: tuple[str, ...]) -> None:
    status, said = ended(*words, stdout=None)
    assert status == Exit.FAILED
    one_line(said, "standard output", os.strerror(9))


@pytest.mark.parametrize(
    "words",
    [
        *(("index", "-", "--name", "a.md"), ("login", "--url", "http://127.0.0.1:9")),
        *(("webhooks", "verify", "-H", "webhook-id: m"), ("mcp",)),
    ],
    ids=" ".join,
)
def test_standard_input_that_is_closed_is_an_error_where_it_is_to_be_read(
    ended: Ended, gateway: FakeGateway, words: tuple[str, ...]
) -> None:
    status, said = ended(*words, stdin=None)
    assert (status, gateway.received) == (Exit.CONFIGURATION, [])
    one_line(said, "standard input", "closed")


def test_what_reads_nothing_does_not_need_standard_input(ended: Ended) -> None:
    assert ended("corpora", stdin=None)[0] == Exit.GOOD
    status, said = ended("corpora", "delete", "a")
    assert (status, "--yes" in said) == (Exit.CONFIGURATION, True)


@full_disk
@pytest.mark.parametrize(
    ("how", "status", "parts"),
    [
        (f">{FULL} <&-", Exit.FAILED, ("standard output", os.strerror(28))),
        ("0>/dev/null", Exit.CONFIGURATION, ("standard input can't be read",)),
    ],
    ids=["full and closed", "not to be read"],
)
def test_a_process_of_its_own_ends_so_too(how: str, status: Exit, parts: tuple[str, ...]) -> None:
    """Python itself writes once more at its end, and says 120 where that fails."""
    words = ("index", JOB, "-q") if status == Exit.FAILED else ("index", "-", "--name", "a.md")
    done = redirected(how, *words)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    one_line(done.stderr, *parts)


@full_disk
@pytest.mark.parametrize("how", [f"2>{FULL}", "2>&-"])
def test_where_nothing_can_be_said_beside_it_the_result_and_the_status_are_the_same(how: str) -> None:
    done = redirected(how, "index", JOB)
    assert (done.returncode, done.stdout.partition(" (")[0]) == (Exit.GOOD, f"completed: {JOB}")
