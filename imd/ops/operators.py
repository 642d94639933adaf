"""Operators and what their roles let them do; the same for every role of the server that they speak to."""

from __future__ import annotations

from enum import Enum
from hashlib import sha256
from typing import NamedTuple

from imd.kernel.errors import Forbidden

#: What a token begins with, so that one in a log or a repository is found by whoever scans for secrets.
TOKEN_PREFIX = "imo_"
#: A node that has just asked im-admin does not ask again for so long; if word is lost that the token was revoked
#: meanwhile, it is good there until then.
REMEMBER_S = 10.0
#: Ids of operators are below, those of users far above: an actor in the audit is one or the other.
MAX_OPERATOR_ID = 1_000_000


class Role(Enum):
    """As operators are told it."""

    #: All, and who the operators are.
    ADMIN = "admin"
    #: Looks and changes.
    OPERATOR = "operator"
    #: Looks, also into the audit, and changes nothing.
    AUDITOR = "auditor"


class Act(Enum):
    """What may be wanted."""

    LOOK = "look"
    CHANGE = "change"
    AUDIT = "read the audit"
    MANAGE = "manage operators"


_MAY = {
    Role.ADMIN: frozenset(Act),
    Role.OPERATOR: frozenset({Act.LOOK, Act.CHANGE}),
    Role.AUDITOR: frozenset({Act.LOOK, Act.AUDIT}),
}


class Operator(NamedTuple):
    """Somebody whose token was right."""

    id: int
    name: str
    role: Role


#: Whoever has the file that was made at the first start.
BOOTSTRAP = Operator(1, "bootstrap", Role.ADMIN)


def require(operator: Operator, act: Act) -> None:
    """:raises Forbidden: the operator's role is not for that."""
    if act not in _MAY[operator.role]:
        wanted = ", ".join(role.value for role in Role if act in _MAY[role])
        raise Forbidden(
            f"{operator.name} is {operator.role.value}; to {act.value} takes one of: {wanted}", reason="role"
        )


def token_hash(token: str) -> bytes:
    """What is kept of a token, and sent around. It has 256 random bits, so nothing slower is needed."""
    return sha256(token.encode()).digest()
