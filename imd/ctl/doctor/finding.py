"""What a check finds: how bad it is, what it means, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple


class Level(IntEnum):
    """The worst one decides how the command ends."""

    OK = 0
    #: Worth knowing, and right as it is for many.
    NOTE = 1
    #: Works, and will not when something else happens.
    WARN = 2
    #: Does not work, loses data, or is open to strangers.
    FAIL = 3


class Finding(NamedTuple):
    """What one check has to say of one thing."""

    level: Level
    check: str
    #: The file, server or process that was looked at.
    about: str
    #: What was seen.
    found: str
    #: What follows from it; empty if all is well.
    means: str = ""
    #: What to do; empty if nothing.
    do: str = ""


class Check(NamedTuple):
    """Something that is looked at; each is described in docs/doctor.rst under its name."""

    name: str
    #: What follows if it is not well, unless the finding says something closer.
    means: str

    def ok(self, about: str, found: str) -> Finding:
        """It is as it should be."""
        return Finding(Level.OK, self.name, about, found)

    def note(self, about: str, found: str, do: str, *, means: str = "") -> Finding:
        """See ``Level``."""
        return Finding(Level.NOTE, self.name, about, found, means or self.means, do)

    def warn(self, about: str, found: str, do: str, *, means: str = "") -> Finding:
        """See ``Level``."""
        return Finding(Level.WARN, self.name, about, found, means or self.means, do)

    def fail(self, about: str, found: str, do: str, *, means: str = "") -> Finding:
        """See ``Level``."""
        return Finding(Level.FAIL, self.name, about, found, means or self.means, do)


def worst_of(findings: Iterable[Finding]) -> Level:
    """The highest level; ``OK`` of none."""
    return max((finding.level for finding in findings), default=Level.OK)
