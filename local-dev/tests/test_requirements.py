"""What is installed is pinned, and no file says from where."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = sorted(REPOSITORY.glob("*/requirements*.txt"))


def test_every_image_and_the_local_environment_have_a_file() -> None:
    assert {str(path.relative_to(REPOSITORY)) for path in FILES} == {
        "local-dev/requirements.txt",
        "local-dev/requirements-bootstrap.txt",
        "local-dev/requirements-model.txt",
        "local-dev/requirements-quality.txt",
        "local-dev/requirements-scrapy.txt",
        "ml-shared/requirements-build.txt",
        *(f"{service}/requirements.txt" for service in ("orchestrator", "scraper", "chunking", "embedding")),
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_line_is_pinned_with_hashes_and_names_no_host_and_no_path(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert not re.search(r"(^|\s)/\w", text)
    requirements = re.findall(r"^(?!\s|#).+?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert requirements
    for requirement in requirements:
        assert re.match(r"[A-Za-z0-9_.\[\],-]+==\S+", requirement), requirement
        assert "--hash=sha256:" in requirement
    assert not re.search(r"^(ml-shared|cloudcix)", text, re.MULTILINE)


def test_images_get_the_versions_that_the_tests_ran_with() -> None:
    local = _versions(REPOSITORY / "local-dev" / "requirements.txt")
    for path in FILES:
        if path.parent.name != "local-dev":
            assert _versions(path).items() <= local.items()


def _versions(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)\S*==(\S+)", path.read_text(), re.MULTILINE))
