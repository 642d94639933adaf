"""Devices, logins and tokens: who may stay on the line, and who is told to go."""

from __future__ import annotations

from imd.client.events import ConnectionState, ConnectionStateChanged
from imd.kernel.errors import Code
from tests.dialogue.stage import Dialogue, Stage, refused
from tests.dialogue.town import PASSWORD


class Sessions(Dialogue):
    """Who may stay on the line."""

    async def test_same_device_twice(self) -> None:
        """The second connection of a device ends the first, which stays away and hears nothing more."""
        stage = await Stage.open(self, self.transport)
        alice = await stage.person("alice")
        (bob,) = await stage.people("bob")
        first = await alice.device("phone")
        second = await alice.device("phone")
        self.assertIn("same_device", await first.sees_the_end())
        await bob.sends("which one?", to=alice)
        await second.sees("which one?", from_=bob, seq=1)
        await second.sees_nothing_more()
        self.assertEqual((first.unseen, first.wire.heard["deliver"]), (0, 0))
        self.assertIs(first.client.state, ConnectionState.ENDED)
        await refused(Code.AUTH_FAILED, first.sends("me", to=bob))

    async def test_logout(self) -> None:
        """Logging out ends that device's session, and its token; the other device stays."""
        stage = await Stage.open(self, self.transport)
        alice = await stage.person("alice")
        (bob,) = await stage.people("bob")
        phone, laptop = await alice.device("phone"), await alice.device("laptop")
        await phone.rest.logout()
        self.assertIn("logged_out", await phone.sees_the_end())
        await refused(Code.AUTH_FAILED, phone.rest.me())
        again = stage.device(alice, "phone")
        await refused(Code.AUTH_FAILED, again.client.start())
        await bob.sends("still there?", to=alice)
        await laptop.sees("still there?")
        self.assertEqual(phone.unseen, 0)

    async def test_logout_everywhere(self) -> None:
        """All devices, all tokens."""
        stage = await Stage.open(self, self.transport)
        alice = await stage.person("alice")
        phone, laptop = await alice.device("phone"), await alice.device("laptop")
        await phone.rest.logout(everywhere=True)
        for device in (phone, laptop):
            self.assertIn("logged_out", await device.sees_the_end())
            await refused(Code.AUTH_FAILED, device.rest.me())

    async def test_password_change(self) -> None:
        """A new password ends the sessions of the other devices; the old one opens nothing any more."""
        stage = await Stage.open(self, self.transport)
        alice = await stage.person("alice")
        phone, laptop = await alice.device("phone"), await alice.device("laptop")
        await phone.rest.change_password(PASSWORD, "a new and better one")
        self.assertIn("password_changed", await laptop.sees_the_end())
        await refused(Code.AUTH_FAILED, laptop.rest.me())
        await refused(Code.AUTH_FAILED, laptop.rest.login(alice.handle, PASSWORD, device_id="laptop"))
        await phone.sees_nothing_more()
        login = await laptop.rest.login(alice.handle, "a new and better one", device_id="laptop")

        async def new_token() -> str:
            return login.token

        again = await alice.device("laptop", token_source=new_token)
        await again.sees_nothing_more()

    async def test_refresh_and_expiry(self) -> None:
        """A token that is refreshed in time leaves the line alone; one that runs out closes it with 1001."""
        stage = await Stage.open(self, self.transport)
        alice, eve = await stage.person("alice"), await stage.person("eve")
        asked: list[int] = []

        async def refreshing() -> str:
            asked.append(1)
            if len(asked) == 1:
                phone.rest.token = stage.token(alice, "phone", ttl_s=2)
                return phone.rest.token
            return (await phone.rest.refresh()).token

        async def never() -> str:
            return short

        phone = stage.device(alice, "phone", token_source=refreshing)
        await phone.comes()
        short = stage.token(eve, "phone", ttl_s=2)
        phone_of_eve = await eve.device("phone", token_source=never)
        await phone_of_eve.loses_the_line()
        self.assertIn("expired", await phone_of_eve.sees_the_end())
        self.assertEqual(phone_of_eve.wire.heard["error"], 1)
        await phone.sees_nothing_more()
        self.assertEqual((len(asked), phone.wire.heard["tokenRefreshed"]), (2, 1))
        self.assertEqual(
            [sign.state.value for sign in phone.signs(ConnectionStateChanged)], ["connecting", "live"]
        )

    async def test_bad_tokens(self) -> None:
        """Another device's token, an expired one and no token at all open nothing."""
        stage = await Stage.open(self, self.transport)
        alice = await stage.person("alice")
        bad = (stage.token(alice, "laptop"), stage.token(alice, "phone", ttl_s=-100), "not.a.token", "")
        for token in bad:

            async def source(token: str = token) -> str:
                return token

            await refused(Code.AUTH_FAILED, stage.device(alice, "phone", token_source=source).client.start())
