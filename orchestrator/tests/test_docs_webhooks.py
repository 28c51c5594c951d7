"""The page on webhooks: its lines work as they stand, and its tables name what there is."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import ALICE

from app.core.notices.sending import ERROR_CODES
from ml_shared.contracts.webhooks import WebhookEvent
from ml_shared.testing.binaries import BinaryMissingError
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.plugin import require

PAGE = (Path(__file__).parents[2] / "local-dev" / "docs" / "webhooks.md").read_text()


def find_curl() -> str:
    found = shutil.which("curl")
    if found is None:
        raise BinaryMissingError("no curl: install it (on Debian and Ubuntu: apt install curl)")
    return found


def test_every_line_of_the_page_works(configured: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from app.main import app

    curl = require(find_curl)
    monkeypatch.setattr("ml_shared.service.shutdown_telemetry", lambda: None)
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 5
    environment = {"PATH": str(Path(curl).parent), "KEY": ALICE}
    with ThreadedServer(app) as server:
        environment["API"] = server.url
        said = []
        for block in blocks:
            done = subprocess.run(
                ["/bin/sh", "-ec", block],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, block + done.stderr
            said.append(done.stdout)
            if "WEBHOOK" not in environment:
                made = json.loads((tmp_path / "webhook.json").read_text())
                assert made["secret"].startswith("whsec_")
                environment["WEBHOOK"] = made["webhook_id"]
    assert "webhook.test" in said[1]
    assert '"paused":false' in said[2].replace(" ", "")
    assert "whsec_" in said[3]


def test_the_page_names_every_event_and_every_reason() -> None:
    for name in (*WebhookEvent, *ERROR_CODES):
        assert f"`{name}`" in PAGE, name
