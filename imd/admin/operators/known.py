"""Whose a token is: asked by im-admin itself, and over the bus by those who serve operators elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest

from twisted.logger import Logger

from imd.admin.operators.ports import OperatorStore
from imd.bus.answering import respond
from imd.bus.port import Bus, BusRefused
from imd.bus.subjects import ADMIN_OPERATOR, ADMIN_REVOKED
from imd.kernel.errors import AuthFailed, PayloadInvalid
from imd.ops.operator_guesses import OperatorGuesses
from imd.ops.operators import BOOTSTRAP, REMEMBER_S, TOKEN_PREFIX, Operator, token_hash
from imd.pb.bus_pb2 import OperatorCheck, OperatorRevoked, OperatorVerdict

_HASH_BYTES = 32


class KnownOperators:
    """A stage: questions are answered from its start on.

    :param bootstrap: the token that was made at the first start; it is good also while the store is away.
    :param guesses: slow down who tries tokens.
    """

    _log = Logger()

    def __init__(
        self, *, store: OperatorStore, bootstrap: Callable[[], str], bus: Bus, guesses: OperatorGuesses
    ) -> None:
        self._store = store
        self._bootstrap = bootstrap
        self._bus = bus
        self._guesses = guesses

    async def start(self) -> None:
        respond(self._bus, ADMIN_OPERATOR, OperatorCheck, OperatorVerdict, self._answer)

    async def stop(self) -> None:
        """The bus forgets its responders when it stops."""

    async def of(self, token: str, address: str) -> Operator:
        """Whose it is.

        :param address: where the request came from.
        :raises AuthFailed: nobody's. ServerBusy: whose it is cannot be looked up now. RateLimited: too many tokens that
            nobody knows, from this address.
        """
        hashed = token_hash(token)
        if self._is_bootstrap(hashed):
            return BOOTSTRAP
        self._guesses.check(hashed, address)
        # What cannot be one is not worth a look into the store.
        operator = await self._store.find(hashed) if token.startswith(TOKEN_PREFIX) else None
        self._guesses.found(hashed, is_good=operator is not None)
        if operator is None:
            raise AuthFailed(
                "send an operator's token, or that of bootstrap_token_file, as Authorization: Bearer"
            )
        return operator

    def tell_revoked(self, operator: Operator) -> None:
        """Have those who asked lately forget this operator's token.

        A node that is cut off just then does not hear of it, whether that is noticed here or not; it asks again
        within ``REMEMBER_S``.
        """
        gone = OperatorRevoked(operatorId=operator.id)
        try:
            self._bus.publish(ADMIN_REVOKED, gone.SerializeToString())
        except BusRefused:
            self._log.warn(
                "no node can be told that {name} is revoked; each that has just asked takes the token for up to "
                "{seconds:.0f} s more",
                name=operator.name,
                seconds=REMEMBER_S,
            )

    def _is_bootstrap(self, hashed: bytes) -> bool:
        bootstrap = self._bootstrap()
        return bool(bootstrap) and compare_digest(token_hash(bootstrap), hashed)

    async def _answer(self, query: OperatorCheck) -> OperatorVerdict:
        if len(query.tokenHash) != _HASH_BYTES:
            raise PayloadInvalid("tokenHash is no SHA-256")
        # Whoever asks for others slows them down.
        is_bootstrap = self._is_bootstrap(query.tokenHash)
        operator = BOOTSTRAP if is_bootstrap else await self._store.find(query.tokenHash)
        if operator is None:
            return OperatorVerdict()
        return OperatorVerdict(operatorId=operator.id, name=operator.name, role=operator.role.value)


def new_token(random_hex: Callable[[int], str]) -> str:
    """One that nobody guesses."""
    return TOKEN_PREFIX + random_hex(32)
