"""A small town of people with a group, spoken to over REST; what core hears of it is kept."""

from __future__ import annotations

from typing import Any, NamedTuple

from imd.bus.subjects import AUTH_MEMBERS, MESSAGE_HISTORY
from imd.config.sections import Accounts, Config, Limits
from imd.pb.bus_pb2 import HistoryAnswer, HistoryQuery, MembersAnswer, MembersQuery, SystemAppend
from tests.business.world import OPERATOR_TOKEN, Reply, WorldCase

#: Enough people for every test.
CONFIG = Config(
    limits=Limits(registrations_per_hour_per_ip=0), accounts=Accounts(group_max_members=7, groups_per_user=3)
)
PEOPLE = ("owner", "admin", "other-admin", "member", "other-member", "stranger")


class Person(NamedTuple):
    """Somebody with a token."""

    user_id: str
    token: str


class Town(WorldCase):
    """A group of an owner, two admins and two members; a stranger is outside."""

    def setUp(self) -> None:
        self.world = self.make_world(config=CONFIG)
        self.people: dict[str, Person] = {}
        for name in PEOPLE:
            session = self.world.register(name)
            self.people[name] = Person(session["userId"], session["token"])
        self.group = self.make_group()

    def ids(self, *names: str) -> list[str]:
        return [self.people[name].user_id for name in names]

    def call(self, who: str, method: str, path: str, body: Any = None) -> Reply:
        return self.world.call(method, path, body, token=self.people[who].token)

    def make_group(self) -> str:
        body = {"title": "Fun", "memberIds": self.ids(*PEOPLE[1:5])}
        group = self.call("owner", "POST", "/groups", body).json["conversationId"]
        for name in ("admin", "other-admin"):
            path = f"/groups/{group}/members/{self.people[name].user_id}/role"
            assert self.call("owner", "PUT", path, {"role": "admin"}).status == 200
        self.world.heard.clear()
        return str(group)

    def roles(self) -> dict[str, str]:
        """Name to role, as core is told."""
        answer = self.world.ask(AUTH_MEMBERS, MembersQuery(conversationId=self.group), MembersAnswer)
        names = {person.user_id: name for name, person in self.people.items()}
        return {
            names[str(user_id)]: ("member", "admin", "owner")[role]
            for user_id, role in zip(answer.memberIds, answer.roles, strict=True)
        }

    def version(self) -> int:
        return self.world.ask(AUTH_MEMBERS, MembersQuery(conversationId=self.group), MembersAnswer).version

    def conversation(self) -> MembersAnswer:
        """The group as core is told."""
        return self.world.ask(AUTH_MEMBERS, MembersQuery(conversationId=self.group), MembersAnswer)

    def id_of(self, name: str) -> int:
        return int(self.people[name].user_id)

    def names(self, user_ids: Any) -> list[str]:
        """Of ids as numbers or texts."""
        names = {person.user_id: name for name, person in self.people.items()}
        return [names[str(user_id)] for user_id in user_ids]

    def done(self, who: str, method: str, path: str, body: Any = None) -> Any:
        """What the operation answers, which succeeds."""
        reply = self.call(who, method, path, body)
        self.assertIn(reply.status, (200, 201), reply.raw)
        return reply.json

    def refused(self, who: str, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """HTTP status and reason of an operation that is refused."""
        reply = self.call(who, method, path, body)
        self.assertGreaterEqual(reply.status, 400, reply.raw)
        return reply.status, reply.json["error"]["reason"]

    def as_operator(self, method: str, path: str, body: Any = None) -> Reply:
        """As an operator."""
        return self.world.call(method, "/operator" + path, body, token=OPERATOR_TOKEN)

    def rules(self, **rules: Any) -> Any:
        """The owner changes the group's."""
        return self.done("owner", "PATCH", f"/groups/{self.group}", rules)

    def events(self) -> list[str]:
        """Of the notices so far, each with its version after its invalidation."""
        told: list[str] = []
        known = 0
        for kind, event in self.world.heard:
            if kind == "invalidation":
                known = event.version
            else:
                self.assertEqual(event.version, known)
                told.append(event.notice.event)
        return told

    def last(self) -> SystemAppend:
        """The last notice."""
        return self.world.notices[-1]

    def core_knows(self, last_seq: int | None) -> list[str]:
        """Core answers how far conversations have come; None: it fails. The conversations that it was asked about."""
        asked: list[str] = []

        async def answer(payload: bytes) -> bytes:
            asked.append(HistoryQuery.FromString(payload).conversationId)
            answer = HistoryAnswer(lastSeq=last_seq or 0)
            if last_seq is None:
                answer.failure.code = 1099  # type: ignore[assignment]
            return answer.SerializeToString()

        self.world.bus.respond(MESSAGE_HISTORY, answer)
        return asked
