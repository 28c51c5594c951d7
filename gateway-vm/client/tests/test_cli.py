"""The commands, at a gateway that answers as the platform does."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cloudcix_ml.cli import settings
from cloudcix_ml.cli.app import app, run
from cloudcix_ml.cli.exits import Exit
from cloudcix_ml.cli.search import best_of
from cloudcix_ml.cli.values import countdown
from fake_gateway import KEY, NOW, FakeGateway, Planned, hit_of, job_of
from rich.text import Text
from starlette.responses import JSONResponse
from typer.testing import CliRunner, Result

PAGE = "https://example.com/"
EVIL = "\x1b]0;owned\x07\x1b[31mred\u202egnp.exe\x9b2J\u2066"
Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("CLOUDCIX_ML_URL", raising=False)
    monkeypatch.delenv("CLOUDCIX_ML_KEY", raising=False)
    return tmp_path


@pytest.fixture
def cli(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("CLOUDCIX_ML_URL", gateway.url)
    monkeypatch.setenv("CLOUDCIX_ML_KEY", KEY)

    def run(*words: str, given: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(app, list(words), input=given)
        assert KEY not in result.output
        return result

    return run


def problem(status: int, code: str) -> JSONResponse:
    return JSONResponse({"status": status, "code": code, "detail": "that is how it is"}, status)


def test_login_keeps_address_and_key_for_oneself_alone(gateway: FakeGateway, home: Path) -> None:
    done = CliRunner().invoke(app, ["login", "--url", gateway.url], input=f"{KEY}\n")
    assert done.exit_code == Exit.GOOD, done.output
    file = home / "cloudcix-ml" / "config.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert settings.load().key == KEY
    assert KEY not in done.output + repr(settings.load())
    assert CliRunner().invoke(app, ["corpora"]).exit_code == Exit.GOOD
    assert CliRunner().invoke(app, ["logout"]).exit_code == Exit.GOOD
    assert CliRunner().invoke(app, ["corpora"]).exit_code == Exit.CONFIGURATION


def test_a_key_that_the_platform_does_not_know_is_not_kept(gateway: FakeGateway, home: Path) -> None:
    done = CliRunner().invoke(app, ["login", "--url", gateway.url], input="another-key\n")
    assert (done.exit_code, "another-key" in done.output) == (Exit.DENIED, False)
    assert not (home / "cloudcix-ml").exists()


@pytest.mark.parametrize(
    ("content", "mode"), [(b"{bad", 0o600), (b"[]", 0o600), (b"[" * 30_000, 0o600), (b"\xff", 0o600), (b"{}", 0o644)]
)
def test_login_replaces_a_file_that_nothing_else_takes(
    gateway: FakeGateway, home: Path, content: bytes, mode: int
) -> None:
    file = home / "cloudcix-ml" / "config.json"
    file.parent.mkdir()
    file.write_bytes(content)
    file.chmod(mode)
    assert CliRunner().invoke(app, ["corpora"]).exit_code == Exit.CONFIGURATION
    done = CliRunner().invoke(app, ["login", "--url", gateway.url], input=f"{KEY}\n")
    assert done.exit_code == Exit.GOOD, done.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert CliRunner().invoke(app, ["corpora"]).exit_code == Exit.GOOD


def test_login_knows_the_address_of_the_environment_whatever_the_file_is(
    gateway: FakeGateway, home: Path, monkeypatch
) -> None:
    (home / "cloudcix-ml").mkdir()
    (home / "cloudcix-ml" / "config.json").write_bytes(b"{bad")
    monkeypatch.setenv("CLOUDCIX_ML_URL", gateway.url)
    assert CliRunner().invoke(app, ["login"], input=f"{KEY}\n").exit_code == Exit.GOOD
    assert settings.load().url == gateway.url


def test_no_option_takes_a_key() -> None:
    said = CliRunner().invoke(app, ["login", "--help"]).output
    assert "--key" not in said


def test_a_file_that_others_may_read_is_refused(cli: Cli, home: Path, monkeypatch) -> None:
    file = settings.save(settings.Settings("http://x", KEY))
    file.chmod(0o640)
    monkeypatch.delenv("CLOUDCIX_ML_KEY")
    done = cli("corpora")
    assert (done.exit_code, "chmod 600" in done.output) == (Exit.CONFIGURATION, True)
    file.write_text(f"garbage {KEY}")
    file.chmod(0o600)
    assert "is no file of this command" in cli("corpora").output


def test_a_page_is_indexed_and_what_it_waits_for_is_told(cli: Cli) -> None:
    done = cli("index", PAGE, "--corpus", "mine", "-m", "team=a", "-m", "year=2026")
    assert done.exit_code == Exit.GOOD
    assert "completed: https://example.com/" in done.stdout
    assert "waits for its turn, about 3 before it" in done.stderr
    assert "completed:" not in done.stderr  # said once, as the result


def test_pages_and_files_are_cut_as_is_said(cli: Cli, gateway: FakeGateway, tmp_path) -> None:
    gateway.others["POST", "/api/orchestrator/documents"] = lambda got: JSONResponse(
        {"job_id": gateway._new("upload:x"), "status": "queued"}, 202
    )
    file = tmp_path / "a.md"
    file.write_bytes(b"# Hello")
    said = ("--max-tokens", "128", "--overlap-tokens", "16", "--strategy", "fixed", "--no-wait")
    assert cli("index", PAGE, str(file), *said).exit_code == Exit.GOOD
    page, upload = (one for one in gateway.received if one.method == "POST")
    whole = {"max_tokens": 128, "overlap_tokens": 16, "strategy": "fixed"}
    assert page.json["chunking"] == whole
    assert json.dumps(whole, separators=(",", ":")).encode() in upload.body
    assert cli("index", PAGE, "--strategy", "by-eye").exit_code == Exit.USAGE


TYPED = [
    *(("1", 1), ("1.50", 1.5), ("true", True), ("null", None), ("x=y", "x=y"), ("", ""), ("two words", "two words")),
    *(('"2026"', "2026"), ('["a", 1]', ["a", 1]), ('{"a": true}', {"a": True}), ('"half', '"half')),
    *(("NaN", "NaN"), ("-Infinity", "-Infinity"), ("1e999", "1e999")),
]


def test_metadata_is_typed_as_json_is_and_text_otherwise(cli: Cli, gateway: FakeGateway) -> None:
    options = [word for at, (typed, _) in enumerate(TYPED) for word in ("-m", f"k{at}={typed}")]
    cli("index", PAGE, *options, "--no-wait")
    assert gateway.received[0].json["metadata"] == {f"k{at}": value for at, (_, value) in enumerate(TYPED)}
    cli("search", "x", "-f", 'year="2026"', "-f", 'tags=["a"]')
    assert gateway.received[-1].json["filters"]["metadata"] == {"year": "2026", "tags": ["a"]}


def test_several_pages_are_one_batch(cli: Cli, gateway: FakeGateway) -> None:
    done = cli("index", PAGE, "https://example.org/", "--json")
    assert (done.exit_code, gateway.times("POST", "/api/orchestrator/jobs/batch")) == (Exit.GOOD, 1)
    assert json.loads(done.stdout.splitlines()[-1])["progress"] == 1.0


def test_a_job_that_fails_says_why_and_is_an_exit_status(cli: Cli, gateway: FakeGateway) -> None:
    gateway.fails_with = "robots_disallowed"
    done = cli("index", PAGE)
    assert done.exit_code == Exit.FAILED
    assert "robots_disallowed: it is so" in done.stdout
    done = cli("index", PAGE, "--json")
    assert json.loads(done.stdout.splitlines()[-1])["error"]["code"] == "robots_disallowed"


def test_waiting_ends_in_time_and_says_that_it_goes_on(cli: Cli, gateway: FakeGateway) -> None:
    gateway.step_on_read = False
    done = cli("index", PAGE, "--timeout", "0.05")
    assert (done.exit_code, "it goes on" in done.stderr) == (Exit.TIMED_OUT, True)


def test_a_time_limit_is_one_for_all_that_is_waited_for() -> None:
    now = iter([100.0, 101.0, 104.0, 106.0])
    left = countdown(5.0, lambda: next(now))
    assert [left(), left(), left()] == [4.0, 1.0, 0.0]
    assert countdown(None)() is None


def test_without_waiting_the_id_is_the_result(cli: Cli, gateway: FakeGateway) -> None:
    done = cli("index", PAGE, "--no-wait", "--quiet")
    assert (done.stdout.strip(), done.stderr) == (next(iter(gateway.jobs)), "")


def test_a_file_and_a_text_on_standard_input_are_sent_as_they_are(cli: Cli, gateway: FakeGateway, tmp_path) -> None:
    gateway.others["POST", "/api/orchestrator/documents"] = lambda got: JSONResponse(
        {"job_id": gateway._new("upload:x"), "status": "queued"}, 202
    )
    file = tmp_path / 'a "b".md'
    file.write_bytes(b"# Hello\r\n\0")
    assert cli("index", str(file), "-c", "mine").exit_code == Exit.GOOD
    assert cli("index", "-", "--name", "notes.txt", given=b"text \xff").exit_code == Exit.GOOD
    first, second = (one for one in gateway.received if one.method == "POST")
    assert first.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'filename="a %22b%22.md"\r\nContent-Type: text/markdown\r\n\r\n# Hello\r\n\0\r\n--' in first.body
    assert b'name="corpus_name"\r\n\r\nmine\r\n' in first.body
    assert b'filename="notes.txt"\r\nContent-Type: text/plain\r\n\r\ntext \xff\r\n--' in second.body
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


def test_a_file_that_is_not_there_says_what_a_page_looks_like(cli: Cli, gateway: FakeGateway) -> None:
    done = cli("index", "example.com")
    assert done.exit_code == Exit.CONFIGURATION
    assert "begins with http:// or https://" in done.output
    assert gateway.received == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((PAGE, "missing.pdf"), "missing.pdf can't be read"),
        ((PAGE, "https://example.org/", "-", "."), ". can't be read"),
        ((PAGE, "-", "--name", ""), "needs a --name"),
        ((PAGE, "-"), "standard input has more than 3 bytes"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_nothing_is_submitted_while_a_later_file_can_not_be(
    cli: Cli, gateway: FakeGateway, monkeypatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr("cloudcix_ml.cli.indexing.MOST_BYTES", 3)
    done = cli("index", *words, given=b"text" if "3 bytes" in said else b"t")
    assert (done.exit_code, said in done.stderr) == (Exit.CONFIGURATION, True), done.output
    assert gateway.received == []


@pytest.mark.parametrize("option", ["--quiet", "--json", "--no-wait"])
def test_what_was_accepted_is_named_where_what_comes_after_it_is_refused(
    cli: Cli, gateway: FakeGateway, tmp_path, option: str
) -> None:
    gateway.others["POST", "/api/orchestrator/documents"] = lambda _: problem(413, "too_large")
    file = tmp_path / "large.pdf"
    file.write_bytes(b"%PDF")
    done = cli("index", PAGE, "https://example.org/", str(file), option)
    assert (done.exit_code, len(gateway.jobs), done.stdout) == (Exit.FAILED, 2, "")
    assert done.stderr.startswith("error: too_large")
    for job_id in gateway.jobs:
        assert f"cloudcix-ml watch {job_id}" in done.stderr


def test_what_goes_on_is_named_where_following_it_fails_and_not_what_has_ended(cli: Cli, gateway: FakeGateway) -> None:
    gateway.others["GET", "/api/orchestrator/batches/b1"] = lambda _: problem(403, "insufficient_scope")
    done = cli("index", PAGE, "https://example.org/", "--quiet")
    assert (done.exit_code, "come back to it: cloudcix-ml watch b1" in done.stderr) == (Exit.DENIED, True)
    ended = gateway._batch("b1") | {"progress": 1.0, "ended_at": NOW}
    ended["counts"] |= {"completed": 1, "failed": 1}
    gateway.others["GET", "/api/orchestrator/batches/b1"] = lambda _: JSONResponse(ended)
    gateway.others["GET", "/api/orchestrator/jobs"] = lambda _: problem(403, "insufficient_scope")
    done = cli("index", PAGE, "https://example.org/")
    assert (done.exit_code, "come back" in done.stderr) == (Exit.DENIED, False), done.output
    assert "come back" not in cli("watch", "nothing").stderr


def test_watching_finds_out_what_an_id_is_of(cli: Cli, gateway: FakeGateway) -> None:
    job_id = gateway._new(PAGE)
    assert cli("watch", job_id).exit_code == Exit.GOOD
    assert cli("watch", job_id, "--json").stdout.count("\n") == 1
    assert cli("watch", "b1").stdout.startswith("batch b1: 100% of 1 (1 completed)")
    nothing = cli("watch", "nothing")
    assert (nothing.exit_code, "job_not_found" in nothing.stderr) == (Exit.NOT_FOUND, True)


def test_lists_are_tables_for_people_and_json_for_programs(cli: Cli, gateway: FakeGateway) -> None:
    gateway.jobs = {"j1": job_of("j1", PAGE + "x" * 300), "j2": job_of("j2", PAGE, "completed")}
    table = cli("jobs")
    head, *rows = table.stdout.splitlines()
    assert head.split()[:3] == ["job", "status", "corpus"]
    assert "\x1b" not in table.stdout
    assert PAGE + "x" * 300 in rows[0]  # nothing is cut for a program that reads it
    assert [one["job_id"] for one in json.loads(cli("jobs", "--json").stdout)] == ["j1", "j2"]
    assert len(json.loads(cli("jobs", "--json", "--limit", "1").stdout)) == 1
    assert cli("jobs", "--status", "failed", "--host", "example.com", "--since", "2026-01-01").exit_code == Exit.GOOD
    query = gateway.received[-1].query
    assert query["status"] == "failed"
    assert query["created_after"].endswith("Z")


def test_all_of_a_job_is_told(cli: Cli, gateway: FakeGateway) -> None:
    stages = [{"stage": "scraping", "attempts": 2, "started_at": None, "ended_at": None, "duration_seconds": 1.5}]
    error = {"code": "dns_failed", "message": EVIL, "failed_stage": "scraping"}
    gateway.jobs["j"] = job_of("j", PAGE, "failed", stages=stages, error=error)
    gateway.step_on_read = False
    said = cli("jobs", "show", "j").stdout
    assert "scraping: dns_failed: " in said
    assert "\x1b" not in said


def test_cancel_and_retry_of_a_job_and_of_nothing(cli: Cli, gateway: FakeGateway) -> None:
    gateway.jobs["j"] = job_of("j", PAGE)
    assert cli("cancel", "j").stdout == "cancelled: job j\n"
    assert gateway.jobs["j"]["status"] == "cancelled"
    again = cli("retry", "j", "--json")
    assert json.loads(again.stdout)["retry_of"] == "x"
    gateway.planned.extend([Planned(404, "job_not_found"), Planned(404, "batch_not_found")])
    none = cli("cancel", "nothing")
    assert (none.exit_code, "job_not_found" in none.stderr) == (Exit.NOT_FOUND, True)


def test_a_search_marks_words_and_obeys_nothing_that_a_page_says(cli: Cli, gateway: FakeGateway) -> None:
    gateway.hits = [
        hit_of(text=f"a{EVIL}b found c", title=EVIL, heading_path=[EVIL], highlights=[[len(EVIL) + 3, len(EVIL) + 8]]),
        hit_of(
            text="[bold]markup[/bold] :smile:",
            url="https://example.com/[link=x]",
            why={"vector": {"rank": 1, "score": 0.5}},
        ),
    ]
    done = cli("search", "What?", "-c", "a", "-f", "team=x", "--mode", "text", "--explain", "--top", "2")
    assert done.exit_code == Exit.GOOD, done.output
    for letter in "\x1b\x07\x9b\u202e\u2066":
        assert letter not in done.output
    assert "[bold]markup[/bold] :smile:" in done.stdout
    assert "meaning: rank 1" in done.stdout
    asked = gateway.received[-1].json
    assert (asked["mode"], asked["filters"], asked["corpora"]) == ("text", {"metadata": {"team": "x"}}, ["a"])
    exact = json.loads(cli("search", "What?", "--json").stdout)
    assert exact["results"][0]["title"] == EVIL
    assert all(ord(letter) < 127 for letter in cli("search", "What?", "--json").stdout)


def test_a_search_is_in_all_of_the_corpora_that_it_names_or_is_refused(cli: Cli, gateway: FakeGateway) -> None:
    named = [word for at in range(21) for word in ("-c", f"c{at}")]
    assert cli("search", "What?", *named[:-2]).exit_code == Exit.GOOD
    assert gateway.received[-1].json["corpora"] == [f"c{at}" for at in range(20)]
    refused = cli("search", "What?", *named)
    assert (refused.exit_code, refused.stdout) == (Exit.USAGE, "")
    cli("search", "What?")
    assert gateway.received[-1].json["corpus_name"] == "default"
    assert "default unless said" in " ".join(cli("search", "--help").output.split())


HEADER = "| part | stock in Rotterdam |\n| --- | --- |"


def test_a_passage_of_a_table_says_its_columns_and_shows_the_lines_that_have_the_words(
    cli: Cli, gateway: FakeGateway
) -> None:
    rows = [f"| pin {number} | {number} |" for number in range(60)]
    rows[40] = "| gudgeon pin | 40 |"
    text = "\n".join(rows)
    places = [[at, at + 3] for at in range(len(text)) if text.startswith("pin", at)]
    at = text.index("gudgeon")
    gateway.hits = [hit_of(text=text, highlights=sorted([*places, [at, at + 7]]), table_header=HEADER)]
    lines = [line.strip() for line in cli("search", "a gudgeon pin").stdout.splitlines()]
    assert lines[2:4] == HEADER.splitlines()
    assert lines[4].endswith("lines before (--whole)")
    assert rows[40] in lines[5:-1]
    assert len(lines[5:-1]) == 12
    assert lines[-1].endswith("more lines (--whole)")
    before, after = (int(line.split()[1]) for line in (lines[4], lines[-1]))
    assert before + 12 + after == len(rows)
    whole = [line.strip() for line in cli("search", "a gudgeon pin", "--whole").stdout.splitlines()]
    assert whole[2:] == [*HEADER.splitlines(), *rows]


@pytest.mark.parametrize(("marked_lines", "first"), [([], 0), ([0, 29], 0), ([20], 15), ([29], 20)])
def test_what_is_shown_of_a_passage_begins_where_its_words_are(marked_lines: list[int], first: int) -> None:
    lines = [Text(f"line {number}") for number in range(30)]
    for number in marked_lines:
        lines[number].stylize("bold", 0, 4)
    assert best_of(lines, 10) == first
    assert best_of(lines[:5], 10) == 0


def test_a_corpus_is_deleted_only_when_somebody_says_so(cli: Cli, gateway: FakeGateway) -> None:
    gateway.corpus("a", documents=7)
    refused = cli("corpora", "delete", "a")
    assert (refused.exit_code, "--yes" in refused.output) == (Exit.CONFIGURATION, True)
    assert list(gateway.corpora) == ["a"]
    assert cli("corpora", "show", "a").exit_code == Exit.GOOD
    assert json.loads(cli("corpora", "delete", "a", "--yes", "--json").stdout) == {"deleted": "a", "documents": 7}
    assert cli("corpora", "delete", "a", "--yes").exit_code == Exit.NOT_FOUND


def test_a_documents_text_is_printed_as_it_is_for_a_program(cli: Cli, gateway: FakeGateway) -> None:
    gateway.texts["d"] = {"document_id": "0" * 32, "url": PAGE, "title": None, "text": "a\x1b[1mb", "start": 0}
    gateway.texts["d"]["document_id"] = "00000000-0000-0000-0000-000000000007"
    assert cli("documents", "text", "d").stdout == "a\x1b[1mb\n"


@pytest.mark.parametrize(
    ("plan", "status"),
    [
        (Planned(401, "invalid_api_key"), Exit.DENIED),
        (Planned(403, "insufficient_scope"), Exit.DENIED),
        (Planned(422, "invalid_request"), Exit.USAGE),
        (Planned(404, "corpus_not_found"), Exit.NOT_FOUND),
        (Planned(409, "committing"), Exit.FAILED),
        (Planned(500, "internal_error"), Exit.FAILED),
        (Planned(503, "unavailable", {"Retry-After": "3600"}), Exit.UNREACHABLE),
        (Planned(429, "rate_limited", {"Retry-After": "3600"}), Exit.UNREACHABLE),
    ],
    ids=lambda one: getattr(one, "code", ""),
)
def test_an_error_is_one_line_and_an_exit_status(cli: Cli, gateway: FakeGateway, plan: Planned, status: Exit) -> None:
    gateway.planned.append(plan)
    done = cli("corpora", "show", "a", "--json", "--quiet")
    assert done.exit_code == status
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert plan.code in done.stderr


def test_every_command_takes_json_and_quiet() -> None:
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    commands = [(one.name,) for one in app.registered_commands]
    commands += [(name, one.name) for name, group in groups.items() for one in group.registered_commands]
    assert len(commands) >= 25
    for words in commands:
        said = CliRunner().invoke(app, [*(str(word) for word in words), "--help"]).output
        assert "--json" in said, words
        assert "--quiet" in said, words


@pytest.mark.parametrize("words", [(), ("crawls",), ("webhooks",)], ids=str)
def test_a_list_of_commands_is_wrapped_and_not_cut(words: tuple[str, ...]) -> None:
    said = CliRunner().invoke(app, [*words, "--help"]).output
    assert "..." not in said.replace("[ARGS]...", "")
    assert max(map(len, said.splitlines())) <= 80


def test_the_help_lists_every_exit_status() -> None:
    said = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    assert all(f" {int(status)} " in said for status in Exit)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_words_are_completed_in(shell: str) -> None:
    done = CliRunner().invoke(app, ["completion", shell])
    assert (done.exit_code, "_CLOUDCIX_ML_COMPLETE" in done.stdout) == (0, True)


def test_completion_offers_values(monkeypatch, capsys) -> None:
    monkeypatch.setenv("_CLOUDCIX_ML_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "cloudcix-ml search x --mode ")
    monkeypatch.setenv("COMP_CWORD", "4")
    with pytest.raises(SystemExit):
        run()
    assert set(capsys.readouterr().out.split()) == {"vector", "text", "hybrid"}


COMMAND = [sys.executable, "-m", "cloudcix_ml.cli"]


@pytest.mark.parametrize("words", [("corpora",), ("search", "x"), ("corpora", "--json")], ids=lambda words: words[-1])
def test_a_reader_that_has_enough_ends_it_quietly(cli: Cli, gateway: FakeGateway, words: tuple[str, ...]) -> None:
    gateway.corpus("a")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([*COMMAND, *words, "-q"], stdout=writer, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (Exit.GOOD, b"")


@pytest.mark.parametrize(("name", "status"), [("a", Exit.GOOD), ("b", Exit.NOT_FOUND)])
def test_where_nobody_reads_what_is_said_beside_it_the_result_and_the_status_are_the_same(
    cli: Cli, gateway: FakeGateway, name: str, status: Exit
) -> None:
    gateway.corpus("a")
    reader, writer = os.pipe()
    os.close(reader)
    words = ["documents", "text", "d", "-c", "x"] if name == "b" else ["search", "x"]
    try:
        done = subprocess.run([*COMMAND, *words], stdout=subprocess.PIPE, stderr=writer, check=False)
    finally:
        os.close(writer)
    assert (done.returncode, bool(done.stdout)) == (status, status == Exit.GOOD)
