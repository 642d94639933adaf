"""The versions that conversations have reached, as far as a node has heard, whether it knows more of them or not."""

from __future__ import annotations

from collections import OrderedDict

#: About 200 B each.
MAX_HEARD = 20_000
#: Longer than anybody keeps what was true before.
KEEP_S = 700.0
#: How long the events may take that a node has not heard yet when it starts or is connected again.
SETTLE_S = 10.0


class HeardVersions:
    """What may not be believed about a conversation: anything older than this.

    Without an entry nothing is known, unless ``is_whole``: then nothing was heard for ``KEEP_S``.
    """

    def __init__(self, *, now_s: float) -> None:
        self._heard: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._whole_s = now_s + SETTLE_S

    def __len__(self) -> int:
        return len(self._heard)

    def note(self, conversation_id: str, version: int, now_s: float) -> None:
        """The conversation has reached it."""
        heard = self._heard
        known, _ = heard.pop(conversation_id, (0, 0.0))
        heard[conversation_id] = (max(known, version), now_s + KEEP_S)
        oldest_s = next(iter(heard.values()))[1]
        if oldest_s <= now_s:
            heard.popitem(last=False)
        elif len(heard) > MAX_HEARD:
            heard.popitem(last=False)
            self._whole_s = max(self._whole_s, oldest_s)

    def version_of(self, conversation_id: str, now_s: float) -> int:
        """The newest that was heard of, 0 if none."""
        version, until_s = self._heard.get(conversation_id, (0, 0.0))
        return version if until_s > now_s else 0

    def is_whole(self, now_s: float) -> bool:
        """Whether what was heard lately is all there."""
        return now_s >= self._whole_s

    def missed(self, now_s: float) -> None:
        """Something is on its way that should have been heard before now."""
        self._whole_s = max(self._whole_s, now_s + SETTLE_S)
