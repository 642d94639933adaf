"""Who judges content, and where it is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

from imd.core.directory import Speaker
from imd.core.message.sends import PendingSend
from imd.core.screening.model import Draft, Held, Verdict

T = TypeVar("T")


class ContentCheck(Protocol):
    """One check of drafts.

    A check that needs nothing from outside answers at once and never raises; one that asks somebody answers with a
    Deferred, which fails with ``NoVerdict`` if there is none, and may be cancelled when its deadline is over.
    """

    def check(self, draft: Draft) -> Verdict | Deferred[Verdict]: ...


class HeldMessages(Protocol):
    """Where messages wait for a person's decision: business."""

    async def hold(self, send: PendingSend, draft: Draft, reason: str) -> Held:
        """Hold it, durably, and once for each key; how it stands. UNDECIDED also if that is not known.

        :raises ServerBusy: it is not held, and nothing is known of it.
        :raises Forbidden: the sender may not write there.
        """
        ...

    async def states(
        self, conversation_id: str, sender: Speaker, client_msg_ids: Sequence[str]
    ) -> Mapping[str, Held]:
        """How those stand that were ever held; ServerBusy if that cannot be learned, AuthFailed if the sender's
        login has ended."""
        ...


class Threads(Protocol):
    """Runs ``work`` off the reactor thread and fires with what it returned or raised."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]: ...
