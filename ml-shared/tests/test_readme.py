"""The README's code runs: each block on top of those before it, as somebody who reads it from the top would type it."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BEFORE = """
from typing import Any
from ml_shared.settings import ServiceSettings
settings = ServiceSettings()
async def fetch(url: str, resources: object) -> Any: ...
"""


def test_the_code_of_the_readme_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 9
    program = tmp_path / "readme.py"
    program.write_text("\n".join([BEFORE, *blocks]))
    env = {"SERVICE_NAME": "scraper", "MEMBERSHIP_URL": "http://127.0.0.1:9", "REDIS_URL": "redis://127.0.0.1:9/0"}
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr


def test_each_part_is_shown_in_at_most_ten_lines_beside_its_imports() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    for block in blocks:
        said = [line for line in block.splitlines() if line and not line.startswith(("from ", "import ", "@"))]
        assert len(said) <= 10, block
