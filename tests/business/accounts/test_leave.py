"""Logging out and changing the password, as clients and core see it."""

from __future__ import annotations

from typing import Any

from imd.bus.subjects import AUTH_TOKEN
from imd.pb.bus_pb2 import TokenCheck, TokenVerdict
from imd.pb.connection_pb2 import ErrorCode
from tests.business.world import PASSWORD, WorldCase

NEW = "another password"


class Leaving(WorldCase):
    """Alice on phone and laptop; bob beside her."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.phone = self.world.register("alice")["token"]
        self.laptop = self.world.login("alice", device="laptop").json["token"]
        self.bob = self.world.register("bob")["token"]

    def good(self) -> list[bool]:
        """Whether phone, laptop and bob still count, to core as well as over REST."""
        counts = []
        for token, device in ((self.phone, "phone"), (self.laptop, "laptop"), (self.bob, "phone")):
            verdict = self.world.ask(AUTH_TOKEN, TokenCheck(token=token, deviceId=device), TokenVerdict)
            rest = self.world.call("GET", "/me", token=token).status
            self.assertIn((verdict.failure.code, rest), ((0, 200), (ErrorCode.AUTH_FAILED, 401)))
            counts.append(rest == 200)
        return counts

    def revoked(self) -> list[tuple[str, str, str]]:
        return [
            (event.revoked.deviceId, event.revoked.exceptDeviceId, event.revoked.reason)
            for event in self.world.invalidations
        ]

    def change(self, old: str, new: str) -> tuple[int, str]:
        body = {"oldPassword": old, "newPassword": new}
        reply = self.world.call("POST", "/password", body, token=self.phone)
        if reply.status == 200:
            self.phone = reply.json["token"]
        return reply.status, "" if reply.status == 200 else reply.error[2]

    def test_this_device(self) -> None:
        """Logging out ends this device's login, at once, and tells core."""
        self.assertEqual(self.good(), [True, True, True])
        self.assertEqual(self.world.call("POST", "/logout", token=self.phone).json, {"ok": True})
        self.assertEqual(self.good(), [False, True, True])
        self.assertEqual(self.revoked(), [("phone", "", "logged_out")])

    def test_other_device(self) -> None:
        """A lost laptop is logged out from the phone."""
        reply = self.world.call("POST", "/logout", {"deviceId": "laptop"}, token=self.phone)
        self.assertEqual(reply.status, 200)
        self.assertEqual(self.good(), [True, False, True])
        self.assertEqual(self.revoked(), [("laptop", "", "logged_out")])

    def test_everywhere(self) -> None:
        """All devices at once; nobody else's."""
        self.world.call("POST", "/logout", {"everywhere": True}, token=self.phone)
        self.assertEqual(self.good(), [False, False, True])
        self.assertEqual(self.revoked(), [("", "", "logged_out")])

    def test_both(self) -> None:
        """One device and everywhere contradict each other."""
        body = {"deviceId": "laptop", "everywhere": True}
        self.assertEqual(self.world.call("POST", "/logout", body, token=self.phone).error[2], "deviceId")

    def test_password(self) -> None:
        """A new password ends all other logins; this device goes on with the token it gets back."""
        old = self.phone
        self.assertEqual(self.change(PASSWORD, NEW), (200, ""))
        self.assertEqual(self.good(), [True, False, True])
        self.assertEqual(self.world.call("GET", "/me", token=old).status, 401)
        self.assertEqual(self.revoked(), [("", "phone", "password_changed")])
        self.assertEqual(self.world.login("alice", device="tablet").status, 401)
        self.assertEqual(self.world.login("alice", device="tablet", password=NEW).status, 200)

    def test_wrong_password(self) -> None:
        """A stolen token does not change the password, nor does it buy guesses."""
        for _ in range(10):
            self.assertEqual(self.change("wrong", NEW), (400, "oldPassword"))
        self.assertEqual(self.change(PASSWORD, NEW)[0], 429)
        self.assertEqual(self.good(), [True, True, True])

    def test_two_changes(self) -> None:
        """Of two changes with the same old password the second is too late, and nothing is lost by it."""
        hashes = self.world.parts.passwords.hash

        def other_first(password: str) -> Any:
            self.patch(self.world.parts.passwords, "hash", hashes)
            self.assertEqual(self.change(PASSWORD, NEW), (200, ""))
            return hashes(password)

        stale = self.phone
        self.patch(self.world.parts.passwords, "hash", other_first)
        body = {"oldPassword": PASSWORD, "newPassword": "yet another one"}
        reply = self.world.call("POST", "/password", body, token=stale)
        self.assertEqual((reply.status, reply.error[2]), (400, "oldPassword"))
        self.assertEqual(self.world.login("alice", password=NEW).status, 200)

    def test_weak_password(self) -> None:
        """The new password keeps the rules, and they are named."""
        for weak in ("short", "alice"):
            self.assertEqual(self.change(PASSWORD, weak), (400, "newPassword"))
        self.assertEqual(self.world.heard, [])
