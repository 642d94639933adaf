"""Seeded people are as good as registered ones."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import func, select
from twisted.trial.unittest import SynchronousTestCase

from imd.business.accounts.tokens import Tokens
from imd.business.schema import open_business
from imd.business.tables.groups import group_members
from imd.business.tables.people import direct_conversations, logins, users
from imd.client.load.crowd import ConversationWish, CrowdWish
from imd.config.sections import Config
from imd.kernel.ids import direct_conversation_id
from imd.roles.seed import seed

NOW_MS = 1_800_000_000_000


class SeedTests(SynchronousTestCase):
    """What is in the data folder afterwards."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.wish = CrowdWish(3, [ConversationWish("p2p", [0, 1]), ConversationWish("group", [0, 1, 2])])
        self.crowd = seed(Config(data_dir=str(self.folder)), self.wish, wall_clock=lambda: NOW_MS)

    def test_tokens_are_signed_with_the_servers_secret(self) -> None:
        """Each token names its user and device, and the login that is in the database."""
        secret = (self.folder / "secrets" / "token.key").read_bytes().strip()
        tokens = Tokens(secret=lambda: secret, kind="access", wall_clock=lambda: NOW_MS)
        engine = open_business(self.folder / "business.db")
        with engine.connect() as connection:
            known = {row.user_id: row.login_id for row in connection.execute(select(logins))}
        engine.dispose()
        for person in self.crowd.people:
            claims = tokens.check(person.token)
            self.assertEqual((claims.user_id, claims.device_id), (person.user_id, person.device_id))
            self.assertEqual(claims.login_id, known[person.user_id])

    def test_conversations_are_there(self) -> None:
        """The pair's conversation has the one name it can have; the group has all three."""
        first, second, _ = (person.user_id for person in self.crowd.people)
        self.assertEqual(self.crowd.conversations[0], direct_conversation_id(first, second))
        engine = open_business(self.folder / "business.db")
        with engine.connect() as connection:
            counted = [
                connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (users, direct_conversations, group_members)
            ]
            hashes = connection.execute(select(users.c.password_hash).distinct()).scalars().all()
        engine.dispose()
        self.assertEqual(counted, [3, 1, 3])
        self.assertEqual(hashes, ["!"])
