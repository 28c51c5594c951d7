"""`alloy.env`: what Alloy would end over, or send to where nobody takes it, is said beforehand, by name and without a value."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from stacks import telemetry
from stacks.__main__ import main
from stacks.answers import ASKED, AnswersError, check
from stacks.dotenv import read, variables
from stacks.plan import STACKS
from stacks.telemetry_values import CHECKS, ENDPOINTS, HEADERS

from ml_shared.testing.nasty import PRINTABLE

REPOSITORY = Path(__file__).resolve().parents[2]
RIGHT = {
    "TEMPO_REMOTE_ENDPOINT": "https://lgtm.test/tempo",
    "LOKI_REMOTE_ENDPOINT": "https://lgtm.test/loki/api/v1/push",
    "MIMIR_REMOTE_ENDPOINT": "https://lgtm.test/api/v1/push",
    "PYROSCOPE_REMOTE_ENDPOINT": "https://lgtm.test/pyroscope",
}
ANSWERS = {
    **{name: f"10.0.0.{number}" for number, name in enumerate(("GATEWAY", "ORCHESTRATOR", "SCRAPER", "EMBEDDING"), 9)},
    "CHUNKING": "10.0.0.13,10.0.0.14",
    "MEMBERSHIP_URL": "http://10.0.0.5:8000",
    "EMBEDDING_API_BASE_URL": "http://10.0.0.20:8080/v1",
    "EMBEDDING_API_KEY": PRINTABLE.strip(),
    "TOKENIZER_SHA256": "0" * 64,
}


def alloy_env(name: str = "a-vm", **more: str) -> str:
    return "".join(f"{variable}='{value}'\n" for variable, value in {"VM_NAME": name, **RIGHT, **more}.items())


def faults(text: str, stack: str = "orchestrator") -> list[str]:
    prefix = f"{stack}/alloy/alloy.env: "
    lines = telemetry.faults({stack: text})
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


def test_every_variable_of_every_example_has_a_check_and_no_other_has() -> None:
    named = {name for stack in STACKS for name in variables((REPOSITORY / stack / telemetry.EXAMPLE).read_text())[0]}
    assert named == set(CHECKS)


def test_an_example_that_was_copied_and_not_filled_in_is_told_all_that_is_missing() -> None:
    for stack in STACKS:
        said = faults((REPOSITORY / stack / telemetry.EXAMPLE).read_text(), stack)
        assert [line.split()[0] for line in said] == ["VM_NAME", *ENDPOINTS]
        assert all("placeholder" in line for line in said)
    assert [line.split()[0] for line in faults("# nothing\n")] == ["VM_NAME", *ENDPOINTS]


def test_what_is_right_is_not_spoken_of() -> None:
    basic = '{"Authorization": "Basic dTpw", "X-Scope-OrgID": "a tenant"}'
    dsn = "postgresql://alloy:p%40ss@postgres:5432/ml_jobs?sslmode=disable"
    assert faults(alloy_env()) == []
    assert faults(alloy_env(LGTM_BEARER_TOKEN="aZ09-._~+/==", TRACE_SAMPLING_PERCENT="2.5")) == []
    assert faults(alloy_env(LGTM_HEADERS_JSON=basic, POSTGRES_EXPORTER_DSN=dsn, ALLOY_LOG_LEVEL="debug")) == []
    assert faults(alloy_env(REDIS_PASSWORD=PRINTABLE.replace("'", "").replace("\\", ""))) == []
    assert faults(alloy_env(HTTPS_PROXY="http://proxy:3128", NO_PROXY="lgtm.test")) == []
    assert faults(alloy_env(LGTM_BEARER_TOKEN="", LGTM_HEADERS_JSON="{}", TRACE_SAMPLING_PERCENT="")) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MIMIR_REMOTE_ENDPOINT", "http://prometheus:9090/api/v1/write"),
        ("MIMIR_REMOTE_ENDPOINT", "https://lgtm.test/mimir/api/v1/push"),
        ("MIMIR_REMOTE_ENDPOINT", "https://prometheus-prod-01.grafana.net/api/prom/push"),
        ("MIMIR_REMOTE_ENDPOINT", "http://victoria:8480/insert/0/prometheus/api/v1/write"),
        ("MIMIR_REMOTE_ENDPOINT", "http://thanos:19291/api/v1/receive"),
        ("LOKI_REMOTE_ENDPOINT", "http://10.0.0.8:3100/loki/api/v1/push"),
        ("TEMPO_REMOTE_ENDPOINT", "http://tempo:4318"),
        ("TEMPO_REMOTE_ENDPOINT", "https://[fd00::8]:4318/"),
        ("PYROSCOPE_REMOTE_ENDPOINT", "http://pyroscope:4040/"),
        ("TRACE_SAMPLING_PERCENT", "0"),
        ("TRACE_SAMPLING_PERCENT", "100"),
        ("POSTGRES_EXPORTER_DSN", "postgres://a:b@postgres/ml_jobs"),
    ],
)
def test_addresses_that_a_server_takes_things_at_are_taken(name: str, value: str) -> None:
    assert CHECKS[name](value) is None


WRONG_ADDRESSES = {
    "https://<lgtm-cluster>/s3cret": "placeholder",
    "lgtm.test/s3cret": "https://",
    "grpc://lgtm.test/s3cret": "https://",
    "https://user:s3cret@lgtm.test/": "user name or password",
    "https://lgtm.test/s3cret path": "blank",
    "https://lgtm.test/s3cret\t": "blank",
    "https://lgtm.test/s3cret?x=1": "query",
    "https://lgtm.test/s3cret#x": "fragment",
    "https:///s3cret": "host",
    "https://lgtm.test:/s3cret": "port",
    "https://lgtm.test:s3cret/": "no URL",
    "https://[s3cret": "no URL",
    "http://localhost:3100/s3cret": "own container",
    "http://127.0.0.1:3100/s3cret": "own container",
    "https://lgtm.tést/s3cret": "blank",
}


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize(("value", "says"), WRONG_ADDRESSES.items(), ids=map(str, range(len(WRONG_ADDRESSES))))
def test_what_can_be_no_address_is_refused(name: str, value: str, says: str) -> None:
    (said,) = faults(alloy_env(**{name: value}))
    assert says in said
    assert said.startswith(f"{name} ")
    assert said.endswith(f"{name}={telemetry.RIGHT[name]}")
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("MIMIR_REMOTE_ENDPOINT", "https://s3cret.test/prometheus/api/v1/write", "404"),
        ("MIMIR_REMOTE_ENDPOINT", "https://s3cret.test/insert/prometheus/api/v1/write", "404"),
        ("MIMIR_REMOTE_ENDPOINT", "https://s3cret.test", "/api/v1/push of Mimir"),
        ("MIMIR_REMOTE_ENDPOINT", "https://s3cret.test/api/v1/push/", "/api/v1/push of Mimir"),
        ("MIMIR_REMOTE_ENDPOINT", "https://s3cret.test/prometheus", "/api/v1/push of Mimir"),
        ("MIMIR_REMOTE_ENDPOINT", "https://s3cret.test/loki/api/v1/query", "/api/v1/push of Mimir"),
        ("LOKI_REMOTE_ENDPOINT", "https://s3cret.test/loki", "end in /loki/api/v1/push"),
        ("LOKI_REMOTE_ENDPOINT", "https://s3cret.test/api/v1/push", "end in /loki/api/v1/push"),
        ("TEMPO_REMOTE_ENDPOINT", "https://s3cret.test/tempo/v1/traces", "already ends"),
        ("TEMPO_REMOTE_ENDPOINT", "https://s3cret.test/v1/traces/", "already ends"),
        ("TEMPO_REMOTE_ENDPOINT", "http://s3cret.test:4317", "4318"),
        ("PYROSCOPE_REMOTE_ENDPOINT", "https://s3cret.test/ingest", "adds by itself"),
        ("LGTM_BEARER_TOKEN", 'a"s3cret', "RFC 6750"),
        ("LGTM_BEARER_TOKEN", "a s3cret", "RFC 6750"),
        ("LGTM_BEARER_TOKEN", "=s3cret", "RFC 6750"),
        ("LGTM_BEARER_TOKEN", "Bearer s3cret", "without the word Bearer"),
        ("LGTM_BEARER_TOKEN", "<s3cret>", "placeholder"),
        ("LGTM_HEADERS_JSON", "{s3cret", "no JSON"),
        ("LGTM_HEADERS_JSON", '["s3cret"]', "no JSON object"),
        ("LOKI_HEADERS_JSON", '{"X": 1, "Y": "s3cret"}', "strings"),
        ("LOKI_HEADERS_JSON", '{"X": {"Y": "s3cret"}}', "strings"),
        ("MIMIR_HEADERS_JSON", '{"X Y": "s3cret"}', "name"),
        ("MIMIR_HEADERS_JSON", '{"": "s3cret"}', "name"),
        ("TEMPO_HEADERS_JSON", '{"X": "s3cret\\n"}', "value"),
        ("TEMPO_HEADERS_JSON", '{"X": " s3cret"}', "value"),
        ("TEMPO_HEADERS_JSON", '{"X": "s3cret", "x": "other"}', "twice"),
        ("PYROSCOPE_HEADERS_JSON", '{"Authorization": "Basic <s3cret>"}', "placeholder"),
        ("TRACE_SAMPLING_PERCENT", "s3cret", "0 to 100"),
        ("TRACE_SAMPLING_PERCENT", "10%", "0 to 100"),
        ("TRACE_SAMPLING_PERCENT", "101", "0 to 100"),
        ("TRACE_SAMPLING_PERCENT", "-1", "0 to 100"),
        ("TRACE_SAMPLING_PERCENT", "0,5", "0 to 100"),
        ("TRACE_SAMPLING_PERCENT", "010", "0 to 100"),
        ("TRACE_SAMPLING_PERCENT", ".5", "0 to 100"),
        ("ALLOY_LOG_LEVEL", "s3cret", "debug"),
        ("ALLOY_LOG_LEVEL", "INFO", "debug"),
        ("VM_NAME", "<s3cret>", "placeholder"),
        ("REDIS_PASSWORD", "<s3cret>", "placeholder"),
        ("POSTGRES_EXPORTER_DSN", "postgresql://alloy:<s3cret>@postgres/ml_jobs", "placeholder"),
        ("POSTGRES_EXPORTER_DSN", "postgresql://alloy:s3cret/@postgres/ml_jobs", "percent-encoded"),
        ("POSTGRES_EXPORTER_DSN", "postgresql+asyncpg://alloy:s3cret@postgres/ml_jobs", "postgresql://"),
        ("POSTGRES_EXPORTER_DSN", "host=postgres password=s3cret", "postgresql://"),
        ("POSTGRES_EXPORTER_DSN", "postgresql://alloy:s3cret%20@postgres/ml_jobs", "space"),
        ("POSTGRES_EXPORTER_DSN", "postgresql://s3cret@postgres/ml_jobs", "password"),
        ("POSTGRES_EXPORTER_DSN", "postgresql://alloy:s3cret@postgres", "no database"),
        ("POSTGRES_EXPORTER_DSN", "postgresql://alloy:s3cret@postgres/ml_jobs?sslmode=prefer", "sslmode"),
    ],
)
def test_a_value_that_alloy_or_the_cluster_would_refuse_is_named_with_what_is_right(
    name: str, value: str, says: str
) -> None:
    (said,) = faults(alloy_env(**{name: value}))
    assert said.startswith(f"{name} ")
    assert says in said
    assert "s3cret" not in said


def test_no_character_of_a_token_gets_by_that_a_header_or_json_would_change() -> None:
    taken = {one for one in PRINTABLE if CHECKS["LGTM_BEARER_TOKEN"](f"a{one}b") is None}
    assert {one for one in taken if not one.isalnum()} == set("-._~+/")


@pytest.mark.parametrize("name", HEADERS)
def test_a_token_and_headers_exclude_each_other(name: str) -> None:
    (said,) = faults(alloy_env(LGTM_BEARER_TOKEN="s3cret", **{name: '{"X": "s3cret"}'}))
    assert said.startswith(f"LGTM_BEARER_TOKEN and {name} are both set")
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MIMIR_REMOTE_ENDPIONT", "MIMIR_REMOTE_ENDPOINT"),
        ("lgtm_bearer_token", "LGTM_BEARER_TOKEN"),
        ("POSTGRES_EXPORTER_DNS", "POSTGRES_EXPORTER_DSN"),
    ],
)
def test_a_name_that_was_mistyped_is_told_the_one_that_was_meant(name: str, meant: str) -> None:
    (said,) = faults(alloy_env() + f"{name}=s3cret\n")
    assert said == f"{name} is not read by this stack's Alloy: is {meant} meant?"


def test_a_variable_of_another_stack_is_not_read_either() -> None:
    (said,) = faults(alloy_env(POSTGRES_EXPORTER_DSN="postgresql://a:b@c/d"), "chunking")
    assert said.startswith("POSTGRES_EXPORTER_DSN is not read")


def test_vms_have_names_of_their_own_and_sample_alike() -> None:
    texts = {stack: alloy_env(stack, TRACE_SAMPLING_PERCENT="100.0" if stack == "scraper" else "") for stack in STACKS}
    assert telemetry.faults(texts) == []
    texts["chunking"] = alloy_env("scraper")
    texts["embedding"] = alloy_env("embedding", TRACE_SAMPLING_PERCENT="50")
    named, sampled = telemetry.faults(texts)
    assert named.startswith("VM_NAME is the same in scraper, chunking")
    assert sampled.startswith("TRACE_SAMPLING_PERCENT differs")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b c", "b c"),
        ("A=b # c", "b"),
        ("A=b#c", "b#c"),
        ("  export A = 'b' # c", "b"),
        ('A=\'{"X": "$y # z"}\'', '{"X": "$y # z"}'),
        ('A={"X": "y"}', '{"X": "y"}'),
        ("A='it\\'s'", "it's"),
        ('A="a\\"b\\\\c\\$d$$e"', 'a"b\\c$d$e'),
        ("A=a$$b", "a$b"),
        ("A=", ""),
    ],
)
def test_a_line_is_read_as_compose_reads_it(line: str, value: str) -> None:
    found = read(f"# about\n\n{line}\n")
    assert (found, found.faults) == ({"A": value}, {})


@pytest.mark.parametrize(
    ("line", "name", "says"),
    [
        ("A=s3cret$x", "A", "single quotes"),
        ('A="s3cret${x}"', "A", "single quotes"),
        ("A='s3cret", "A", "not closed"),
        ('A="s3cret\\"', "A", "not closed"),
        ("A='s3cret'x", "A", "goes on"),
        ("s3cret", "line 1", "NAME=value"),
        ("A=1\nA=s3cret", "A", "twice"),
    ],
)
def test_a_line_that_compose_would_read_otherwise_than_it_looks_is_named(line: str, name: str, says: str) -> None:
    found = read(f"{line}\n")
    assert list(found.faults) == [name]
    assert says in found.faults[name]
    assert "s3cret" not in found.faults[name]
    assert any(said.startswith(f"{name} ") for said in faults(line))


def test_the_command_says_what_there_is_and_shows_no_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert telemetry.main(tmp_path) == 0
    assert "No stack has" in capsys.readouterr().out
    for stack, token in (("scraper", "s3cret"), ("gateway-vm", 's3cret"')):
        (tmp_path / stack / "alloy").mkdir(parents=True)
        (tmp_path / stack / "alloy" / "alloy.env").write_text(alloy_env(stack, LGTM_BEARER_TOKEN=token))
    assert telemetry.main(tmp_path) == 1
    said = capsys.readouterr().out
    assert said.startswith("  gateway-vm/alloy/alloy.env: LGTM_BEARER_TOKEN has a character")
    assert said.endswith("alloy/alloy.env of scraper, gateway-vm: to be put right\n")
    assert "s3cret" not in said
    (tmp_path / "gateway-vm" / "alloy" / "alloy.env").unlink()
    assert telemetry.main(tmp_path) == 0
    assert capsys.readouterr().out == "alloy/alloy.env of scraper: all right\n"


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    given = {**ANSWERS, **RIGHT, "LGTM_BEARER_TOKEN": "s3cret"}
    for name in ASKED:
        monkeypatch.setenv(name, given.get(name, ""))
    return given


@pytest.mark.usefixtures("answered")
def test_make_env_writes_alloy_env_where_it_is_told_where_telemetry_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--into", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "s3cret" not in said.out + said.err
    assert "Of chunking there are several VMs" in said.out
    made = telemetry.found(tmp_path)
    assert list(made) == list(STACKS)
    assert telemetry.faults(made) == []
    for stack, text in made.items():
        wanted = {**RIGHT, "LGTM_BEARER_TOKEN": "s3cret", "VM_NAME": stack.removesuffix("-vm")}
        assert read(text) == wanted
        assert (tmp_path / stack / telemetry.FILE).stat().st_mode & 0o777 == 0o600


def test_without_it_says_what_is_missing_and_writes_the_rest(
    answered: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (*ENDPOINTS, "LGTM_BEARER_TOKEN"):
        monkeypatch.setenv(name, "")
    assert main(["--into", str(tmp_path)]) == 0
    assert telemetry.found(tmp_path) == {}
    said = capsys.readouterr().out
    assert "telemetry of orchestrator, scraper, chunking, embedding, gateway-vm goes nowhere" in said
    assert all(name in said for name in ENDPOINTS)


@pytest.mark.usefixtures("answered")
def test_an_alloy_env_that_is_there_is_kept_and_a_wrong_one_stops_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "scraper" / telemetry.FILE
    there.parent.mkdir(parents=True)
    there.write_text(alloy_env("scraper", TRACE_SAMPLING_PERCENT="s3cret"))
    assert main(["--into", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "scraper/alloy/alloy.env: TRACE_SAMPLING_PERCENT is no number" in said
    assert "s3cret" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["scraper"]
    assert os.listdir(tmp_path / "scraper") == ["alloy"]
    there.write_text(alloy_env("chunking", TRACE_SAMPLING_PERCENT="50"))
    assert main(["--into", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "VM_NAME is the same in scraper, chunking" in said
    assert "TRACE_SAMPLING_PERCENT differs" in said
    assert os.listdir(tmp_path / "scraper") == ["alloy"]
    there.write_text(alloy_env("kept"))
    assert main(["--into", str(tmp_path)]) == 0
    assert read(there.read_text())["VM_NAME"] == "kept"
    assert f"found to be right: {there}" in capsys.readouterr().out
    there.write_text(alloy_env("scraper", ALLOY_LOG_LEVEL="s3cret"))
    assert main(["--into", str(tmp_path)]) == 1
    assert "ALLOY_LOG_LEVEL is none of" in capsys.readouterr().err
    assert main(["--into", str(tmp_path), "--force"]) == 0
    assert read(there.read_text())["VM_NAME"] == "scraper"
    assert telemetry.faults(telemetry.found(tmp_path)) == []


@pytest.mark.parametrize("name", ENDPOINTS)
def test_an_answer_of_telemetry_that_is_missing_or_wrong_is_named(name: str) -> None:
    with pytest.raises(AnswersError) as refused:
        check({**ANSWERS, **RIGHT, name: ""})
    assert str(refused.value) == f"{name} is missing: {name}={telemetry.RIGHT[name]}"
    with pytest.raises(AnswersError) as refused:
        check({**ANSWERS, **RIGHT, name: "https://s3cret:s3cret@lgtm.test"})
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{name} is wrong (has a user name")
    assert "s3cret" not in line


def test_a_token_alone_asks_for_the_addresses_and_a_wrong_one_is_not_repeated() -> None:
    with pytest.raises(AnswersError) as refused:
        check({**ANSWERS, "LGTM_BEARER_TOKEN": 's3"cret'})
    lines = str(refused.value).splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted((*ENDPOINTS, "LGTM_BEARER_TOKEN"))
    assert "cret" not in str(refused.value)
