"""Whose an operator's token is: asked of im-admin over the bus, and remembered for a moment, or until im-admin says
that it was revoked."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from google.protobuf.message import DecodeError
from twisted.internet.defer import TimeoutError
from twisted.logger import Logger

from imd.bus.failures import error_of
from imd.bus.port import Bus, BusFailure, NoResponder
from imd.bus.subjects import ADMIN_OPERATOR, ADMIN_REVOKED
from imd.kernel.clocks import Clock
from imd.kernel.errors import AuthFailed, ImError, ServerBusy
from imd.kernel.eviction import forget_oldest
from imd.kernel.sharing import SharedQuestions
from imd.kernel.timeouts import sleep
from imd.ops.operator_guesses import OperatorGuesses
from imd.ops.operators import BOOTSTRAP, REMEMBER_S, TOKEN_PREFIX, Operator, Role, token_hash
from imd.pb.bus_pb2 import OperatorCheck, OperatorRevoked, OperatorVerdict

#: Spec 24.1, for questions about configuration: how long, how often again, and how long between.
TIMEOUT_S = 0.5
_RETRIES = 2
_RETRY_PAUSE_S = 0.1
#: One that was nobody's is not asked about again for so long.
REMEMBER_NOBODY_S = 2.0
MAX_REMEMBERED = 1_000
_LENGTH = len(TOKEN_PREFIX) + 64

_RETRY_AFTER_MS = 1_000


class _Known(NamedTuple):
    operator: Operator | None
    until_s: float


class BusOperators:
    """A stage; see ``of``, which costs no await for a token that was seen lately.

    :param is_own: whether it is the token of this node's own file, which needs nobody to be asked.
    """

    _log = Logger()

    def __init__(self, *, bus: Bus, is_own: Callable[[str], bool], clock: Clock) -> None:
        self._bus = bus
        self._is_own = is_own
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._asking: SharedQuestions[bytes, Operator | None] = SharedQuestions()
        #: Slow down who tries tokens, and count who was refused.
        self.guesses = OperatorGuesses(clock=clock)

    async def start(self) -> None:
        self._bus.subscribe(ADMIN_REVOKED, self._revoked)

    async def stop(self) -> None:
        """The bus forgets its subscribers when it stops."""

    async def of(self, token: str, address: str) -> Operator:
        """Whose it is.

        :raises AuthFailed: nobody's. ServerBusy: nobody can say so now, and in doubt nobody is let in.
            RateLimited: too many tokens that nobody knows, from this address.
        """
        if self._is_own(token):
            return BOOTSTRAP
        operator: Operator | None = None
        # What cannot be one is not worth a question.
        if token.startswith(TOKEN_PREFIX) and len(token) == _LENGTH:
            operator = await self._operator(token_hash(token), address)
        if operator is None:
            raise AuthFailed(
                "this is for operators: send an operator's token, or that of operator_token_file"
            )
        return operator

    async def _operator(self, hashed: bytes, address: str) -> Operator | None:
        known = self._known.get(hashed)
        if known is not None and self._clock.seconds() < known.until_s:
            return known.operator
        self.guesses.check(hashed, address)
        asking = self._asking
        operator = await asking.ask(hashed, lambda: self._ask(hashed))
        self.guesses.found(hashed, is_good=operator is not None)
        if asking is self._asking:
            for_s = REMEMBER_S if operator is not None else REMEMBER_NOBODY_S
            self._known.pop(hashed, None)
            self._known[hashed] = _Known(operator, self._clock.seconds() + for_s)
            forget_oldest(self._known, MAX_REMEMBERED)
        return operator

    async def _revoked(self, _: str, payload: bytes) -> None:
        try:
            gone = OperatorRevoked.FromString(payload).operatorId
        except DecodeError:
            self._log.error("not an OperatorRevoked on {subject}; dropped", subject=ADMIN_REVOKED)
            return
        # What is being asked now may be answered as it was before.
        self._asking = SharedQuestions()
        for hashed, known in list(self._known.items()):
            if known.operator is not None and known.operator.id == gone:
                del self._known[hashed]

    async def _ask(self, hashed: bytes) -> Operator | None:
        payload = OperatorCheck(tokenHash=hashed).SerializeToString()
        for again in range(_RETRIES + 1):
            if again:
                await sleep(_RETRY_PAUSE_S, clock=self._clock)
            try:
                answer = await self._bus.request(ADMIN_OPERATOR, payload, timeout_s=TIMEOUT_S)
            except (NoResponder, ImError):
                # At once, so asking again at once is no use.
                break
            except (TimeoutError, BusFailure):
                continue
            return _operator(answer)
        raise _unknown()


def _operator(answer: bytes) -> Operator | None:
    try:
        verdict = OperatorVerdict.FromString(answer)
        if verdict.failure.code:
            raise error_of(verdict.failure, retry_after_ms=_RETRY_AFTER_MS)
        if not verdict.operatorId:
            return None
        return Operator(verdict.operatorId, verdict.name, Role(verdict.role))
    except (DecodeError, ValueError):
        # An im-admin of another release, with roles that this one does not know.
        raise _unknown() from None


def _unknown() -> ServerBusy:
    return ServerBusy(
        "im-admin does not say whose token this is; that of operator_token_file works without it",
        retry_after_ms=_RETRY_AFTER_MS,
    )
