"""Devices that guess are kept out, and nobody can have somebody else's kept out."""

from __future__ import annotations

from sqlalchemy import func, select

from imd.business.tables.people import device_bans
from imd.config.sections import Accounts, Config, Limits
from tests.business.world import PASSWORD, Reply, WorldCase

CONFIG = Config(
    accounts=Accounts(device_failures=3, device_window_s=600, device_ban_s=3600),
    limits=Limits(logins_per_min=0, registrations_per_hour_per_ip=0),
)


class Barring(WorldCase):
    """Three failures in ten minutes bar for an hour."""

    def setUp(self) -> None:
        self.world = self.make_world(config=CONFIG)
        self.alice = self.world.register("alice", device="phone")

    def login(
        self, device: str, password: str = "wrong", *, peer: str = "192.0.2.1", handle: str = "alice"
    ) -> Reply:
        body = {"handle": handle, "password": password, "deviceId": device}
        return self.world.call("POST", "/login", body, peer=peer)

    def fails(self, device: str, times: int = 3, *, peer: str = "192.0.2.1", handle: str = "alice") -> None:
        for _ in range(times):
            self.assertEqual(self.login(device, peer=peer, handle=handle).status, 401)

    def is_barred(self, device: str, *, peer: str = "192.0.2.1") -> bool:
        reply = self.login(device, PASSWORD, peer=peer)
        if reply.status == 403:
            self.assertEqual(reply.json["error"]["reason"], "device_barred")
        return reply.status == 403

    def bans(self) -> list[tuple[str, str]]:
        bans = self.world.operate("GET", "/device-bans").json["bans"]
        return [(one["deviceId"], one["address"]) for one in bans]

    def test_barred(self) -> None:
        """After so many failures even the right password does not help, and no account is made either."""
        self.fails("tablet", 2)
        self.fails("tablet", 1, handle="nobody")
        self.assertTrue(self.is_barred("tablet"))
        body = {"handle": "dora", "password": PASSWORD, "deviceId": "tablet"}
        self.assertEqual(self.world.call("POST", "/register", body).status, 403)
        self.assertEqual(self.bans(), [("tablet", "192.0.2.1")])
        (event,) = self.world.operate("GET", "/audit?action=device.bar").json["events"]
        self.assertIn("tablet", event["detail"])

    def test_elsewhere(self) -> None:
        """The same id at another address is not barred, whoever says it."""
        self.fails("tablet", peer="198.51.100.7")
        self.assertFalse(self.is_barred("tablet"))
        self.assertTrue(self.is_barred("tablet", peer="198.51.100.7"))

    def test_ends(self) -> None:
        """It is over after an hour."""
        self.fails("tablet")
        self.world.clock.advance(3599)
        self.assertTrue(self.is_barred("tablet"))
        self.world.clock.advance(1)
        self.assertFalse(self.is_barred("tablet"))

    def test_window(self) -> None:
        """Failures that are far apart do not add up, and what is over is swept out."""
        self.fails("tablet", 2)
        self.world.clock.advance(601)
        self.fails("tablet", 2)
        self.assertFalse(self.is_barred("tablet"))
        self.world.clock.advance(601)
        self.fails("watch", 1)
        query = select(func.count()).select_from(device_bans)
        rows = self.world.run(self.world.database.read(lambda c: c.execute(query).scalar_one()))
        self.assertEqual(rows, 1)

    def test_guessed_id(self) -> None:
        """Whoever says the id of a device on which somebody is logged in cannot have it barred, not even next to it."""
        self.fails("phone", 10)
        self.fails("phone", 10, handle="bob")
        self.assertFalse(self.is_barred("phone"))
        me = self.world.call("GET", "/me", token=self.login("phone", PASSWORD).json["token"])
        self.assertEqual(me.status, 200)

    def test_proven(self) -> None:
        """Who guesses the password with a token of the device is that device: its login ends and it is barred."""
        token = self.alice["token"]
        body = {"oldPassword": "wrong", "newPassword": "another one"}
        for _ in range(3):
            self.assertEqual(self.world.call("POST", "/password", body, token=token).status, 400)
        self.assertEqual(self.world.call("GET", "/me", token=token).status, 401)
        self.assertTrue(self.is_barred("phone"))
        (event,) = self.world.invalidations
        self.assertEqual((event.revoked.deviceId, event.revoked.reason), ("phone", "device_barred"))
        self.assertEqual(len(event.revoked.loginIds), 1)

    def test_shared_id(self) -> None:
        """Not if others are logged in under the same id: then it names nobody."""
        self.world.register("bob", device="phone")
        body = {"oldPassword": "wrong", "newPassword": "another one"}
        for _ in range(5):
            self.world.call("POST", "/password", body, token=self.alice["token"])
        self.assertEqual(self.world.call("GET", "/me", token=self.alice["token"]).status, 200)
        self.assertFalse(self.is_barred("phone"))

    def test_lift(self) -> None:
        """An operator lifts it, at one address or everywhere; that is written down."""
        for peer in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
            self.fails("tablet", peer=peer)
        reply = self.world.operate("DELETE", "/device-bans/tablet?address=192.0.2.2")
        self.assertEqual(reply.json, {"lifted": 1})
        self.assertEqual(self.bans(), [("tablet", "192.0.2.1"), ("tablet", "192.0.2.3")])
        self.assertEqual(self.world.operate("DELETE", "/device-bans/tablet").json, {"lifted": 2})
        self.assertFalse(self.is_barred("tablet"))
        self.assertEqual(self.world.operate("DELETE", "/device-bans/tablet").json, {"lifted": 0})
        events = self.world.operate("GET", "/audit?action=device.lift").json["events"]
        self.assertEqual(len(events), 3)

    def test_pages(self) -> None:
        """The list comes in pages."""
        for device in ("c", "a", "b"):
            self.fails(device)
        page = self.world.operate("GET", "/device-bans?limit=2").json
        self.assertEqual([one["deviceId"] for one in page["bans"]], ["a", "b"])
        page = self.world.operate("GET", f"/device-bans?limit=2&after={page['next']}").json
        self.assertEqual(([one["deviceId"] for one in page["bans"]], page["next"]), (["c"], ""))
        for query in ("after=a b", "limit=201", "x=1"):
            self.assertEqual(
                self.world.operate("GET", f"/device-bans?{query.replace(' ', '%20')}").status, 400
            )
        self.assertEqual(self.world.operate("DELETE", "/device-bans/a%20b").status, 400)

    def test_operators_only(self) -> None:
        """No user's token opens it."""
        for method, path in (("GET", "/device-bans"), ("DELETE", "/device-bans/a")):
            reply = self.world.call(method, f"/operator{path}", token=self.alice["token"])
            self.assertEqual(reply.status, 401)

    def test_off(self) -> None:
        """A limit of 0 keeps nobody out."""
        self.world = self.make_world(
            config=Config(accounts=Accounts(device_failures=0), limits=Limits(logins_per_min=0))
        )
        self.world.register("alice")
        self.fails("tablet", 20)
        self.assertFalse(self.is_barred("tablet"))
