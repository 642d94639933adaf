"""Which imd this is."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """Of the package; 0: it is not installed."""
    try:
        return metadata.version("imd")
    except metadata.PackageNotFoundError:
        return "0"
