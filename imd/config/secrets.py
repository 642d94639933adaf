"""Which files of a configuration hold secrets, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import fields

from imd.config.secret import read_secret
from imd.config.section import Section

_ENDINGS = ("password_file", "secret_file", "token_file")


def secrets_of(config: Section) -> Iterator[str]:
    """The secrets in all the files that a configuration names; of those that cannot be read, nothing."""
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Section):
            yield from secrets_of(value)
        elif field.name.endswith(_ENDINGS) and value:
            try:
                yield read_secret(value)
            except ValueError:
                """Made later, or told by ``conflicts``."""
