"""Writes every VM's `config.alloy` and the laptop's `alloy-local.alloy`: `python -m alloy_configs`, behind `make alloy`."""

import sys
from pathlib import Path

from alloy_configs.files import files

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> int:
    """Write the files that differ and return the exit status."""
    for name, text in files().items():
        path = REPOSITORY / name
        same = path.exists() and path.read_text() == text
        print(f"  {name}: {'unchanged' if same else 'written'}")
        if not same:
            path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
