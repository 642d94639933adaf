"""Which logins end for a new one, or that it may not be."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.business.accounts.login_rules import (
    DESKTOP,
    MOBILE,
    OTHER,
    WEB,
    KindRule,
    LoginRules,
    TooManyDevices,
    ended_by,
    kind_of,
)
from imd.business.accounts.model import Login

NOW_MS = 1_000_000
TTL_MS = 500_000


def login(device_id: str, platform: str = "", *, age_ms: int = 0, idle_ms: int = 0) -> Login:
    return Login(1, device_id, f"L-{device_id}", platform, NOW_MS - age_ms, NOW_MS - idle_ms)


class Kinds(SynchronousTestCase):
    """What a device is."""

    def test_kinds(self) -> None:
        """The first word says it, whatever follows; what is not known is something else."""
        for platform, kind in {
            "ios": MOBILE, "iOS 19.1": MOBILE, "Android-14": MOBILE, "HarmonyOS": MOBILE, "windows11": DESKTOP,
            "macOS": DESKTOP, "linux/x86": DESKTOP, "terminal": DESKTOP, "web": WEB, "browser (Firefox)": WEB,
            "": OTHER, "bot": OTHER, "9": OTHER, "webos": OTHER, " ios": OTHER,
        }.items():  # fmt: skip
            self.assertEqual(kind_of(platform), kind, platform)


class Ending(SynchronousTestCase):
    """Who has to go."""

    def ended(self, new: Login, present: list[Login], **kinds: KindRule) -> list[str]:
        rules = LoginRules(max_logins=4, login_ttl_ms=TTL_MS, kinds=kinds)
        return sorted(one.device_id for one in ended_by(new, present, rules))

    def test_room(self) -> None:
        """Where there is room nobody goes, but the device's own old login."""
        present = [login("a", "ios"), login("b", "web"), login("c", "web")]
        self.assertEqual(self.ended(login("d", "ios"), present), [])
        self.assertEqual(self.ended(login("a", "web"), present), ["a"])

    def test_kick(self) -> None:
        """One more of a kind ends the one of that kind that was idle for longest, not one of another."""
        present = [
            login("a", "ios", idle_ms=5),
            login("b", "android", idle_ms=9),
            login("w", "web", idle_ms=50),
        ]
        self.assertEqual(self.ended(login("c", "ios"), present, mobile=KindRule(2, False)), ["b"])
        self.assertEqual(self.ended(login("c", "ios"), present, mobile=KindRule(1, False)), ["a", "b"])

    def test_refuse(self) -> None:
        """Or it is not let in; the same device may always come again, and other kinds are not concerned."""
        present = [login("a", "ios"), login("w", "web")]
        rule = KindRule(1, True)
        error = self.assertRaises(TooManyDevices, self.ended, login("b", "android"), present, mobile=rule)
        self.assertEqual((error.most, str(error)), (1, "already logged in on 1 mobile device"))
        self.assertEqual(self.ended(login("a", "ios"), present, mobile=rule), ["a"])
        self.assertEqual(self.ended(login("d", "linux"), present, mobile=rule), [])

    def test_over_by_age(self) -> None:
        """Who could only log in anew stands in nobody's way."""
        present = [login("a", "ios", age_ms=TTL_MS)]
        self.assertEqual(self.ended(login("b", "ios"), present, mobile=KindRule(1, True)), ["a"])
        self.assertRaises(
            TooManyDevices,
            self.ended,
            login("b", "ios"),
            [login("a", "ios", age_ms=TTL_MS - 1)],
            mobile=KindRule(1, True),
        )

    def test_all_kinds_together(self) -> None:
        """The limit on all devices holds as well, after that of the kind."""
        present = [
            login(name, "web", idle_ms=idle) for name, idle in (("a", 1), ("b", 4), ("c", 3), ("d", 2))
        ]
        self.assertEqual(self.ended(login("e", "ios"), present), ["b"])
        self.assertEqual(self.ended(login("e", "web"), present, web=KindRule(4, False)), ["b"])
        self.assertEqual(self.ended(login("e", "web"), present, web=KindRule(3, False)), ["b", "c"])
