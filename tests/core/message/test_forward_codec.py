"""What the owner of a conversation is told of a send is all that the other node knew."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.core.directory import RECALL_OTHERS
from imd.core.message.forward_codec import DistantDevice, decode_send, encode_send
from imd.core.message.sends import PendingSend, SendKey
from imd.pb.bus_pb2 import ForwardedSend


class ForwardCodecTests(SynchronousTestCase):
    """There and back."""

    def test_round_trip(self) -> None:
        """Everything arrives, the sender's ticket among it: questions on their behalf are asked by the owner."""
        nobody: Any = None
        send = PendingSend(
            key=SendKey("p_1", 7, "m1"),
            body=b"body",
            content_hash=b"hash",
            server_msg_id=8,
            server_time_ms=9,
            submitter=nobody,
            recipient=DistantDevice(1, 2, 7, "phone"),
            is_media=True,
            peer_user_id=10,
            revokes=(11, b"revoked"),
            version=12,
            right=RECALL_OTHERS,
            ticket=b"ticket",
            level=3,
        )
        send.outcome_unknown = True
        told = ForwardedSend()
        encode_send(told, 2, send, owner=1)
        arrived = decode_send(ForwardedSend.FromString(told.SerializeToString()), 1, nobody)
        for name in (
            "key", "body", "content_hash", "server_msg_id", "server_time_ms", "is_media", "peer_user_id", "revokes",
            "version", "right", "ticket", "level", "outcome_unknown",
        ):  # fmt: skip
            self.assertEqual(getattr(arrived, name), getattr(send, name), name)
        device = arrived.recipient
        assert isinstance(device, DistantDevice)
        self.assertEqual(
            (device.node_id, device.forward_id, device.user_id, device.device_id), (1, 2, 7, "phone")
        )
