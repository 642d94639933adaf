"""An operation of the API as one record: what klein routes and what OpenAPI describes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from msgspec import Struct

from imd.business.accounts.model import Caller
from imd.business.rest.bodies import Request
from imd.ops.operators import Act, Operator


class Asked(NamedTuple):
    """A request, everything about it already checked."""

    caller: Caller
    body: Any
    path: dict[str, str]
    query: dict[str, str]
    address: str
    #: Of operations for operators: who it is.
    operator: Operator | None = None

    def __repr__(self) -> str:
        return f"Asked(user_id={self.caller.user_id}, path={self.path!r})"


#: Who "asks" where no user's token is needed: anybody, or an operator.
NOBODY = Caller(0, "", "", (), 0)

Serve = Callable[[Asked], Awaitable[Struct]]


class Parameter(NamedTuple):
    """Something in the path or the query."""

    name: str
    schema: dict[str, Any]
    meaning: str


class Operation(NamedTuple):
    """One method of one path."""

    method: str
    #: With ``{names}``, below /api/v1.
    path: str
    name: str
    summary: str
    serve: Serve
    answer: type[Struct]
    body: type[Request] | None = None
    body_required: bool = True
    path_parameters: tuple[Parameter, ...] = ()
    query_parameters: tuple[Parameter, ...] = ()
    status: int = 200
    public: bool = False
    #: Below /operator: with an operator's token instead of a user's.
    operator: bool = False
    #: Only for operators who may read the audit.
    audit: bool = False

    @property
    def act(self) -> Act:
        """What the role of an operator must allow."""
        if self.audit:
            return Act.AUDIT
        return Act.LOOK if self.method == "GET" else Act.CHANGE
