"""The operation that tells a client where to connect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta, Struct

from imd.business.gateways.board import REPORT_INTERVAL_S, GatewayBoard
from imd.business.gateways.model import Gateway, rank
from imd.business.rest.operation import Asked, Operation, Parameter
from imd.kernel.attempts import Attempts, address_key
from imd.kernel.errors import PayloadInvalid, ServerBusy

#: Loads change within minutes; a client that comes back sooner has a second and a third address.
TTL_S = 60
MAX_LABEL_LENGTH = 64

_LABEL = {"type": "string", "maxLength": MAX_LABEL_LENGTH}
QUERY = (
    Parameter("zone", _LABEL, "Where the client is; gateways there come first."),
    Parameter("version", _LABEL, "The client's version label; some gateways are for certain labels only."),
    Parameter("device", _LABEL, "The client's device id: it is then sent to the same gateway again."),
)


class GatewayAnswer(Struct):
    """A gateway, by the URLs that it has."""

    tcp: Annotated[str, Meta(description="tcp://host:port, or empty.")]
    tls: Annotated[str, Meta(description="tls://host:port, or empty.")]
    ws: Annotated[str, Meta(description="ws:// or wss://, or empty.")]
    zone: str


class GatewaysAnswer(Struct):
    """Sorted, the best first. Never empty: without a gateway the answer is 503 with a time to wait."""

    gateways: list[GatewayAnswer]
    ttlS: Annotated[int, Meta(description="Seconds; then ask again before the next connect.")]


class GatewayApi:
    """Open to everybody, as who is not logged in may have to be told, too."""

    def __init__(
        self, *, board: GatewayBoard, by_address: Attempts, random_hex: Callable[[int], str]
    ) -> None:
        self._board = board
        self._by_address = by_address
        self._random_hex = random_hex

    def operations(self) -> list[Operation]:
        """The one there is."""
        return [
            Operation("GET", "/gateways", "gateways", "Where to connect now", self.best, GatewaysAnswer,
                      query_parameters=QUERY, public=True),
        ]  # fmt: skip

    async def best(self, asked: Asked) -> GatewaysAnswer:
        self._by_address.check(address_key(asked.address))
        for name, value in asked.query.items():
            if len(value) > MAX_LABEL_LENGTH:
                raise PayloadInvalid(f"{name} is over {MAX_LABEL_LENGTH} characters", field=name)
        found = rank(
            self._board.gateways(),
            # Many people may share an address, so who says no device gets a fresh draw each time.
            caller=asked.query.get("device") or self._random_hex(8),
            zone=asked.query.get("zone", ""),
            version=asked.query.get("version", ""),
        )
        if not found:
            wait_ms = int(REPORT_INTERVAL_S * 1000)
            raise ServerBusy("no gateway takes connections now", retry_after_ms=wait_ms)
        return GatewaysAnswer([_answer(each) for each in found], TTL_S)


def _answer(gateway: Gateway) -> GatewayAnswer:
    return GatewayAnswer(gateway.tcp, gateway.tls, gateway.ws, gateway.zone)
