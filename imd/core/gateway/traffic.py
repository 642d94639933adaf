"""What goes through a gateway, counted in plain numbers on the way; whoever wants to know reads them."""

from __future__ import annotations

from imd.kernel.errors import Code
from imd.ops.metrics.of_gateway import ENDINGS, FRAME_TYPES, NOT_LET_IN
from imd.wire.outbound import Priority

_OTHER = "other"


class Inbound:
    """Frames of one type."""

    __slots__ = ("frames", "size_bytes")

    def __init__(self) -> None:
        self.frames = 0
        self.size_bytes = 0


class Traffic:
    """Of all connections of a node since it started; ``blocked`` alone is of now."""

    __slots__ = (
        "address_limited",
        "blocked",
        "cut_for_control",
        "device_limited",
        "ended",
        "frames_out",
        "heartbeats",
        "inbound",
        "not_let_in",
        "opened",
        "read_paused",
        "refusals",
        "sheds",
        "user_limited",
        "write_blocked",
        "writes",
        "written_bytes",
    )

    def __init__(self) -> None:
        self.opened = 0
        self.not_let_in = dict.fromkeys(NOT_LET_IN, 0)
        self.ended = dict.fromkeys(ENDINGS, 0)
        #: By payload; what no client may send is ``other``.
        self.inbound = {name: Inbound() for name in FRAME_TYPES}
        self.heartbeats = 0
        #: By priority.
        self.frames_out = [0] * len(Priority)
        self.writes = 0
        self.written_bytes = 0
        #: Connections whose peer does not read now.
        self.blocked = 0
        self.write_blocked = 0
        self.sheds = 0
        self.cut_for_control = 0
        self.read_paused = 0
        self.device_limited = 0
        self.address_limited = 0
        self.user_limited = 0
        self.refusals = {int(code): 0 for code in Code if code}

    def came(self, payload: str, frames: int, size_bytes: int) -> None:
        """So many frames of a kind, whether they can be served or not."""
        inbound = self.inbound.get(payload) or self.inbound[_OTHER]
        inbound.frames += frames
        inbound.size_bytes += size_bytes
