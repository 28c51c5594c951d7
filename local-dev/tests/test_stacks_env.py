"""`make env`: five `.env` files that fit together, made from the examples, with secrets that are shown nowhere."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from stacks.__main__ import main
from stacks.answers import ASKED, AnswersError, check
from stacks.dotenv import DotenvError, fill, required, write
from stacks.plan import STACKS

REPOSITORY = Path(__file__).resolve().parents[2]
LOADED = "from app.config import settings; import json; print(json.dumps(sorted(settings.internal_callers.items())))"
ANSWERS = {
    "GATEWAY": "10.0.0.9",
    "ORCHESTRATOR": "10.0.0.10",
    "SCRAPER": "10.0.0.11",
    "CHUNKING": "10.0.0.12, 10.0.0.14:9002",
    "EMBEDDING": "10.0.0.13",
    "MEMBERSHIP_URL": "http://10.0.0.5:8000/",
    "EMBEDDING_API_BASE_URL": "http://10.0.0.20:8080/v1",
    "EMBEDDING_API_KEY": "the endpoint's key",
    "TOKENIZER_SHA256": hashlib.sha256(b"tokenizer").hexdigest(),
}


def variables(path: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in path.read_text().splitlines() if re.match(r"[A-Z]", line))
    return {name: value for name, _, value in lines}


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    for name in ASKED:
        monkeypatch.setenv(name, ANSWERS.get(name, ""))
    return ANSWERS


@pytest.fixture
def written(answered: Mapping[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Path]:
    """The five files, by stack."""
    assert main(["--into", str(tmp_path)]) == 0
    files = {stack: tmp_path / stack / ".env" for stack in STACKS}
    said = capsys.readouterr()
    secrets = [
        variables(path).get(name, "") for path in files.values() for name in ("SERVICE_API_KEY", "POSTGRES_PASSWORD")
    ]
    assert len(set(filter(None, secrets))) == 5
    assert not any(secret in said.out + said.err for secret in filter(None, secrets))
    return files


def test_each_file_is_its_owners_and_has_no_placeholder_left(written: dict[str, Path]) -> None:
    for path in written.values():
        assert path.stat().st_mode & 0o777 == 0o600
        assert required(path.read_text()) == {}


@pytest.mark.parametrize("stack", STACKS)
def test_every_variable_that_stops_up_has_a_value(written: dict[str, Path], stack: str) -> None:
    wanted = set(re.findall(r"\$\{([A-Z0-9_]+):\?", (REPOSITORY / stack / "docker-compose.yml").read_text()))
    found = variables(written[stack])
    assert wanted
    assert [name for name in sorted(wanted) if not found.get(name)] == []


def test_every_service_takes_its_file_and_knows_its_peers_by_their_keys(written: dict[str, Path]) -> None:
    def digest(stack: str) -> str:
        return hashlib.sha256(variables(written[stack])["SERVICE_API_KEY"].encode()).hexdigest()

    orchestrator = [[digest("orchestrator"), "orchestrator"]]
    known = {"orchestrator": sorted([[digest("scraper"), "scraper"], [digest("embedding"), "embedding"]])}
    for stack in STACKS[:-1]:
        loading = LOADED if stack != "chunking" else LOADED.replace("settings;", "Settings; settings = Settings();", 1)
        done = subprocess.run(
            [sys.executable, "-c", loading],
            cwd=written[stack].parent,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY / stack)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == known.get(stack, orchestrator)


def test_addresses_are_where_they_are_needed(written: dict[str, Path]) -> None:
    orchestrator, gateway = variables(written["orchestrator"]), variables(written["gateway-vm"])
    assert orchestrator["CHUNKING_URL"] == "http://10.0.0.12:8002"
    assert variables(written["scraper"])["ORCHESTRATOR_URL"] == "http://10.0.0.9/api/orchestrator"
    assert re.findall(r"server (\S+)", gateway["GATEWAY_CHUNKING_SERVERS"]) == ["10.0.0.12:8002", "10.0.0.14:9002"]
    assert variables(written["chunking"])["SERVICE_REPLICAS"] == "2"
    allowed = re.findall(r"allow (\S+);", gateway["GATEWAY_FLEET_ALLOW"])
    assert sorted(allowed) == sorted(f"10.0.0.{number}" for number in range(9, 15))


def test_embedding_reads_the_tokenizer_that_chunking_counts_with(written: dict[str, Path]) -> None:
    embedding, chunking = (variables(written[stack]) for stack in ("embedding", "chunking"))
    for name in ("TOKENIZER_FILE", "TOKENIZER_SHA256"):
        assert embedding[name] == chunking[name] != ""


def test_another_model_has_the_prefixes_that_were_given_and_not_the_examples(
    answered: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDDING_MODEL", "another")
    monkeypatch.setenv("EMBEDDING_PASSAGE_PREFIX", "passage: ")
    assert main(["--into", str(tmp_path)]) == 0
    embedding, chunking = (variables(tmp_path / stack / ".env") for stack in ("embedding", "chunking"))
    assert embedding["EMBEDDING_QUERY_PREFIX"] == ""
    assert embedding["EMBEDDING_PASSAGE_PREFIX"] == chunking["EMBEDDING_PASSAGE_PREFIX"] == "'passage: '"


def test_files_that_are_there_are_kept_unless_they_may_go(
    written: dict[str, Path], answered: Mapping[str, str], tmp_path: Path
) -> None:
    before = {stack: path.read_text() for stack, path in written.items()}
    written["scraper"].unlink()
    assert main(["--into", str(tmp_path)]) == 1
    assert not written["scraper"].exists()
    assert written["orchestrator"].read_text() == before["orchestrator"]
    assert main(["--into", str(tmp_path), "--force"]) == 0
    assert written["orchestrator"].read_text() != before["orchestrator"]


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_an_answer_that_is_missing_is_named_with_one_that_would_be_right(name: str) -> None:
    with pytest.raises(AnswersError) as refused:
        check({**ANSWERS, name: " "})
    asked = "TOKENIZER" if name == "TOKENIZER_SHA256" else name
    assert re.fullmatch(rf"{asked} is missing: {asked}=\S.*", str(refused.value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCRAPER", "http://10.0.0.11"),
        ("SCRAPER", "10.0.0.11:http"),
        ("MEMBERSHIP_URL", "10.0.0.5:8000"),
        ("TOKENIZER_SHA256", "abc"),
        ("FLEET_ALLOW", "10.0.0.0/24"),
        ("FLEET_ALLOW", "allow all;"),
        ("MEMBERSHIP_URL", "http://10.0.0.5:99999"),
        ("EMBEDDING_DIMENSIONS", "4096"),
        ("OWNER_SOURCE", "both"),
    ],
)
def test_an_answer_that_is_wrong_is_named_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(AnswersError) as refused:
        check({**ANSWERS, name: value})
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{name} is")
    assert value not in line.partition(": ")[0]


def test_filling_keeps_comments_uncomments_what_has_a_value_and_quotes_what_compose_would_change() -> None:
    example = "# about\nNAME=<name>\n#LIMIT=10\n#OTHER=1\nPRICE=<price>\n"
    filled = fill(example, {"NAME": "x", "LIMIT": "20", "PRICE": "$5 #1"})
    assert filled == "# about\nNAME=x\nLIMIT=20\n#OTHER=1\nPRICE='$5 #1'\n"


@pytest.mark.parametrize(
    ("values", "names"), [({}, "NAME"), ({"NAME": "x", "NOPE": "y"}, "NOPE"), ({"NAME": "a\nB=c"}, "NAME")]
)
def test_what_cannot_be_filled_is_refused_by_name(values: dict[str, str], names: str) -> None:
    with pytest.raises(DotenvError, match=rf"\b{names}\b"):
        fill("NAME=<name>\n", values)


def test_writing_replaces_nothing_by_itself(tmp_path: Path) -> None:
    write(tmp_path / ".env", "A=1\n")
    with pytest.raises(DotenvError, match="exists already"):
        write(tmp_path / ".env", "A=2\n")
    assert [path.name for path in tmp_path.iterdir()] == [".env"]
    assert (tmp_path / ".env").read_text() == "A=1\n"
