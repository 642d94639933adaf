"""One device's sends: a window of unacknowledged messages, each kept until its final ACK."""

from __future__ import annotations

from array import array

from imd.client.load.frames import SendTemplate


class Sender:
    """Numbers its messages 1, 2, 3, ...; a resend is the very same frame."""

    __slots__ = ("_template", "again", "index", "pending", "seqs", "window")

    def __init__(self, *, index: int, window: int, template: SendTemplate) -> None:
        self.index = index
        self.window = window
        self._template = template
        #: Unacknowledged frames by number.
        self.pending: dict[int, bytes] = {}
        #: Refused for now: (when, number).
        self.again: list[tuple[int, int]] = []
        #: seqs[n - 1] is where message n was stored, 0 while that is not known.
        self.seqs: array[int] = array("q")

    @property
    def has_room(self) -> bool:
        return len(self.pending) < self.window

    def next(self, due_ns: int) -> bytes:
        """The frame of a new message."""
        seqs = self.seqs
        seqs.append(0)
        number = len(seqs)
        frame = self._template.frame(self.index, number, due_ns)
        self.pending[number] = frame
        return frame

    def due_again(self, now_ns: int) -> list[bytes]:
        """Frames that were refused and may be tried now."""
        ready = [number for when_ns, number in self.again if when_ns <= now_ns]
        if ready:
            self.again = [entry for entry in self.again if entry[0] > now_ns]
        return [self.pending[number] for number in ready if number in self.pending]

    def stored_seqs(self) -> list[int]:
        """Every seq that was ACKed STORED."""
        return [seq for seq in self.seqs if seq]
