"""Which subjects a subscription's pattern covers: ``*`` is one token, a final ``>`` the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


def is_pattern(subject: str) -> bool:
    """Whether a subscription to this covers more than one subject."""
    return "*" in subject or ">" in subject


def check_subject(subject: str) -> str:
    """The subject itself, if one can publish to it: non-empty tokens, no wildcards; else ValueError."""
    if is_pattern(subject) or not all(subject.split(".")) or any(c.isspace() for c in subject):
        raise ValueError(f"not a subject to send to: {subject!r}")
    return subject


def matcher(pattern: str) -> Callable[[str], bool]:
    """Tells whether a subject is covered by the pattern; ValueError if that is none."""
    tokens = pattern.split(".")
    if not all(tokens) or any(c.isspace() for c in pattern):
        raise ValueError(f"empty token or blank in {pattern!r}")
    if any(len(token) > 1 and is_pattern(token) for token in tokens) or ">" in tokens[:-1]:
        raise ValueError(f"a wildcard must be a token of its own, and > the last: {pattern!r}")
    if not is_pattern(pattern):
        return pattern.__eq__
    rest = tokens[-1] == ">"
    head = tokens[:-1] if rest else tokens

    def matches(subject: str) -> bool:
        parts = subject.split(".")
        if len(parts) <= len(head) if rest else len(parts) != len(head):
            return False
        return all(token in ("*", part) for token, part in zip(head, parts, strict=False))

    return matches


class Routes(Generic[T]):
    """Pattern -> targets. Exact subjects are one dict lookup, patterns are tried one by one."""

    def __init__(self) -> None:
        self._exact: dict[str, list[T]] = {}
        self._patterns: list[tuple[Callable[[str], bool], T]] = []

    def add(self, pattern: str, target: T) -> None:
        """Have ``find`` name the target for every subject under the pattern."""
        matches = matcher(pattern)
        if is_pattern(pattern):
            self._patterns.append((matches, target))
        else:
            self._exact.setdefault(pattern, []).append(target)

    def find(self, subject: str) -> list[T]:
        """All targets of a subject; do not keep or change the list."""
        found = self._exact.get(subject, [])
        if self._patterns:
            return found + [target for matches, target in self._patterns if matches(subject)]
        return found
