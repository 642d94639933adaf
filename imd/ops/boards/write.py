"""Writes every board into a folder: ``python -m imd.ops.boards.write etc/grafana``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from imd.ops.boards.every import BOARDS
from imd.ops.boards.model import Board, dashboard


def text(board: Board) -> str:
    """What its file holds."""
    return json.dumps(dashboard(board), indent=1) + "\n"


def write(folder: Path) -> None:
    """One file a board."""
    for board in BOARDS:
        (folder / f"{board.name}.json").write_text(text(board), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
