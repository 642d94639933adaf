"""Whose a token is: asked by im-admin itself, and over the bus by those who serve operators elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest

from imd.admin.operators.ports import OperatorStore
from imd.bus.answering import respond
from imd.bus.port import Bus
from imd.bus.subjects import ADMIN_OPERATOR
from imd.kernel.errors import AuthFailed, PayloadInvalid
from imd.ops.operators import BOOTSTRAP, TOKEN_PREFIX, Operator, token_hash
from imd.pb.bus_pb2 import OperatorCheck, OperatorVerdict

_HASH_BYTES = 32


class KnownOperators:
    """A stage: questions are answered from its start on.

    :param bootstrap: the token that was made at the first start; it is good also while the store is away.
    """

    def __init__(self, *, store: OperatorStore, bootstrap: Callable[[], str], bus: Bus) -> None:
        self._store = store
        self._bootstrap = bootstrap
        self._bus = bus

    async def start(self) -> None:
        respond(self._bus, ADMIN_OPERATOR, OperatorCheck, OperatorVerdict, self._answer)

    async def stop(self) -> None:
        """The bus forgets its responders when it stops."""

    async def of(self, token: str) -> Operator:
        """:raises AuthFailed: nobody's. ServerBusy: whose it is cannot be looked up now."""
        operator = await self._find(token_hash(token), may_be_kept=token.startswith(TOKEN_PREFIX))
        if operator is None:
            raise AuthFailed(
                "send an operator's token, or that of bootstrap_token_file, as Authorization: Bearer"
            )
        return operator

    async def _find(self, hashed: bytes, *, may_be_kept: bool = True) -> Operator | None:
        bootstrap = self._bootstrap()
        if bootstrap and compare_digest(token_hash(bootstrap), hashed):
            return BOOTSTRAP
        # What cannot be one is not worth a look into the store.
        return await self._store.find(hashed) if may_be_kept else None

    async def _answer(self, query: OperatorCheck) -> OperatorVerdict:
        if len(query.tokenHash) != _HASH_BYTES:
            raise PayloadInvalid("tokenHash is no SHA-256")
        operator = await self._find(query.tokenHash)
        if operator is None:
            return OperatorVerdict()
        return OperatorVerdict(operatorId=operator.id, name=operator.name, role=operator.role.value)


def new_token(random_hex: Callable[[int], str]) -> str:
    """One that nobody guesses."""
    return TOKEN_PREFIX + random_hex(32)
