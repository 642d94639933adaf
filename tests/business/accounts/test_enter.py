"""Registering, logging in and refreshing, as clients see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from argon2 import PasswordHasher
from sqlalchemy import select, update
from twisted.internet.defer import Deferred

from imd.business.accounts.model import FROZEN
from imd.business.tables.people import logins, users
from imd.config.sections import Accounts, Config, Limits
from tests.business.world import CHEAP, PASSWORD, WorldCase, at_once

T = TypeVar("T")


class Registering(WorldCase):
    """A new account."""

    def setUp(self) -> None:
        self.world = self.make_world()

    def register(self, **fields: object) -> tuple[int, str]:
        body = {"handle": "dora", "password": PASSWORD, "deviceId": "phone"} | fields
        reply = self.world.call("POST", "/register", body)
        return reply.status, "" if reply.status == 201 else reply.error[2]

    def test_answer(self) -> None:
        """It answers with the id as a string, the folded handle, and a token that works at once."""
        session = self.world.register("Dora.The-1st")
        self.assertEqual((session["handle"], session["displayName"]), ("dora.the-1st", "dora.the-1st"))
        self.assertGreater(int(session["userId"]), 1 << 53)
        me = self.world.call("GET", "/me", token=session["token"])
        self.assertEqual((me.status, me.json["userId"]), (200, session["userId"]))

    def test_handles(self) -> None:
        """A handle that may not be is refused, and the field named."""
        for handle in (
            "ab",
            "a" * 33,
            "a b",
            "a/b",
            "ünal",
            "a@b.c",
            "a\u0000b",
            "😀😀😀",
            "a'--",
            "stra\u00dfe",
            "\u212aarl",
        ):
            self.assertEqual(self.register(handle=handle), (400, "handle"), handle)

    def test_taken(self) -> None:
        """A handle is unique, however it is written."""
        self.assertEqual(self.register(handle="dora")[0], 201)
        self.assertEqual(self.register(handle="DORA"), (400, "handle"))

    def test_passwords(self) -> None:
        """Too short, too long, or the handle itself is no password."""
        for password in ("1234567", "x" * 257, ""):
            self.assertEqual(self.register(password=password), (400, "password"))
        self.assertEqual(self.register(handle="long-handle", password="Long-Handle"), (400, "password"))

    def test_other_fields(self) -> None:
        """Device, name and platform are bounded, and unknown fields refused by name."""
        for field, value in {
            "deviceId": "a b", "displayName": "x" * 65, "platform": "x" * 33, "isAdmin": True, "userId": "1",
        }.items():  # fmt: skip
            self.assertEqual(self.register(**{field: value}), (400, field))
        for name in ("line\nbreak", "a\u202eb", "a\x00b", "a\u2028b"):
            self.assertEqual(self.register(displayName=name), (400, "displayName"), repr(name))

    def test_closed(self) -> None:
        """Where registration is switched off nobody registers."""
        self.world = self.make_world(config=Config(accounts=Accounts(registration=False)))
        self.assertEqual(self.register()[0], 403)

    def test_rate(self) -> None:
        """One address registers so many an hour; then it is told how long to wait. Others go on."""
        self.world = self.make_world(config=Config(limits=Limits(registrations_per_hour_per_ip=2)))
        for handle in ("one", "two"):
            self.assertEqual(self.register(handle=handle)[0], 201)
        body = {"handle": "three", "password": PASSWORD, "deviceId": "phone"}
        refused = self.world.call("POST", "/register", body, headers={"X-Forwarded-For": "198.51.100.9"})
        self.assertEqual((refused.status, refused.error[0]), (429, 1005))
        self.assertEqual(int(refused.headers["retry-after"]), 1801)
        self.world.register("three", peer="192.0.2.2")


class LoggingIn(WorldCase):
    """Handle and password for a token."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.session = self.world.register("alice")

    def status_of(self, token: str) -> int:
        return self.world.call("GET", "/me", token=token).status

    def set(self, **values: object) -> None:
        self.world.run(self.world.database.write(lambda c: c.execute(update(users).values(values)).rowcount))

    def test_alike(self) -> None:
        """A wrong password and an unknown user get the same answer."""
        replies = [self.world.login("alice", password="wrong"), self.world.login("nobody", password="wrong")]
        self.assertEqual(replies[0].raw, replies[1].raw)
        self.assertEqual((replies[0].status, replies[0].error[0]), (401, 1001))
        self.assertEqual(replies[0].headers["www-authenticate"], "Bearer")

    def test_same_cost(self) -> None:
        """An unknown user, a wrong and a right password all cost exactly one hash."""
        calls: list[str] = []

        def threads(work: Callable[[], T], /) -> Deferred[T]:
            calls.append("hash")
            return at_once(work)

        self.patch(self.world.parts.passwords, "_threads", threads)
        for handle, password in (("nobody", "wrong"), ("alice", "wrong"), ("alice", PASSWORD)):
            self.world.login(handle, password=password)
            self.assertEqual(calls, ["hash"], handle)
            calls.clear()

    def test_two_devices(self) -> None:
        """Devices are logged in independently."""
        laptop = self.world.login("ALICE", device="laptop").json
        self.assertEqual([self.status_of(one["token"]) for one in (self.session, laptop)], [200, 200])
        devices = self.world.call("GET", "/me", token=laptop["token"]).json["devices"]
        self.assertEqual(
            {one["deviceId"]: one["current"] for one in devices}, {"phone": False, "laptop": True}
        )
        self.assertEqual(self.world.heard, [])

    def test_same_device(self) -> None:
        """A new login ends the old one on the same device, and that is announced."""
        again = self.world.login("alice").json
        self.assertEqual([self.status_of(one["token"]) for one in (self.session, again)], [401, 200])
        revoked = self.world.invalidations[0].revoked
        self.assertEqual(
            (str(revoked.userId), revoked.deviceId, revoked.reason),
            (self.session["userId"], "phone", "logged_in_again"),
        )

    def test_too_many_devices(self) -> None:
        """The eleventh device ends the login that was idle for longest, and no other."""
        self.world.clock.advance(60)
        tokens = [self.world.login("alice", device=f"d{number}").json["token"] for number in range(10)]
        self.assertEqual(self.status_of(self.session["token"]), 401)
        self.assertEqual([self.status_of(token) for token in tokens], [200] * 10)
        self.assertEqual([event.revoked.deviceId for event in self.world.invalidations], ["phone"])

    def test_guessing(self) -> None:
        """After ten wrong guesses even the right password must wait, from this address, for this account."""
        for _ in range(10):
            self.assertEqual(self.world.login("alice", password="wrong").status, 401)
        refused = self.world.login("alice")
        self.assertEqual((refused.status, refused.headers["retry-after"]), (429, "7"))
        body = {"handle": "alice", "password": PASSWORD, "deviceId": "phone"}
        self.assertEqual(self.world.call("POST", "/login", body, peer="192.0.2.2").status, 200)
        self.world.clock.advance(7)
        self.assertEqual(self.world.login("alice").status, 200)

    def test_frozen(self) -> None:
        """A frozen account can neither log in nor use what it has, and only its owner learns why."""
        self.set(status=FROZEN)
        self.world.clock.advance(61)
        self.assertEqual(self.status_of(self.session["token"]), 401)
        self.assertEqual(self.world.login("alice").json["error"]["message"], "this account is frozen")
        wrong = self.world.login("alice", password="wrong").json["error"]["message"]
        self.assertEqual(wrong, self.world.login("nobody").json["error"]["message"])

    def test_rehash(self) -> None:
        """A password kept at other costs is kept at today's after the next login."""
        self.set(password_hash=PasswordHasher(2, 16, 1).hash(PASSWORD))
        self.assertEqual(self.world.login("alice").status, 200)
        accounts = self.world.database.read(lambda c: c.execute(users.select()).one().password_hash)
        self.assertIn("m=8,t=1,p=1", self.world.run(accounts))
        self.assertEqual(self.world.login("alice").status, 200)

    def test_changed_meanwhile(self) -> None:
        """Whose password changes, or account is frozen, while the hash is computed is not logged in."""
        for values in ({"password_hash": CHEAP.hash("another one")}, {"status": FROZEN}):
            self.world = self.make_world()
            self.world.register("alice")

            def threads(work: Callable[[], T], /, values: Any = values) -> Deferred[T]:
                verified = at_once(work)
                self.set(**values)
                return verified

            self.patch(self.world.parts.passwords, "_threads", threads)
            self.assertEqual(self.world.login("alice", device="laptop").status, 401)
            count = self.world.database.read(lambda c: c.execute(select(logins.c.device_id)).all())
            self.assertEqual(self.world.run(count), [("phone",)], values)


class Refreshing(WorldCase):
    """A new token for an old one."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.session = self.world.register("alice")

    def refresh(self, token: str) -> tuple[int, str]:
        reply = self.world.call("POST", "/refresh", token=token)
        return reply.status, reply.json["token"] if reply.status == 200 else reply.json["error"]["message"]

    def test_too_early(self) -> None:
        """With more than 15 minutes left it is refused, and told when to come."""
        reply = self.world.call("POST", "/refresh", token=self.session["token"])
        self.assertEqual((reply.status, reply.error[0], reply.headers["retry-after"]), (429, 1005, "2700"))
        self.assertEqual(self.session["refreshAfter"] - self.world.now_ms(), 2_700_000)

    def test_in_time(self) -> None:
        """With 15 minutes left it gives another hour."""
        self.world.clock.advance(2700)
        reply = self.world.call("POST", "/refresh", token=self.session["token"])
        self.assertEqual(reply.json["expiresAt"], self.world.now_ms() + 3_600_000)
        self.assertEqual(self.world.call("GET", "/me", token=reply.json["token"]).status, 200)

    def test_seven_days(self) -> None:
        """It goes on for seven days and ends exactly then; no token outlives its login."""
        token, end_s = self.session["token"], 7 * 24 * 3600
        while self.world.clock.seconds() + 3000 < end_s:
            self.world.clock.advance(3000)
            status, token = self.refresh(token)
            self.assertEqual(status, 200)
        self.world.clock.advance(end_s - self.world.clock.seconds() - 1)
        self.assertEqual(self.world.call("GET", "/me", token=token).status, 200)
        self.assertEqual(self.refresh(token)[0], 401)
        self.world.clock.advance(31)
        self.assertEqual(self.world.call("GET", "/me", token=token).status, 401)

    def test_after_logout(self) -> None:
        """A login that was ended cannot be refreshed."""
        self.world.clock.advance(3000)
        self.world.call("POST", "/logout", token=self.session["token"])
        self.assertEqual(self.refresh(self.session["token"])[0], 401)
