"""What imd runs on: Python, its libraries, SQLite."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version

from google.protobuf.internal import api_implementation

from imd.ctl.doctor import floors
from imd.ctl.doctor.finding import Check, Finding
from imd.ctl.doctor.floors import Floor, dotted, parsed

PYTHON = Check("versions.python", "imd does not run on it")
LIBRARIES = Check("versions.libraries", "what the floor guards against is not guarded against")
PROTOBUF = Check(
    "versions.protobuf",
    "the pure Python implementation is forty times slower, and has CVE-2025-4565; imd does not start with it",
)
SQLITE = Check("versions.sqlite", "the embedded databases need it")

_ENVIRONMENT = "this Python"


def installed(name: str) -> str:
    """The version of a distribution; empty if it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def versions() -> Iterator[Finding]:
    """All of them, as installed here."""
    yield python(sys.version_info[:3])
    yield from libraries(floors.LIBRARIES, installed)
    yield protobuf(api_implementation.Type())
    yield sqlite(parsed(sqlite3.sqlite_version))


def python(found: tuple[int, ...]) -> Finding:
    if found < floors.PYTHON.version:
        return PYTHON.fail(
            sys.executable, f"Python {dotted(found)}", f"use {floors.PYTHON} or newer: {floors.PYTHON.reason}"
        )
    return PYTHON.ok(_ENVIRONMENT, dotted(found))


def libraries(wanted: Mapping[str, Floor], installed: Callable[[str], str]) -> Iterator[Finding]:
    """:param installed: the version of a distribution, or nothing."""
    low = False
    for name, floor in wanted.items():
        found = installed(name)
        if parsed(found) < floor.version:
            low = True
            yield LIBRARIES.fail(
                _ENVIRONMENT,
                f"{name} {found or 'is not installed'}",
                f"pip install --upgrade '{name}>={floor}': {floor.reason}",
            )
    if not low:
        yield LIBRARIES.ok(_ENVIRONMENT, f"{len(wanted)} libraries, none below its floor")


def protobuf(implementation: str) -> Finding:
    if implementation != "upb":
        return PROTOBUF.fail(
            _ENVIRONMENT,
            f"protobuf runs on its {implementation} implementation",
            "unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION, or install protobuf from a wheel",
        )
    return PROTOBUF.ok(_ENVIRONMENT, "protobuf runs on upb")


def sqlite(found: tuple[int, ...]) -> Finding:
    if found < floors.SQLITE.version:
        return SQLITE.fail(
            _ENVIRONMENT,
            f"SQLite {dotted(found)}",
            f"use a Python with SQLite {floors.SQLITE} or newer: {floors.SQLITE.reason}",
        )
    if not floors.SQLITE_WAL_RESET.is_in(found):
        return SQLITE.note(
            _ENVIRONMENT,
            f"SQLite {dotted(found)}",
            "use SQLite 3.51.3 or newer when your system offers it; a distribution may have repaired it without "
            "another number",
            means=f"it has {floors.SQLITE_WAL_RESET.flaw}; it is very rare, and only a backup helps",
        )
    return SQLITE.ok(_ENVIRONMENT, f"SQLite {dotted(found)}")
