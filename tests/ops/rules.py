"""etc/prometheus/rules.yml, read."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

PROMETHEUS = Path(__file__).resolve().parents[2] / "etc" / "prometheus"
RULES = PROMETHEUS / "rules.yml"


@cache
def groups() -> dict[str, list[dict[str, Any]]]:
    """The rules of each group."""
    listed = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {group["name"]: group["rules"] for group in listed}


def rules(kind: str) -> dict[str, dict[str, Any]]:
    """Name -> rule, of one kind: ``alert`` or ``record``."""
    found = [rule for group in groups().values() for rule in group if kind in rule]
    named = {rule[kind]: rule for rule in found}
    assert len(named) == len(found), "two rules have one name"
    return named
