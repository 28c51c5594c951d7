"""The page about this API names every filter of the list of jobs."""

import json
import re
from pathlib import Path

FOLDER = Path(__file__).parents[1]
PAGE = FOLDER.parent / "local-dev" / "docs" / "api-orchestrator.md"
OF_EVERY_LIST = {"limit", "cursor"}


def test_the_page_names_every_filter_of_the_list_of_jobs() -> None:
    listed = json.loads((FOLDER / "openapi.json").read_text())["paths"]["/jobs"]["get"]["parameters"]
    filters = {one["name"] for one in listed if one["in"] == "query"} - OF_EVERY_LIST
    section = PAGE.read_text().split("## List jobs\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == filters
    assert all(f"`{name}`" in section for name in OF_EVERY_LIST)
