"""/api/v1/operators: who the operators are; made and revoked by those who may."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from imd.admin.operators.known import new_token
from imd.admin.operators.ports import Listed, OperatorStore
from imd.admin.rest.route import Asked, Route
from imd.bus.audit import DONE, HIGH, AuditEntry, AuditLog
from imd.kernel.clocks import WallClock
from imd.kernel.errors import IdempotentConflict, PayloadInvalid
from imd.ops.operators import BOOTSTRAP, Act, Operator, Role, token_hash

#: Also what stands in the audit, so a name is a plain word.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}\Z")


class OperatorBody(Struct, forbid_unknown_fields=True):
    """A new one."""

    name: str
    role: Literal["admin", "operator", "auditor"]


class OperatorsApi:
    """Bodies in, the store, answers out; every act is audited, in the name of whoever did it.

    :param forget: have whoever remembers this operator's token ask anew.
    """

    def __init__(
        self,
        *,
        store: OperatorStore,
        audit: AuditLog,
        forget: Callable[[Operator], None],
        wall_clock: WallClock,
        random_hex: Callable[[int], str],
    ) -> None:
        self._store = store
        self._audit = audit
        self._forget = forget
        self._wall_clock = wall_clock
        self._random_hex = random_hex

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("GET", ("operators", "me"), Act.LOOK, self.me),
            Route("GET", ("operators",), Act.MANAGE, self.all),
            Route("POST", ("operators",), Act.MANAGE, self.add, status=201),
            Route("DELETE", ("operators", "*"), Act.MANAGE, self.revoke),
        ]

    async def me(self, asked: Asked) -> dict[str, Any]:
        operator = asked.operator
        return {"id": operator.id, "name": operator.name, "role": operator.role.value}

    async def all(self, asked: Asked) -> dict[str, Any]:
        return {"operators": [_shown(one) for one in await self._store.all()]}

    async def add(self, asked: Asked) -> dict[str, Any]:
        """The token is in this answer, and nowhere else ever."""
        body = asked.read(OperatorBody)
        if _NAME.match(body.name) is None or body.name == BOOTSTRAP.name:
            raise PayloadInvalid(
                f"name: expected 1 to 32 of a-z, 0-9, dot, dash and underscore, and not {BOOTSTRAP.name!r}",
                field="name",
            )
        token = new_token(self._random_hex)
        added = await self._store.add(
            body.name,
            Role(body.role),
            token_hash(token),
            by=asked.operator.name,
            now_ms=self._wall_clock(),
        )
        if added is None:
            raise IdempotentConflict(f"there is an operator {body.name}; revoke that one first", field="name")
        self._record("add", asked, added)
        return _shown(added) | {"token": token}

    async def revoke(self, asked: Asked) -> dict[str, Any]:
        operator_id = asked.number(asked.names[0], "operator")
        if operator_id == BOOTSTRAP.id:
            raise PayloadInvalid(
                "the bootstrap token is a file of the server: delete that and restart im-admin, and another "
                "one is made"
            )
        revoked = await self._store.revoke(operator_id, by=asked.operator.name, now_ms=self._wall_clock())
        if revoked is None:
            raise PayloadInvalid(f"there is no operator {operator_id}", field="operator")
        self._forget(revoked.operator)
        self._record("revoke", asked, revoked)
        return _shown(revoked)

    def _record(self, act: str, asked: Asked, one: Listed) -> None:
        by, whom = asked.operator, one.operator
        detail = {"operator": by.name, "name": whom.name, "role": whom.role.value}
        self._audit.record(
            AuditEntry(
                f"operators.{act}",
                DONE,
                actor_id=by.id,
                subject_id=whom.id,
                level=HIGH,
                detail=json.dumps(detail),
            )
        )


def _shown(one: Listed) -> dict[str, Any]:
    operator = one.operator
    return {
        "id": operator.id,
        "name": operator.name,
        "role": operator.role.value,
        "createdAt": one.created_at_ms,
        "createdBy": one.created_by,
        "revokedAt": one.revoked_at_ms,
        "revokedBy": one.revoked_by,
    }
