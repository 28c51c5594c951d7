"""The dashboards as the files that Grafana is provisioned with."""

import json
from pathlib import Path
from typing import Final

from boards import embedding, fleet, gateway, objectives, pipeline, stores

FOLDER: Final = Path(__file__).parents[1] / "observe" / "grafana-provisioning" / "dashboards"
BOARDS: Final = (fleet.BOARD, pipeline.BOARD, gateway.BOARD, embedding.BOARD, stores.BOARD, objectives.BOARD)


def render_all() -> dict[str, str]:
    """Return each file's name and text."""
    return {f"{board.uid}.json": json.dumps(board.render(), indent=1, ensure_ascii=False) + "\n" for board in BOARDS}
