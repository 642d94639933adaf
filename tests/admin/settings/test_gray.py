"""Gray releases: who has one, what may be released so, and how it ends."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.config.gray import Target
from tests.admin.house import AdminCase, Answered

BURST_9 = {"limits": {"user_burst": 9}}
TEXT_5 = {"limits": {"user_text_per_min": 5}}


class Targets(SynchronousTestCase):
    """Who is meant."""

    def test_percent(self) -> None:
        """About as many as were asked for; who is in at 5 % is in at 20 %; another release has others."""
        users = range(1 << 60, (1 << 60) + 20_000)
        few = {user for user in users if Target(1, 5).has(user, ())}
        more = {user for user in users if Target(1, 20).has(user, ())}
        others = {user for user in users if Target(2, 5).has(user, ())}
        self.assertTrue(900 < len(few) < 1_100, len(few))
        self.assertTrue(3_800 < len(more) < 4_200, len(more))
        self.assertLess(few, more)
        self.assertLess(len(few & others), len(few) / 2)
        self.assertTrue(all(Target(1, 100).has(user, ()) for user in users))
        self.assertFalse(any(Target(1, 0, user_ids=frozenset({1})).has(user, ()) for user in users))

    def test_same_everywhere(self) -> None:
        """The draw is arithmetic: no process, release of Python or day changes it."""
        drawn = [user for user in range(1000) if Target(7, 1).has(user, ())]
        self.assertEqual(drawn, [59, 96, 108, 292, 366, 379, 456, 466, 521, 614, 648])

    def test_lists(self) -> None:
        """Users that are named are in, whatever the percentage; versions and zones narrow it."""
        target = Target(1, user_ids=frozenset({5}), client_versions=("2.4.*", "3.0"))
        self.assertTrue(target.has(5, ["2.4.1"]))
        self.assertTrue(target.has(5, ["1.0", "3.0"]))
        for versions in ([], ["3.0.1"], ["2.40"], [""]):
            self.assertFalse(target.has(5, versions))
        self.assertFalse(target.has(6, ["3.0"]))
        self.assertTrue(Target(1, client_versions=("3.0",)).has(6, ["3.0"]))
        self.assertTrue(Target(1).is_in_zone("anywhere"))
        self.assertFalse(Target(1, zones=frozenset({"north"})).is_in_zone(""))


class Releasing(AdminCase):
    """Its way from some to all, or to nobody."""

    def release(self, settings: object, *, based_on: int, **whom: Any) -> Answered:
        return self.ask("PUT", "/settings/gray", {"basedOn": based_on, "settings": settings, **whom})

    def end(self, how: str, *, based_on: int) -> Answered:
        return self.ask("POST", f"/settings/gray/{how}", {"basedOn": based_on, "comment": how})

    def test_promote(self) -> None:
        """All have what some had, above what all had before."""
        self.put(BURST_9, based_on=0)
        released = self.release(TEXT_5, based_on=1, percent=5, users=["77"], comment="try")
        self.assertEqual((released.status, released.body["version"], released.body["act"]), (200, 2, "gray"))
        self.assertEqual(released.body["settings"], BURST_9)
        self.assertEqual(released.body["gray"]["users"], ["77"])
        event = self.heard[-1].gray
        self.assertEqual((event.percent, list(event.userIds), event.id), (5, [77], 2))
        promoted = self.end("promote", based_on=2)
        self.assertEqual(promoted.body["settings"], {"limits": {"user_burst": 9, "user_text_per_min": 5}})
        self.assertIsNone(promoted.body["gray"])
        self.assertFalse(self.heard[-1].HasField("gray"))

    def test_withdraw(self) -> None:
        """Nobody has anything else any more; there is none to end twice."""
        self.release(TEXT_5, based_on=0, zones=["north"])
        ended = self.end("withdraw", based_on=1)
        self.assertEqual((ended.body["settings"], ended.body["gray"]), ({}, None))
        for how in ("withdraw", "promote"):
            self.assertEqual(self.end(how, based_on=2).status, 400)

    def test_wider(self) -> None:
        """More users of the same release are more, not others; another document is another release."""
        self.release(TEXT_5, based_on=0, percent=5)
        wider = self.release(TEXT_5, based_on=1, percent=20).body
        self.assertEqual((wider["gray"]["id"], wider["gray"]["percent"]), (1, 20))
        self.assertEqual(self.release(BURST_9, based_on=2, percent=20).body["gray"]["id"], 3)

    def test_set_meanwhile(self) -> None:
        """What all have can change while some have something else; a roll back ends that."""
        self.release(TEXT_5, based_on=0, percent=5)
        self.assertEqual(self.put(BURST_9, based_on=1).body["gray"]["settings"], TEXT_5)
        back = self.ask("POST", "/settings/rollback", {"version": 2, "basedOn": 2})
        self.assertEqual((back.body["settings"], back.body["gray"]), (BURST_9, None))

    def test_refused(self) -> None:
        """What cannot differ between users, names nobody, or is wrong, is refused with the reason."""
        cases: tuple[tuple[object, dict[str, Any], str], ...] = (
            ({"limits": {"conversation_per_s": 5}}, {"percent": 5}, "zones alone"),
            ({"permission": {"shadow": True}}, {"users": ["1"], "zones": ["a"]}, "zones alone"),
            (TEXT_5, {}, "nobody"),
            ({}, {"percent": 5}, "is empty"),
            ({"limits": {}}, {"percent": 5}, "is empty"),
            (TEXT_5, {"percent": 101}, "0 to 100"),
            (TEXT_5, {"percent": -1}, "0 to 100"),
            (TEXT_5, {"users": ["bob"]}, "no user id"),
            (TEXT_5, {"users": [str(1 << 63)]}, "no user id"),
            (TEXT_5, {"users": [str(each) for each in range(1001)]}, "percent"),
            (TEXT_5, {"zones": [""]}, "zones"),
            (TEXT_5, {"clientVersions": ["x" * 65]}, "clientVersions"),
            ({"limits": {"user_text_per_min": -5}}, {"percent": 5}, "out of range"),
        )
        for settings, whom, words in cases:
            answered = self.release(settings, based_on=0, **whom)
            self.assertEqual(answered.status, 400, whom)
            self.assertIn(words, answered.body["error"]["message"])
        whole_zone = self.release({"permission": {"shadow": True}}, based_on=0, zones=["north"])
        self.assertEqual(whole_zone.status, 200)
