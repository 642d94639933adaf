"""What every section of the configuration is."""

from __future__ import annotations

from msgspec import Struct

KIB = 1024


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all sections: immutable, and an unknown key is an error.

    Each section says ``frozen`` again, for type checkers; msgspec inherits it.
    """

    def __repr__(self) -> str:
        # Secrets are in files; but some URLs hold a key.
        shown = (
            f"{name}={'[hidden]' if name.endswith('url') and value else repr(value)}"
            for name in self.__struct_fields__
            for value in (getattr(self, name),)
        )
        return f"{type(self).__name__}({', '.join(shown)})"
