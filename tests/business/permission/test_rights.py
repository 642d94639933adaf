"""Which role may do what in a group of which kind."""

from __future__ import annotations

from itertools import product
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from imd.business.groups.model import (
    ADMIN,
    MANAGED,
    MEMBER,
    NORMAL,
    OFFICIAL,
    OWNER,
    PUBLIC,
    Group,
    Rules,
    Standing,
)
from imd.business.permission.rights import (
    RIGHTS,
    SENSITIVE_ABOVE_MEMBERS,
    Right,
    is_sensitive,
    require,
    require_above,
    require_owner,
    rights_of,
)
from imd.kernel.errors import Forbidden
from imd.pb import bus_pb2

KINDS = {"normal": NORMAL, "managed": MANAGED, "public": PUBLIC, "official": OFFICIAL}
ROLES = {"member": MEMBER, "admin": ADMIN, "owner": OWNER}


def group(kind: int, *, members_invite: bool = False, members: int = 3, sensitive: bool = False) -> Group:
    rules = Rules(members_invite=members_invite)
    return Group("g_1", "Fun", 1, members, 0, kind, sensitive, rules)


class Rights(SynchronousTestCase):
    """The table, cell by cell."""

    #: Kind, right, and who has it.
    EXPECTED: ClassVar = {
        ("normal", "MESSAGE"): "member admin owner",
        ("normal", "MEDIA"): "member admin owner",
        ("normal", "CONTROL"): "member admin owner",
        ("managed", "MESSAGE"): "member admin owner",
        ("managed", "MEDIA"): "member admin owner",
        ("managed", "CONTROL"): "member admin owner",
        ("public", "MESSAGE"): "member admin owner",
        ("public", "MEDIA"): "member admin owner",
        ("public", "CONTROL"): "member admin owner",
        ("official", "MESSAGE"): "admin owner",
        ("official", "MEDIA"): "admin owner",
        ("official", "CONTROL"): "member admin owner",
    }

    def test_every_cell(self) -> None:
        """Each role of each kind has the rights that it should have, and no other."""
        for (kind_name, kind), right, (role_name, role) in product(KINDS.items(), Right, ROLES.items()):
            holders = self.EXPECTED.get((kind_name, str(right.name)), "admin owner").split()
            with self.subTest(f"{kind_name} {right.name} {role_name}"):
                self.assertEqual(bool(RIGHTS[kind, role] & right), role_name in holders)

    def test_complete(self) -> None:
        """Every kind has a row for every role, and there is no row besides."""
        self.assertEqual(set(RIGHTS), set(product(KINDS.values(), ROLES.values())))

    def test_same_on_the_bus(self) -> None:
        """Rights, kinds and roles have the numbers that core knows them by."""
        rights = {name: number for name, number in bus_pb2.Right.items() if number}
        self.assertEqual({str(right.name): int(right) for right in Right}, rights)
        self.assertEqual(
            {name.upper(): kind for name, kind in KINDS.items()},
            {name: number for name, number in bus_pb2.GroupKind.items() if number},
        )
        self.assertEqual({name.upper(): role for name, role in ROLES.items()}, dict(bus_pb2.Role.items()))

    def test_members_invite(self) -> None:
        """A group may let its members bring in others, unless it is not theirs to say."""
        for name, kind in KINDS.items():
            may = rights_of(group(kind, members_invite=True), MEMBER) & Right.INVITE
            self.assertEqual(bool(may), name in ("normal", "public"), name)
            self.assertFalse(rights_of(group(kind), MEMBER) & Right.INVITE)

    def test_require(self) -> None:
        """Who lacks a right is told so in a word for programs."""
        require(Standing(group(NORMAL), ADMIN), Right.MUTE)
        refused = self.assertRaises(Forbidden, require, Standing(group(NORMAL), MEMBER), Right.MUTE)
        self.assertEqual(refused.reason, "no_right")

    def test_owner(self) -> None:
        """What is the owner's alone no other role may."""
        require_owner(Standing(group(NORMAL), OWNER))
        for role in (MEMBER, ADMIN):
            self.assertRaises(Forbidden, require_owner, Standing(group(NORMAL), role))

    def test_above(self) -> None:
        """Nobody does anything to their like, or to those above."""
        for role, target in product(ROLES.values(), repeat=2):
            if target < role:
                require_above(role, [target])
            else:
                self.assertRaises(Forbidden, require_above, role, [MEMBER - 1, target])

    def test_sensitive(self) -> None:
        """Sensitive is what an operator marked, what is of a certain kind, and what is large."""
        self.assertFalse(is_sensitive(group(NORMAL, members=SENSITIVE_ABOVE_MEMBERS)))
        self.assertTrue(is_sensitive(group(NORMAL, members=SENSITIVE_ABOVE_MEMBERS + 1)))
        self.assertTrue(is_sensitive(group(NORMAL, sensitive=True)))
        for kind in (MANAGED, PUBLIC, OFFICIAL):
            self.assertTrue(is_sensitive(group(kind)))
