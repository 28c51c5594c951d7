"""ml-shared stands by itself: installed from its folder into a new environment, its README's first application runs."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from ml_shared.testing.membership import FakeMembership

ML_SHARED = Path(__file__).parents[2] / "ml-shared"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new environment that has ml-shared, and the README's `app.py`."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copytree(
        ML_SHARED, folder / "ml-shared", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", ".*", "tests")
    )
    uv = Path(sys.executable).with_name("uv")
    python = folder / "venv" / "bin" / "python"
    for words in (
        ["venv", "--quiet", str(folder / "venv")],
        ["pip", "install", "--quiet", "--python", str(python), "."],
    ):
        subprocess.run([str(uv), *words], cwd=folder / "ml-shared", check=True, timeout=300)
    block = re.search(
        r"<!-- app.py -->\n```python\n(.*?)^```$", (ML_SHARED / "README.md").read_text(), re.DOTALL | re.M
    )
    assert block is not None
    (folder / "app.py").write_text(block[1])
    return folder


def test_the_first_application_of_its_readme_knows_who_calls(alone: Path, membership: FakeMembership) -> None:
    key = secrets.token_urlsafe(24)
    membership.add(key)
    # from there alone: what this environment has is not to help
    env = {"PATH": os.environ["PATH"], "SERVICE_NAME": "me", "MEMBERSHIP_URL": membership.url}
    process = subprocess.Popen(
        [str(alone / "venv" / "bin" / "uvicorn"), "app:app", "--port", "0"],
        cwd=alone,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line)
            if listening := re.search(r"running on (http://\S+)", line):
                break
        else:
            raise AssertionError("".join(said))
        url = f"{listening[1]}/me"
        unknown = httpx.get(url, trust_env=False, timeout=30)
        assert (unknown.status_code, unknown.json()["code"]) == (401, "missing_api_key")
        assert unknown.headers["content-type"] == "application/problem+json"
        known = httpx.get(url, headers={"X-API-Key": key}, trust_env=False, timeout=30)
        assert (known.status_code, known.json()["owner"][:4]) == (200, "key:")
    finally:
        process.terminate()
        rest, _ = process.communicate(timeout=60)
    assert key not in "".join(said) + rest


def test_the_package_carries_its_scripts_its_log_settings_and_its_types(alone: Path) -> None:
    code = (
        "import json, pathlib, ml_shared; folder = pathlib.Path(ml_shared.__file__).parent;"
        "print(json.dumps(sorted(p.name for p in folder.rglob('*') if p.suffix in {'.lua', '.json', '.typed'})))"
    )
    listed = subprocess.run(
        [str(alone / "venv" / "bin" / "python"), "-c", code], cwd=alone, capture_output=True, text=True, check=True
    )
    here = sorted(
        p.name for p in (ML_SHARED / "ml_shared").rglob("*") if p.suffix in {".lua", ".json"} or p.name == "py.typed"
    )
    assert json.loads(listed.stdout) == here
