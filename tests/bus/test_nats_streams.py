"""The table of durable subjects, and what is read from the server's ack subjects."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.bus import subjects
from imd.bus.nats_consumer import Delivery
from imd.bus.nats_streams import (
    DEAD_LETTERS,
    STREAMS,
    Event,
    Stream,
    consumer_config,
    consumer_name,
    stream_of,
)


class TableTests(SynchronousTestCase):
    """Spec 3.5."""

    def test_tries_and_waits(self) -> None:
        """Permissions 5 (updates 3) and 30 s, configuration 5 and 60 s, acks 3 and 15 s, audit 3, the rest 5."""
        declared = {
            event.subject: (event.tries, event.ack_wait_s) for each in STREAMS for event in each.events
        }
        self.assertEqual(
            declared,
            {
                subjects.AUTH_INVALIDATE: (5, 30),
                subjects.AUTH_UPDATE: (3, 30),
                subjects.ADMIN_CONFIG: (5, 60),
                subjects.NOTIFICATION_PUSH: (5, 30),
                subjects.AUDIT_LOG: (3, 30),
                subjects.MESSAGE_ACK: (3, 15),
                subjects.HOOK_MESSAGE: (5, 30),
            },
        )
        self.assertEqual(STREAMS[0].config(3)["num_replicas"], 3)

    def test_no_requests_are_recorded(self) -> None:
        """No stream holds a subject on which somebody waits for an answer: the PubAck would be one."""
        for subject in (subjects.AUTH_TOKEN, subjects.AUTH_MEMBERS, subjects.message_send(1)):
            self.assertRaises(ValueError, stream_of, (*STREAMS, DEAD_LETTERS), subject)

    def test_patterns(self) -> None:
        """A pattern finds its stream, and is as patient as the most patient subject under it."""
        stream, event = stream_of(STREAMS, "im.auth.*")
        self.assertEqual((stream.name, event.tries), ("im-critical", 5))
        wide = (Stream("s", (Event("im.test.>", 5, 1, (1,)),), keep_s=1, max_bytes=1, dedupe_s=1),)
        for pattern in ("im.test.a", "im.test.*", "im.test.a.>", "im.test.>"):
            self.assertEqual(stream_of(wide, pattern)[0].name, "s")
        self.assertRaises(ValueError, stream_of, wide, "im.other")

    def test_consumer(self) -> None:
        """Names without dots and wildcards, told apart by subject; one event in flight."""
        names = [consumer_name("core-7", each) for each in ("im.auth.*", "im.auth.>", "im.auth.update")]
        self.assertEqual(names, ["core-7_im_auth_ANY", "core-7_im_auth_ALL", "core-7_im_auth_update"])
        self.assertRaises(ValueError, consumer_name, "core.7", "im.auth.update")
        config = consumer_config("name", "im.audit.log", stream_of(STREAMS, "im.audit.log")[1], born_ms=0)
        self.assertEqual((config["max_ack_pending"], config["ack_wait"]), (1, 30 * 10**9))

    def test_newest_counts(self) -> None:
        """What is the same at every start has a consumer for each life, which begins with the newest."""
        names = [consumer_name("core-7", subjects.ADMIN_CONFIG, life=life) for life in ("a1", "b2")]
        self.assertEqual(names, ["core-7-a1_im_admin_config", "core-7-b2_im_admin_config"])
        self.assertEqual(consumer_name("core-7", "im.auth.update", life="a1"), "core-7_im_auth_update")
        event = stream_of(STREAMS, subjects.ADMIN_CONFIG)[1]
        config = consumer_config("name", subjects.ADMIN_CONFIG, event, born_ms=0)
        self.assertEqual(
            (config["deliver_policy"], config["inactive_threshold"]), ("last_per_subject", 24 * 3600 * 10**9)
        )

    def test_fades(self) -> None:
        """What concerns nobody after a while is begun that long before the life of the process, each time alike."""
        event = stream_of(STREAMS, subjects.AUTH_INVALIDATE)[1]
        born_ms = 1_700_000_900_000
        configs = [
            consumer_config("name", subjects.AUTH_INVALIDATE, event, born_ms=born_ms) for _ in range(2)
        ]
        self.assertEqual(configs[0], configs[1])
        self.assertEqual(
            (configs[0]["deliver_policy"], configs[0]["opt_start_time"]),
            ("by_start_time", "2023-11-14T22:13:20+00:00"),
        )
        names = [consumer_name("core-7", subjects.AUTH_INVALIDATE, life=life) for life in ("a1", "b2")]
        self.assertEqual(len(set(names)), 2)


class DeliveryTests(SynchronousTestCase):
    """How often an event was delivered stands in its ack subject, in one of two forms."""

    def test_both_forms(self) -> None:
        """With and without domain and account."""
        for ack in (
            b"$JS.ACK.im-critical.core-7.3.41.9.1700000000.5",
            b"$JS.ACK._.AbCd.im-critical.core-7.3.41.9.1700000000.5",
            b"$JS.ACK._.AbCd.im-critical.core-7.3.41.9.1700000000.5.token",
        ):
            delivery = Delivery.of(b"im.audit.log", ack, b"payload")
            self.assertEqual((delivery.deliveries, delivery.key), (3, ("41", "1700000000")))
            self.assertEqual(delivery.behind, 5)
