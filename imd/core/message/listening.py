"""Which conversations the sessions here are in, in use or not: what their first syncs said, kept small.

While the authority can be asked nobody needs it. A node that is cut off finds here what it has to look for in the
store, and what it may tell a session that asks.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from imd.core.message.recipients import Recipient

#: Of one session, at 19 bytes each: ids are mostly digits of a hash, and squeeze to half their length. With an idle
#: connection's 5 KB it stays below 8 KB.
MAX_KEPT = 150

_ALL, _SOME = b"=", b"+"


class Listening:
    """Ids by session, from its first sync until it is gone."""

    def __init__(self) -> None:
        self._kept: dict[Recipient, bytes] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Recipient]:
        return iter(list(self._kept))

    def arrived(self, recipient: Recipient, conversation_ids: Sequence[str]) -> None:
        """A session has come."""
        self._keep(recipient, conversation_ids, _ALL if len(conversation_ids) <= MAX_KEPT else _SOME)

    def departed(self, recipient: Recipient) -> None:
        """It has gone."""
        self._kept.pop(recipient, None)

    def left(self, recipient: Recipient, conversation_id: str) -> None:
        """It is not to hear of this conversation any more."""
        kept = self.of(recipient)
        if conversation_id in kept:
            what = self._kept[recipient][:1]
            self._keep(recipient, [each for each in kept if each != conversation_id], what)

    def of(self, recipient: Recipient) -> Sequence[str]:
        """The conversations of a session, or as many as are kept."""
        kept = self._kept.get(recipient)
        return zlib.decompress(kept[1:]).decode().split() if kept is not None else ()

    def has_all(self, recipient: Recipient) -> bool:
        """Whether ``of`` says all."""
        return self._kept.get(recipient, _SOME)[:1] == _ALL

    def _keep(self, recipient: Recipient, conversation_ids: Sequence[str], what: bytes) -> None:
        ids = " ".join(conversation_ids[:MAX_KEPT])
        self._kept[recipient] = what + zlib.compress(ids.encode())
