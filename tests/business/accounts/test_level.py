"""User levels: set by operators, told to core with the token, for what is let loose by level."""

from __future__ import annotations

from imd.bus.subjects import AUTH_TOKEN
from imd.pb.bus_pb2 import TokenCheck, TokenVerdict
from tests.business.world import WorldCase


class LevelTests(WorldCase):
    """``OperateAccounts.set_level``."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.session = self.world.register("alice")

    def level(self) -> int:
        check = TokenCheck(token=self.session["token"], deviceId="phone")
        return self.world.ask(AUTH_TOKEN, check, TokenVerdict).level

    def set(self, level: int, *, user_id: str = "") -> int:
        path = f"/accounts/{user_id or self.session['userId']}/level"
        return self.world.operate("PUT", path, {"level": level}).status

    def test_set(self) -> None:
        """Everybody begins at 0; another level is told soon after it was set, the same again changes nothing."""
        self.assertEqual(self.level(), 0)
        self.assertEqual((self.set(3), self.set(3)), (200, 200))
        self.world.clock.advance(60)
        self.assertEqual(self.level(), 3)

    def test_refused(self) -> None:
        """No such user, no such level, and nobody but operators."""
        self.assertEqual((self.set(3, user_id="4711"), self.set(-1), self.set(1001)), (404, 400, 400))
        reply = self.world.call(
            "PUT",
            f"/operator/accounts/{self.session['userId']}/level",
            {"level": 3},
            token=self.session["token"],
        )
        self.assertEqual(reply.status, 401)
