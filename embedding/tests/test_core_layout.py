"""How the service is put together, where a reader would trust it and not look."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.config import Settings

FOLDER = Path(__file__).parent.parent


def test_the_core_imports_neither_fastapi_nor_celery() -> None:
    lines = [
        line
        for path in (FOLDER / "app" / "core").rglob("*.py")
        for line in path.read_text().splitlines()
        if re.match(r"\s*(from|import) (fastapi|starlette|celery|app\.api|app\.worker)\b", line)
    ]
    assert lines == []


def test_sql_is_in_storage_modules_only() -> None:
    holders = {
        path.relative_to(FOLDER / "app").parts[:2]
        for path in (FOLDER / "app").rglob("*.py")
        if re.search(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM) \w+.*\b(FROM|SET|VALUES|WHERE)\b", path.read_text())
    }
    assert holders == {("core", "storage")}


def test_env_example_and_settings_have_the_same_keys() -> None:
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", (FOLDER / ".env.example").read_text(), re.MULTILINE))
    in_compose = set(re.findall(r"\$\{([A-Z0-9_]+)", (FOLDER / "docker-compose.yml").read_text()))
    # no VM sets these: its images come from a registry, and Compose names the project after the folder
    in_compose -= {"IMAGE_DIGEST", "COMPOSE_PROJECT_NAME"}
    assert named == set(Settings.model_fields) | in_compose


@pytest.mark.parametrize("missing", ["DATABASE_URL", "REDIS_URL", "EMBEDDING_API_KEY", "EMBEDDING_MODEL"])
def test_a_setting_without_which_nothing_works_has_no_default(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(missing)
    with pytest.raises(ValueError, match=missing):
        Settings(_env_file=None)


def test_the_app_imports_its_telemetry_first() -> None:
    program = (
        "import app.main, fastapi; from opentelemetry.instrumentation.fastapi import _InstrumentedFastAPI as wanted;"
    )
    program += "assert isinstance(app.main.app, wanted), type(app.main.app)"
    subprocess.run([sys.executable, "-c", program], cwd=FOLDER, check=True, timeout=240)
