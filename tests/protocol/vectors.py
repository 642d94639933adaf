"""Reads protocol/vectors; protocol/vectors/README.rst describes the format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "protocol" / "vectors"


def load(name: str) -> dict[str, list[dict[str, Any]]]:
    """The groups of a vector file."""
    groups: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    del groups["about"]
    return groups


def octets(text: str) -> bytes:
    """The bytes of a hex string in which ``61*300`` means 300 times the byte 0x61."""
    parts = []
    for token in text.split():
        digits, _, times = token.partition("*")
        parts.append(bytes.fromhex(digits) * int(times or "1"))
    return b"".join(parts)
