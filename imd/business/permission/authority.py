"""What core may ask: is this token good, who is in a conversation, who may see whom?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message

from imd.bus.port import Bus
from imd.bus.subjects import AUTH_TOKEN
from imd.business.accounts.authenticate import Authenticate
from imd.kernel.errors import ImError, PayloadInvalid
from imd.pb.bus_pb2 import Failure, TokenCheck, TokenVerdict
from imd.pb.connection_pb2 import ErrorCode

Query = TypeVar("Query", bound=Message)


class Answer(Protocol):
    """Any answer of im.internal.v1: a failure, or the rest."""

    def SerializeToString(self) -> bytes: ...


class Authority:
    """Answers on the bus. An expected no is a ``Failure`` in the answer, never an exception."""

    def __init__(self, *, bus: Bus, authenticate: Authenticate) -> None:
        self._bus = bus
        self._authenticate = authenticate

    async def start(self) -> None:
        """From here on, core gets answers."""
        self._respond(AUTH_TOKEN, TokenCheck, TokenVerdict, self._token)

    async def stop(self) -> None:
        """The bus stops asking when it stops."""

    def _respond(
        self,
        subject: str,
        query_type: type[Query],
        answer_type: Callable[..., Answer],
        answer: Callable[[Query], Awaitable[Answer]],
    ) -> None:
        async def responder(payload: bytes) -> bytes:
            try:
                try:
                    query = query_type.FromString(payload)
                except DecodeError:
                    raise PayloadInvalid(f"this is not a {query_type.__name__}") from None
                return (await answer(query)).SerializeToString()
            except ImError as error:
                return answer_type(failure=_failure(error)).SerializeToString()

        self._bus.respond(subject, responder)

    async def _token(self, query: TokenCheck) -> TokenVerdict:
        caller = await self._authenticate.on_device(query.token, query.deviceId)
        return TokenVerdict(
            userId=caller.user_id,
            deviceId=caller.device_id,
            expiresAt=caller.expires_at_ms,
            scopes=caller.scopes,
            loginId=caller.login_id,
        )


def _failure(error: ImError) -> Any:
    return Failure(code=ErrorCode.Name(error.code), message=error.message, retryable=error.retryable)
