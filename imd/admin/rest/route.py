"""An operation of im-admin as one record, and what it is told of a request."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct
from twisted.internet.defer import Deferred

from imd.kernel.errors import PayloadInvalid
from imd.ops.operators import Act, Operator

B = TypeVar("B", bound=Struct)


class Asked(NamedTuple):
    """A request of somebody who may make it."""

    operator: Operator
    #: What stood in place of each ``*``.
    names: tuple[str, ...]
    query: Mapping[str, str]
    body: bytes
    #: The If-Match header, or empty.
    if_match: str

    def read(self, kind: type[B]) -> B:
        """The body. :raises PayloadInvalid: what is wrong with it."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (ValueError, RecursionError) as error:
            raise PayloadInvalid(f"the body: {str(error)[:200]}") from None

    def number(self, text: str | None, name: str, *, absent: int | None = None) -> int:
        """One of a path or the query, not negative."""
        if text is None and absent is not None:
            return absent
        if text is None or not (text.isascii() and text.isdigit() and len(text) <= 9):
            raise PayloadInvalid(f"{name}: {text!r:.40} is no number", field=name)
        return int(text)


Serve = Callable[[Asked], Coroutine[Deferred[Any], Any, Any]]


class Route(NamedTuple):
    """One method of one path below /api/v1; ``*`` stands for any one segment."""

    method: str
    path: tuple[str, ...]
    act: Act
    serve: Serve
    status: int = 200
