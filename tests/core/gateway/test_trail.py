"""Refusals by permission are written down, each once; other errors are not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.bus.audit import LOW, MEDIUM, REFUSED, AuditEntry
from imd.core.directory import GROUP, MESSAGE, USUAL_RIGHTS, Membership
from imd.core.gateway.trail import LEVELS
from imd.core.permission.decide import not_member
from imd.kernel.errors import Forbidden, RateLimited, ServerBusy
from imd.pb.delivery_pb2 import Typing
from imd.pb.envelope_pb2 import Envelope, Header
from tests.core.gateway.world import World, text


class TrailTests(SynchronousTestCase):
    """What a node tells of those who are connected to it."""

    def setUp(self) -> None:
        self.world = World()
        self.world.pipeline.conversation.membership = Membership(
            "c", GROUP, 3, {1: 0}, policy_version=7, rights=(0, *USUAL_RIGHTS[1:])
        )
        self.link = self.world.live(1)

    def test_send(self) -> None:
        """A send that fails for a reason of permission, whoever found that, by the policy that was known."""
        self.link.says(text("m1"))
        (send,) = self.world.pipeline.submitted
        self.world.acks.failed(send, Forbidden("no", reason="muted"))
        self.assertEqual(
            self.world.refused,
            [
                AuditEntry(
                    "message.send",
                    REFUSED,
                    "muted",
                    1,
                    0,
                    "c",
                    "m1",
                    policy_version=7,
                    level=LOW,
                    right=MESSAGE,
                )
            ],
        )

    def test_other_requests(self) -> None:
        """Also what is no send, by what was wanted."""
        self.link.says(Envelope(header=Header(requestId=9), typing=Typing(conversationId="c", active=True)))
        self.assertEqual(
            self.world.refused,
            [
                AuditEntry(
                    "message.typing", REFUSED, "no_right", 1, 0, "c", "9", policy_version=7, level=MEDIUM
                )
            ],
        )

    def test_scope(self) -> None:
        """A token that is not for sending."""
        self.world.directory.scopes = frozenset()
        link = self.world.live(2)
        link.says(text("m1"))
        self.assertEqual(
            [(entry.reason, entry.actor_id, entry.request_id) for entry in self.world.refused],
            [("no_scope", 2, "m1")],
        )

    def test_other_errors(self) -> None:
        """What is full, busy or too fast is no refusal by permission."""
        self.link.says(text("m1"))
        (send,) = self.world.pipeline.submitted
        for error in (ServerBusy("x"), RateLimited("x", reason="quota"), Forbidden("x", reason="degraded")):
            self.world.acks.failed(send, error)
        self.assertEqual(self.world.refused, [])

    def test_strangers(self) -> None:
        """Of a conversation that is not known nothing is said but its name."""
        self.world.pipeline.conversation.membership = None
        self.link.says(text("m1"))
        (send,) = self.world.pipeline.submitted
        self.world.acks.failed(send, not_member())
        (entry,) = self.world.refused
        self.assertEqual(
            (entry.reason, entry.policy_version, entry.level), ("not_member", 0, LEVELS["not_member"])
        )
