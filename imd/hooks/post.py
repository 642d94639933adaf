"""One signed POST and its answer, all bounded: time, size, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from imd.hooks.body import Body
from imd.hooks.signature import signed_headers
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.timeouts import TimeoutError, with_timeout

#: An answer is a word or two.
MAX_ANSWER_BYTES = 64 * 1024
_USER_AGENT = "imd"


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300


class PostFailed(Exception):
    """No answer that can be used; whether the call had an effect there is not known."""


class SignedPosts:
    """POSTs JSON to one URL.

    :param agent: follows no redirect, since the signature is for nobody else.
    :param timeout_s: for everything, from the connection to the end of the answer.
    """

    def __init__(
        self,
        *,
        agent: IAgent,
        url: str,
        secret: bytes,
        clock: Clock,
        wall_clock: WallClock,
        timeout_s: float,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._agent = agent
        self._url = url.encode()
        self._secret = secret
        self._clock = clock
        self._wall_clock = wall_clock
        self._timeout_s = timeout_s
        self._max_answer_bytes = max_answer_bytes

    async def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The answer, whatever its status.

        :raises PostFailed: there is none.
        """
        given_up_at_s = self._clock.seconds() + self._timeout_s
        try:
            return await with_timeout(self._post(body, headers), timeout_s=self._timeout_s, clock=self._clock)
        except (CancelledError, PostFailed):
            raise
        except Exception as error:
            # The HTTP client has its own words for a request that was given up.
            if isinstance(error, TimeoutError) or self._clock.seconds() >= given_up_at_s:
                raise PostFailed(f"no answer within {self._timeout_s:g} s") from None
            # Whatever an HTTP client may raise; its text can hold the URL, which may hold a key.
            raise PostFailed(f"not reachable: {type(error).__name__}") from None

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        all_headers = {
            "Content-Type": "application/json",
            "User-Agent": _USER_AGENT,
            **headers,
            **signed_headers(self._secret, self._wall_clock() // 1000, body),
        }
        response: IResponse = await self._agent.request(
            b"POST",
            self._url,
            Headers({name: [value] for name, value in all_headers.items()}),
            Body(body),
        )
        return Answer(response.code, await _read(response, self._max_answer_bytes))


def _read(response: IResponse, max_bytes: int) -> Deferred[bytes]:
    collecting = _Collecting(max_bytes)
    response.deliverBody(collecting)
    return collecting.done


class _Collecting(Protocol):
    """Gathers a body, and cuts the connection when it is too long or nobody waits any more."""

    def __init__(self, max_bytes: int) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._cut())
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._max_bytes:
            self._cut()
            self._end(Failure(PostFailed(f"the answer is longer than {self._max_bytes} bytes")))
        else:
            self._parts.append(data)

    def connectionLost(self, reason: Failure = Failure(ConnectionError())) -> None:  # noqa: B008
        # Without a length, or with the connection closed early, what came is all there is.
        whole = reason.check(ResponseDone, PotentialDataLoss) is not None
        self._end(b"".join(self._parts) if whole else Failure(PostFailed("the answer was cut off")))

    def _end(self, result: bytes | Failure) -> None:
        if not self.done.called:
            self.done.callback(result) if isinstance(result, bytes) else self.done.errback(result)

    def _cut(self) -> None:
        transport: ITransport | None = self.transport
        cut: Any = getattr(transport, "abortConnection", None) or getattr(transport, "loseConnection", None)
        if cut is not None:
            cut()
