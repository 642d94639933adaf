"""Devices: which there are, the end of one and of all others, and how many of a kind there may be."""

from __future__ import annotations

from typing import Any

from imd.config.sections import Config, Limits, LoginPolicy
from tests.business.world import PASSWORD, Reply, WorldCase

FREE = Limits(logins_per_min=0)


class Devices(WorldCase):
    """One person on several devices."""

    config = Config(limits=FREE)

    def setUp(self) -> None:
        self.world = self.make_world(config=self.config)
        self.phone = str(self.world.register("alice")["token"])

    def login(self, device: str, platform: str = "") -> Reply:
        body = {"handle": "alice", "password": PASSWORD, "deviceId": device, "platform": platform}
        return self.world.call("POST", "/login", body)

    def token(self, device: str, platform: str = "") -> str:
        return str(self.login(device, platform).json["token"])

    def status(self, token: str) -> int:
        return self.world.call("GET", "/me", token=token).status

    def devices(self, token: str) -> dict[str, Any]:
        answer = self.world.call("GET", "/devices", token=token).json
        return {one["deviceId"]: one for one in answer["devices"]}


class SigningOut(Devices):
    """From afar."""

    def test_list(self) -> None:
        """Each device with its platform and times, and which of them asks."""
        self.world.clock.advance(5)
        laptop = self.token("laptop", "linux")
        devices = self.devices(laptop)
        self.assertEqual(set(devices), {"phone", "laptop"})
        self.assertEqual((devices["laptop"]["platform"], devices["laptop"]["current"]), ("linux", True))
        self.assertEqual(devices["laptop"]["loggedInAt"] - devices["phone"]["loggedInAt"], 5000)
        self.assertFalse(devices["phone"]["current"])

    def test_over_by_age(self) -> None:
        """A login that nothing can refresh any more is none."""
        self.world.clock.advance(7 * 24 * 3600)
        self.assertEqual(set(self.devices(self.token("laptop"))), {"laptop"})

    def test_one(self) -> None:
        """One is ended at once and everybody told; what is not there can be ended as well."""
        laptop = self.token("laptop")
        for device in ("phone", "phone", "watch"):
            reply = self.world.call("DELETE", f"/devices/{device}", token=laptop)
            self.assertEqual(reply.status, 200)
        self.assertEqual([self.status(self.phone), self.status(laptop)], [401, 200])
        revoked = self.world.invalidations[0].revoked
        self.assertEqual(
            (revoked.deviceId, revoked.reason, len(revoked.loginIds)), ("phone", "signed_out", 1)
        )
        self.assertEqual(self.world.call("DELETE", "/devices/a%20b", token=laptop).status, 400)

    def test_foreign(self) -> None:
        """A device of somebody else's with the same id is not concerned."""
        bob = str(self.world.register("bob")["token"])
        self.world.call("DELETE", "/devices/phone", token=self.phone)
        self.assertEqual(self.status(bob), 200)

    def test_all_others(self) -> None:
        """All others end, also tokens that were given before to this one, which gets a new one."""
        laptop = self.token("laptop")
        reply = self.world.call("DELETE", "/devices", token=laptop)
        self.assertEqual([self.status(self.phone), self.status(laptop)], [401, 401])
        self.assertEqual(self.status(reply.json["token"]), 200)
        self.assertEqual(set(self.devices(reply.json["token"])), {"laptop"})


class Kicking(Devices):
    """One mobile device at a time, the newest; two web pages, the first ones."""

    config = Config(limits=FREE, login_policy=LoginPolicy(mobile="1 kick", web="2 refuse"))

    def test_kick(self) -> None:
        """The second mobile device ends the first, and no other kind is concerned."""
        first, laptop = self.token("ios1", "ios"), self.token("laptop", "linux")
        second = self.token("droid", "Android 14")
        self.assertEqual(
            [self.status(token) for token in (first, laptop, second, self.phone)], [401, 200, 200, 200]
        )
        revoked = self.world.invalidations[-1].revoked
        self.assertEqual((revoked.deviceId, revoked.reason), ("ios1", "too_many_devices"))

    def test_refuse(self) -> None:
        """The third web page is refused with a reason, and may come when one has gone."""
        first = self.token("w1", "web")
        self.token("w2", "web")
        error = self.login("w3", "browser").json["error"]
        self.assertEqual((error["code"], error["reason"]), (1003, "too_many_devices"))
        self.assertEqual(self.login("w2", "web").status, 200)
        self.world.call("POST", "/logout", token=first)
        self.assertEqual(self.login("w3", "browser").status, 200)

    def test_refused_without_password(self) -> None:
        """Only whoever knows the password learns how many devices there are."""
        self.token("w1", "web"), self.token("w2", "web")
        body = {"handle": "alice", "password": "wrong", "deviceId": "w3", "platform": "web"}
        self.assertEqual(self.world.call("POST", "/login", body).status, 401)
