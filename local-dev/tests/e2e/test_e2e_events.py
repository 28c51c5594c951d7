"""Events and uploads at the gateway: what a client is told while its work is done, and documents that it sends along."""

import io
import json
import os
import re
import subprocess
import uuid
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Stage
from e2e_caller import Caller
from standins.brochure import TITLE, brochure

pytestmark = pytest.mark.xdist_group("fleet")

DOCS = Path(__file__).parents[2] / "docs" / "batches-events-webhooks.md"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
EXAMPLES = "https://www.example.com/"


def a_docx(text: str) -> bytes:
    """Return a document of Word's with one paragraph."""
    names = "http://schemas.openxmlformats.org"
    types = (
        f'<Types xmlns="{names}/package/2006/content-types"><Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/word/document.xml" '
        f'ContentType="{DOCX}.main+xml"/></Types>'
    )
    relations = (
        f'<Relationships xmlns="{names}/package/2006/relationships"><Relationship Id="r1" Type='
        f'"{names}/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>'
    )
    document = (
        f'<w:document xmlns:w="{names}/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p>'
        "</w:body></w:document>"
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in (
            *(("[Content_Types].xml", types), ("_rels/.rels", relations), ("word/document.xml", document)),
        ):
            archive.writestr(name, part)
    return packed.getvalue()


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    told = []
    for block in answer.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in fields:
            told.append({**fields, "data": json.loads(fields["data"])})
    return told


def follow(caller: Caller, path: str) -> list[dict[str, Any]]:
    """Every event of a subject up to its end, however often its stream ends before."""
    told: list[dict[str, Any]] = []
    while True:
        seen = {"Last-Event-ID": told[-1]["id"]} if told else {}
        answer = caller.request("GET", f"/api/orchestrator{path}/events", headers=seen, timeout=70)
        if answer.status_code == 204:
            return told
        assert answer.status_code == 200, answer.text
        told += events(answer)


def test_the_commands_of_the_documentation_do_what_it_says(stage: Stage, caller: Caller, tmp_path: Path) -> None:
    here = stage.web.add("/first", "curlew", 4)
    stage.web.add("/second", "godwit", 4)
    (web,) = re.findall(r"^(http://[^/]+/)first$", here)
    commands = "".join(re.findall(r"```sh\n(.*?)```", DOCS.read_text(), re.DOTALL)).replace(EXAMPLES, web)
    done = subprocess.run(
        ["/bin/sh", "-eu"],
        input=commands,
        cwd=tmp_path,
        env={**os.environ, "GATEWAY": stage.fleet.gateway, "API_KEY": stage.fleet.keys["user"], "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("event: ended") == 1
    assert len(re.findall(r"event: completed\ndata: ", done.stdout)) == 2  # the job, followed twice
    assert '"status":"completed"' in done.stdout, "the upload that prefers to wait"
    assert "problem" not in done.stdout
    assert [result["url"] for result in caller.search("reading room nine to five", "examples", top_k=1)] == [
        "upload:hours.md"
    ]


def test_a_jobs_events_tell_its_whole_way_once_and_in_order(stage: Stage, caller: Caller) -> None:
    corpus = f"events-{uuid.uuid4().hex[:8]}"
    job_id = caller.submit(stage.web.add(f"/{corpus}", "plover", 4), corpus).json()["job_id"]
    told = follow(caller, f"/jobs/{job_id}")
    assert [event["id"] for event in told] == [str(number) for number in range(1, len(told) + 1)]
    kinds = [event["event"] for event in told]
    assert (kinds[0], kinds[-2:], kinds.count("advanced")) == ("submitted", ["committing", "completed"], 2)
    assert told[-1]["data"]["counts"]["chunks"] >= 1


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [("brochure.pdf", "application/pdf", TITLE), ("note.docx", DOCX, "The bittern booms in the reeds at dusk.")],
)
def test_an_uploaded_file_is_searchable(caller: Caller, name: str, kind: str, words: str) -> None:
    corpus = f"upload-{uuid.uuid4().hex[:8]}"
    body = brochure() if name.endswith("pdf") else a_docx(words)
    answer = caller.request(
        "POST",
        "/api/orchestrator/documents",
        files={"file": (name, body, kind)},
        data={"corpus_name": corpus, "metadata": '{"shelf": 3}'},
    )
    assert answer.status_code == 202, answer.text
    job = caller.wait(answer.json()["job_id"])
    assert job["status"] == "completed", job
    (result, *_) = caller.search(words, corpus)
    assert (result["url"], result["metadata"]) == (f"upload:{name}", {"shelf": 3})


def test_an_upload_of_a_kind_that_is_not_read_fails_and_says_which_are(caller: Caller) -> None:
    files = {"file": ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(100), "image/png")}
    answer = caller.request("POST", "/api/orchestrator/documents", files=files)
    job = caller.wait(answer.json()["job_id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "unsupported_content_type")
    assert "PDF, DOCX" in job["error"]["message"]
