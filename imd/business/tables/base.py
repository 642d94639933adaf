"""What all tables of the business role belong to."""

from __future__ import annotations

from imd.storage.sql import metadata

SCHEMA = metadata()
