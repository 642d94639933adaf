"""The oldest version of everything that imd runs on or talks to, and why: one table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

Version = tuple[int, ...]


class Floor(NamedTuple):
    """A version, and why nothing below it will do."""

    version: Version
    reason: str

    def __str__(self) -> str:
        return dotted(self.version)


class Fixed(NamedTuple):
    """A flaw that was repaired in several lines of releases at once."""

    flaw: str
    #: The first good one of each line (major, minor), and of all newer lines the last.
    releases: tuple[Version, ...]

    def is_in(self, version: Version) -> bool:
        """Whether a version has the repair, going by its number alone."""
        if version >= max(self.releases):
            return True
        return any(version[:2] == release[:2] and version >= release for release in self.releases)


PYTHON = Floor((3, 11), "asyncio.timeout, tomllib and exception groups")
SQLITE = Floor((3, 33), "the table sqlite_schema")
#: https://sqlite.org/wal.html, "The WAL-reset bug".
SQLITE_WAL_RESET = Fixed(
    "the WAL-reset bug: two connections that write and checkpoint at the same moment may damage a database",
    ((3, 44, 6), (3, 50, 7), (3, 51, 3)),
)

#: Of distributions, as setup.cfg has them; a test keeps both alike.
LIBRARIES: Mapping[str, Floor] = {
    "Twisted": Floor((26, 4, 0), "CVE-2026-42304, denial of service by names in DNS answers"),
    "autobahn": Floor((26, 10, 2), "GHSA-hxp9-w8x3-p566, inflated WebSocket messages over the limit"),
    "protobuf": Floor((7, 35, 1), "the generated code refuses an older one; CVE-2026-0994"),
    "PyJWT": Floor((2, 15, 0), "CVE-2026-32597, CVE-2026-48523 and CVE-2026-102266: forged tokens"),
    "SQLAlchemy": Floor((2, 1, 9), "what was tested"),
    "alembic": Floor((1, 20), "path_separator"),
    "argon2-cffi": Floor((25, 1, 0), "parameters that can be checked for re-hashing"),
    "msgspec": Floor((0, 22, 0), "forbid_unknown_fields"),
    "klein": Floor((24, 8, 0), "older ones break with Werkzeug 3"),
    "Werkzeug": Floor((3, 1), "routing as klein 24.8 takes it"),
    "treq": Floor((26, 7, 0), "works with this Twisted"),
    "txmongo": Floor((26, 0, 0), "what was tested"),
    "pymongo": Floor((4, 18, 2), "CVE-2024-5629 and PYSEC-2026-4296"),
    "nats-py": Floor((2, 16, 0), "private methods of 2.16 are overridden"),
    "PyMySQL": Floor((1, 1, 1), "CVE-2024-36039, injection through keys of dicts"),
    "txredisapi": Floor((1, 6, 0), "protocols that work without its own pool"),
    "hiredis": Floor((3, 3), "packs what is asked"),
    "ahocorasick_rs": Floor((1, 0, 3), "LeftmostLongest with offsets in characters"),
    "prometheus_client": Floor((0, 26), "what was tested"),
    "rbloom": Floor((1, 5, 4), "128-bit hashes of one's own"),
}

NATS = Floor((2, 14, 0), "CVE-2025-30215, CVE-2026-27571, secnote-2026-16; imd refuses older ones")
MONGODB = Floor((5, 0, 0), "hello, and reading what a majority has; imd refuses older ones")
MONGODB_ZLIB = Fixed(
    "CVE-2025-14847: strangers read the server's memory by compressed (zlib) messages",
    ((5, 0, 32), (6, 0, 27), (7, 0, 28), (8, 0, 17), (8, 2, 3)),
)
MYSQL = Floor((8, 0), "imd refuses older ones")
MARIADB = Floor((10, 6), "older ones are not maintained; imd refuses them")
REDIS = Floor((6, 2), "older ones are not maintained")
REDIS_LUA = Fixed(
    "CVE-2025-49844: who may run scripts may run anything",
    ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
)


def parsed(text: str) -> Version:
    """The leading numbers of a version: ``10.11.6-MariaDB`` is (10, 11, 6); empty if there are none."""
    found = re.match(r"\D{0,3}(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def dotted(version: Version) -> str:
    """As people write it."""
    return ".".join(str(part) for part in version)
