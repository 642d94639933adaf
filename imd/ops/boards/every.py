"""All boards there are."""

from __future__ import annotations

from imd.ops.boards import bus, gateway, messages, overview, permission, presence, stores
from imd.ops.boards.model import Board

BOARDS: tuple[Board, ...] = tuple(
    module.BOARD for module in (overview, gateway, messages, presence, permission, bus, stores)
)
