"""Who may do what in a conversation, and which reason those are told who may not."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.core import directory
from imd.core.directory import (
    ADMIN,
    CONTROL,
    GROUP,
    INVITE,
    MANAGE,
    MEDIA,
    MEMBER,
    MESSAGE,
    MUTE,
    OWNER,
    P2P,
    RECALL_OTHERS,
    USUAL_RIGHTS,
    Membership,
)
from imd.core.permission.decide import MAX_WAIT_MS, SPEECH, refusal
from imd.kernel.errors import Code
from imd.pb.bus_pb2 import GroupKind, Right, Role

NOW_MS = 1_800_000_000_000
MIA, ABE, OLA, EVE = 1, 2, 3, 9
RIGHTS = (MESSAGE, MEDIA, CONTROL, INVITE, MUTE, RECALL_OTHERS, MANAGE)


def group(**rules: Any) -> Membership:
    return Membership("g_1", GROUP, 1, {MIA: MEMBER, ABE: ADMIN, OLA: OWNER}, **rules)


def reason(membership: Membership | None, user_id: int, right: int) -> str:
    refused = refusal(membership, user_id, right, NOW_MS)
    return "" if refused is None else refused.reason


class Words(SynchronousTestCase):
    """Core and business speak of the same things by the same numbers."""

    def test_same_numbers(self) -> None:
        """Rights, roles and kinds of groups are those of bus.proto."""
        for words in (Right, Role, GroupKind):
            for name, number in words.items():
                if number or words is Role:
                    self.assertEqual(getattr(directory, name), number)


class RefusalTests(SynchronousTestCase):
    """The table: for each situation and each role, what is still allowed."""

    def test_usual_rights(self) -> None:
        """Members write, admins also keep order, the owner also manages."""
        allowed = {
            user_id: [right for right in RIGHTS if not reason(group(), user_id, right)]
            for user_id in (MIA, ABE, OLA)
        }
        self.assertEqual(
            allowed,
            {
                MIA: [MESSAGE, MEDIA, CONTROL],
                ABE: [MESSAGE, MEDIA, CONTROL, INVITE, MUTE, RECALL_OTHERS],
                OLA: list(RIGHTS),
            },
        )

    def test_rights_of_the_conversation(self) -> None:
        """What business says a role may do is what it may do: in an official group members read."""
        official = group(rights=(CONTROL, USUAL_RIGHTS[1], USUAL_RIGHTS[2]))
        self.assertEqual(reason(official, MIA, MESSAGE), "no_right")
        self.assertEqual(reason(official, MIA, MEDIA), "no_right")
        self.assertEqual(reason(official, MIA, CONTROL), "")
        self.assertEqual(reason(official, ABE, MESSAGE), "")
        self.assertEqual(reason(official, MIA, CONTROL | MESSAGE), "no_right")

    def test_strangers(self) -> None:
        """Who is not in it, and who asks for what does not exist, are told the same."""
        told = set()
        for membership in (None, group()):
            for right in (0, *RIGHTS):
                refused = refusal(membership, EVE, right, NOW_MS)
                assert refused is not None
                told.add((refused.code, refused.message, refused.reason, refused.retryable))
        self.assertEqual(
            told,
            {
                (
                    Code.FORBIDDEN,
                    "this conversation does not exist or you are not in it",
                    "not_member",
                    False,
                )
            },
        )

    def test_being_in_it(self) -> None:
        """Reading needs nothing but to be in it, also for somebody muted, refused or without a right."""
        silent = group(
            rights=(0, 0, 0),
            all_muted_until_ms=NOW_MS + 1,
            muted_until_ms={MIA: NOW_MS + 1},
            refused={MIA: "blocked"},
        )
        self.assertEqual(reason(silent, MIA, 0), "")

    def test_muted(self) -> None:
        """Somebody muted says nothing until the time is over, whatever the role, and may take back."""
        for user_id in (MIA, ABE, OLA):
            muted = group(muted_until_ms={user_id: NOW_MS + 5_000})
            for right in RIGHTS:
                expected = "muted" if right in (MESSAGE, MEDIA) else reason(group(), user_id, right)
                self.assertEqual(reason(muted, user_id, right), expected)
        self.assertEqual(reason(group(muted_until_ms={MIA: NOW_MS}), MIA, MESSAGE), "")
        self.assertEqual(reason(group(muted_until_ms={ABE: NOW_MS + 1}), MIA, MESSAGE), "")

    def test_all_muted(self) -> None:
        """While all are muted, admins and the owner still write."""
        muted = group(all_muted_until_ms=NOW_MS + 5_000)
        self.assertEqual(
            [reason(muted, user_id, MESSAGE) for user_id in (MIA, ABE, OLA)], ["all_muted", "", ""]
        )
        self.assertEqual(reason(group(all_muted_until_ms=NOW_MS), MIA, MESSAGE), "")

    def test_how_long(self) -> None:
        """A client learns how long a mute lasts; of one without an end it learns nothing."""
        for until_ms, wait_ms in ((NOW_MS + 5_000, 5_000), (NOW_MS + MAX_WAIT_MS + 1, 0), (1 << 62, 0)):
            for rules in ({"muted_until_ms": {MIA: until_ms}}, {"all_muted_until_ms": until_ms}):
                refused = refusal(group(**rules), MIA, MESSAGE, NOW_MS)
                assert refused is not None
                self.assertEqual(refused.retry_after_ms, wait_ms)

    def test_not_accepted(self) -> None:
        """Who is blocked, a stranger, or writes to somebody who is gone: all are told the same."""
        told = set()
        for why in ("blocked", "stranger", "gone", ""):
            direct = Membership("p_1", P2P, 1, {MIA: MEMBER, EVE: MEMBER}, refused={EVE: why})
            self.assertEqual(reason(direct, MIA, MESSAGE), "")
            refused = refusal(direct, EVE, MESSAGE, NOW_MS)
            assert refused is not None
            told.add((refused.code, refused.message, refused.reason, refused.retry_after_ms))
        self.assertEqual(told, {(Code.FORBIDDEN, "your messages are not accepted here", "not_accepted", 0)})


times = st.integers(NOW_MS - 2, NOW_MS + 2)
people = st.integers(0, 4)
memberships = st.builds(
    Membership,
    conversation_id=st.just("g_1"),
    kind=st.sampled_from([P2P, GROUP]),
    version=st.just(1),
    roles=st.dictionaries(people, st.sampled_from([MEMBER, ADMIN, OWNER])),
    rights=st.tuples(*[st.integers(0, 127)] * 3),
    all_muted_until_ms=times,
    muted_until_ms=st.dictionaries(people, times),
    refused=st.dictionaries(people, st.just("blocked")),
)


class Properties(SynchronousTestCase):
    """What holds whatever the rules of a conversation are."""

    @settings(max_examples=300, deadline=None)
    @given(membership=memberships, user_id=people, right=st.integers(0, 127))
    def test_as_the_rules_say(self, membership: Membership, user_id: int, right: int) -> None:
        """Exactly those pass who are in it, have all the rights, and are not silenced where that counts."""
        role = membership.roles.get(user_id)
        silenced = (
            membership.muted_until_ms.get(user_id, 0) > NOW_MS
            or (role == MEMBER and membership.all_muted_until_ms > NOW_MS)
            or user_id in membership.refused
        )
        passes = (
            role is not None
            and membership.rights[role] | right == membership.rights[role]
            and not (right & SPEECH and silenced)
        )
        self.assertEqual(refusal(membership, user_id, right, NOW_MS) is None, passes)

    @settings(max_examples=100, deadline=None)
    @given(membership=memberships, user_id=people, right=st.integers(0, 127))
    def test_time_only_frees(self, membership: Membership, user_id: int, right: int) -> None:
        """Who may now may also later, as long as nothing is changed."""
        if refusal(membership, user_id, right, NOW_MS) is None:
            self.assertIsNone(refusal(membership, user_id, right, NOW_MS + 10))
