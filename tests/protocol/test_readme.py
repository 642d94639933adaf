"""protocol/README.rst says what the server does: its numbers and names are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.business.groups.invite import INVITED_PER_REQUEST
from imd.business.groups.model import MAX_ADMINS, MEMBERS_PER_REQUEST
from imd.business.groups.restrict import RESTRICTED_PER_REQUEST
from imd.config.section import KIB
from imd.config.sections import Config
from imd.core.gateway.acks import MAX_IN_FLIGHT
from imd.core.gateway.drain import RECONNECT_SPREAD_MS
from imd.core.gateway.idle import MAX_BLOCKED_S
from imd.core.gateway.requests import MAX_REQUESTS
from imd.core.message.append import WATER_MARKS
from imd.core.message.catch_up import (
    HISTORY_PAGE,
    HISTORY_PAGE_BYTES,
    LIST_PAGE,
    MAX_SYNC_CURSORS,
    STATUS_QUERY_IDS,
    SYNC_PAGE,
)
from imd.core.message.content import MAX_META_ENTRIES, MAX_META_KEY_BYTES
from imd.pb.connection_pb2 import ErrorCode
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import MessageStatus, MessageType
from imd.roles.gateway_values import ENVELOPE_OVERHEAD_BYTES
from imd.wire.server import MAX_BAD_REQUESTS, UNAUTHENTICATED_FRAME_BYTES

README = Path(__file__).resolve().parents[2] / "protocol" / "README.rst"


class ReadmeTests(SynchronousTestCase):
    """The text against the code."""

    def setUp(self) -> None:
        self.text = README.read_text(encoding="utf-8")
        self.flowing = " ".join(self.text.split())
        lines = [re.split(r" {2,}", line) for line in self.text.splitlines()]
        self.rows = {cells[0]: cells[1] for cells in lines if len(cells) == 2 and cells[0]}

    def test_names(self) -> None:
        """Every payload, error code, status and message type is explained."""
        for field in Envelope.DESCRIPTOR.oneofs_by_name["payload"].fields:
            self.assertIn(f"``{field.name}``", self.text)
        for name, code in ErrorCode.items():
            if code:
                self.assertRegex(self.text, rf"(?m)^{code}  {name} ")
        for name in (*MessageStatus.keys(), *MessageType.keys()):
            if name != "MESSAGE_TYPE_UNSPECIFIED":
                self.assertIn(f"``{name}``", self.text)

    def test_limits(self) -> None:
        """The table of limits holds the configured defaults and the constants."""
        config = Config()
        gateway, limits = config.gateway, config.limits
        binary, overhead = gateway.binary_bytes // KIB, ENVELOPE_OVERHEAD_BYTES // KIB
        stranger = UNAUTHENTICATED_FRAME_BYTES // KIB
        wanted = {
            "Text": f"{gateway.text_bytes // KIB} KiB† of UTF-8",
            "Binary content and meta together": f"{binary} KiB†",
            "An Envelope from a client": f"{binary} KiB + {overhead} KiB†; {stranger} KiB before ``Connected``",
            "History page": f"{HISTORY_PAGE} messages, {HISTORY_PAGE_BYTES // KIB} KiB",
            "Sync": f"{SYNC_PAGE} conversations a page, {MAX_SYNC_CURSORS:,} cursors a request",
            "Status query": f"{STATUS_QUERY_IDS} ids",
            "Conversation list": f"{LIST_PAGE} a page",
            "Presence": f"{config.presence.max_watched}† users",
            "Sends without a final ACK": f"{MAX_IN_FLIGHT} a connection; above, the server reads no further",
            "Other requests at a time": f"{MAX_REQUESTS} a connection; above, 1099",
            "Queue of a slow connection": f"{gateway.queue_messages} messages†, "
            f"{gateway.queue_bytes // KIB // KIB} MiB†",
            "Devices": f"{gateway.max_devices_per_user}† a user",
            "Text messages": f"{limits.user_text_per_min:.0f}† a minute and user, "
            f"{limits.user_burst:.0f}† at once",
            "Media messages": f"{limits.user_media_per_min:.0f}† a minute and user",
            "Messages in one conversation": f"{limits.conversation_per_s:.0f}† a second",
            "Frames": f"{limits.device_frames_per_s:.0f}† a second and connection, "
            f"{limits.ip_frames_per_s:,.0f}† a second and address",
            "New connections": f"{limits.ip_connects_per_s:.0f}† a second and address",
            "REST requests": f"{limits.user_requests_per_s:.0f}† a second and user, "
            f"{10 * limits.user_requests_per_s:.0f}† at once",
            "Logins": f"{limits.logins_per_min:.0f}† a minute for one account and address",
            "Members of a group": f"{config.accounts.group_max_members:,}†",
            "Admins of a group": f"{MAX_ADMINS:,}",
            "People added or removed at once": f"{MEMBERS_PER_REQUEST:,}",
            "People muted, invited or kept out at once": f"{RESTRICTED_PER_REQUEST:,}",
        }
        self.assertEqual(INVITED_PER_REQUEST, RESTRICTED_PER_REQUEST)
        self.assertEqual({name: self.rows.get(name) for name in wanted}, wanted)

    def test_times_and_thresholds(self) -> None:
        """What is said in sentences is true as well."""
        config = Config()
        gateway, messages, accounts = config.gateway, config.messages, config.accounts
        envelope_bytes = gateway.binary_bytes + ENVELOPE_OVERHEAD_BYTES
        bulk, large, normal = sorted(WATER_MARKS.values())[:3]
        for sentence in (
            f"port {config.listen.tcp.rpartition(':')[2]}†",
            f"port {config.listen.http.rpartition(':')[2]}†",
            f"at most {UNAUTHENTICATED_FRAME_BYTES:,} before ``Connected``",
            f"at most {envelope_bytes:,} (256 KiB + 4 KiB)† after",
            f"must be complete within {gateway.frame_timeout_s:.0f} s†",
            f"Within {gateway.auth_timeout_s:.0f} s† of opening",
            (
                f"heartbeatIntervalS: {gateway.heartbeat_interval_s:.0f}, "
                f"idleTimeoutS: {gateway.idle_timeout_s:.0f}"
            ),
            f"After {gateway.idle_timeout_s:.0f} s† of silence",
            f"leave ({gateway.drain_timeout_s:.0f} s† at most)",
            f"spreadMs: {RECONNECT_SPREAD_MS}",
            f"reads nothing for {MAX_BLOCKED_S:.0f} s is cut off",
            f"closed with 1001 about {gateway.token_grace_s:.0f} s after",
            f"A token is good for {accounts.token_ttl_s // 3600} h†",
            f"in the last {accounts.refresh_below_s // 60} minutes†",
            f"until {accounts.login_ttl_s // 86400} days† after the login",
            f"owner, within {messages.recall_window_s:.0f} s†",
            f"above {messages.hint_members_online:,}† online members",
            f"took over {messages.hint_fanout_ms:.0f} ms†",
            (
                f"above {messages.hint_body_bytes // KIB} KiB† in conversations of more than "
                f"{messages.small_group_members}† members"
            ),
            f"groups of up to {messages.receipts_max_members}† members",
            f"looks every {messages.sweep_interval_s:.0f} s†",
            f"Going and coming within {config.presence.merge_window_s:.0f} s†",
            f"at most {MAX_META_ENTRIES} entries with keys of 1 to {MAX_META_KEY_BYTES} bytes",
            f"the {MAX_BAD_REQUESTS}th (1007) within a minute",
            f"above {bulk:.0%} of the queue".replace("%", " %"),
            f"messages above {large:.0%}".replace("%", " %"),
            f"all else above {normal:.0%}".replace("%", " %"),
        ):
            self.assertIn(sentence, self.flowing)
