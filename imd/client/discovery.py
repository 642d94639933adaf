"""Where to connect, by the word of the server's REST API: for clients that know only its address."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from imd.client.errors import Unreachable
from imd.client.rest import Gateway, NotFound, RestClient
from imd.client.transport import Dial, Link, Receiver
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, ServerBusy

#: A link that is opened anew so soon did not serve: the next gateway has its turn.
SHORT_LIFE_S = 5.0


class GatewayDial:
    """Asks for the gateways, and again when the answer has grown old; goes to the best, and to the next when
    it cannot be reached or did not serve.

    While the REST API is away the last answer holds. A server that has none (an older one, or one that does
    not know its own name) is taken by its usual addresses.

    :param dialer: opens a URL that was answered, or says ValueError.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        server: str,
        rest: RestClient,
        device_id: str,
        clock: Clock,
        dialer: Callable[[str], Dial],
        json: bool = False,
        zone: str = "",
        version: str = "",
    ) -> None:
        self.json = json
        self._server = server
        self._rest = rest
        self._device_id = device_id
        self._clock = clock
        self._dialer = dialer
        self._zone = zone
        self._version = version
        self._urls: list[str] = []
        self._ask_at_s = clock.seconds()
        self._opened_at_s = self._ask_at_s - SHORT_LIFE_S

    def __call__(self, receiver: Receiver) -> Deferred[Link]:
        return Deferred.fromCoroutine(self._open(receiver))

    async def _open(self, receiver: Receiver) -> Link:
        now_s = self._clock.seconds()
        if now_s >= self._ask_at_s or not self._urls:
            await self._ask(now_s)
        elif now_s - self._opened_at_s < SHORT_LIFE_S:
            self._next()
        refusals: list[str] = []
        for _ in range(len(self._urls)):
            try:
                link = await self._dialer(self._urls[0])(receiver)
            except (Unreachable, ValueError) as error:
                refusals.append(str(error))
                self._next()
            else:
                self._opened_at_s = self._clock.seconds()
                return link
        # All of them: perhaps there are others by now.
        self._ask_at_s = now_s
        raise Unreachable("; ".join(refusals))

    def _next(self) -> None:
        self._urls.append(self._urls.pop(0))

    async def _ask(self, now_s: float) -> None:
        try:
            gateways, ttl_s = await self._rest.gateways(
                device_id=self._device_id, zone=self._zone, version=self._version
            )
        except NotFound:
            self._urls = [native_url(self._server)]
        except ImError as error:
            if not self._urls and isinstance(error, ServerBusy):
                # No gateway just now; an older server has none to name, and is its own.
                self._urls = [native_url(self._server)]
                return
            if not self._urls:
                raise Unreachable(error.message) from None
            self._log.info("{server} does not say where to connect: {error}; going by its last word",
                           server=self._server, error=error)  # fmt: skip
        else:
            self._urls = [url for one in gateways if (url := self._url_of(one))]
            self._ask_at_s = now_s + ttl_s
        if not self._urls:
            raise Unreachable(f"{self._server} offers no address that this client can use")

    def _url_of(self, gateway: Gateway) -> str:
        """Nobody who came by https is sent on without TLS."""
        choices = [gateway.ws] if self.json else [gateway.tls, gateway.tcp, gateway.ws]
        if urlsplit(self._server).scheme == "https":
            choices = [url for url in choices if url.startswith(("tls:", "wss:"))]
        else:
            # As the server is spoken to already; its certificate may be for a name that nobody knows here.
            choices.sort(key=lambda url: not url.startswith(("tcp:", "ws:")))
        return next((url for url in choices if url), "")


def native_url(server: str) -> str:
    """Where messages go, if nobody says: the default port, or the WebSocket of the HTTP one."""
    parts = urlsplit(server)
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    if parts.scheme == "http" and parts.port == 7780:
        return f"tcp://{host}:7700"
    scheme = "wss" if parts.scheme == "https" else "ws"
    port = f":{parts.port}" if parts.port else ""
    return f"{scheme}://{host}{port}/ws"
