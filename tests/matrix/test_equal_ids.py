"""Two families that use the same names for everything, and each other's ids, never meet.

What one family gets and sees is the same whether the other one is busy or asleep: that is all there is to know of
what two who have nothing to do with each other may learn of one another.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.ids import direct_conversation_id
from imd.pb.delivery_pb2 import Receipt
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import TEXT, SendMessageReq
from imd.pb.sync_pb2 import ConversationListReq, HistoryReq, QueryMessageStatusReq, RecallReq
from tests.matrix.ground import InProcess, Line, Person, Reply
from tests.matrix.scene import befriend, done

#: Ids of whatever kind, times, and the names of friend lists; numbers of changes are shorter.
_LONG = re.compile(r'[gp]_[0-9a-f]{16,32}|[0-9]{12,}|(?<="version":")[0-9a-f]+(?=-)')
#: Whatever there is to look at.
_PATHS = (
    "/me", "/devices", "/friends", "/blocks", "/friend-requests?direction=in", "/conversations", "/me/privacy",
    "/me/invitations",
)  # fmt: skip
_GROUP_PATHS = ("/groups/{group}", "/groups/{group}/members", "/groups/{group}/me", "/conv/{group}/blacklist")
#: Each is two towns and some 100 requests.
_EXAMPLES = 20


class Act(NamedTuple):
    """What somebody of a family does; the rest says with what."""

    family: int
    who: int
    what: str
    #: Of the four conversations there are: one's own group and 1:1, the others' group and 1:1.
    where: int
    number: int


ACTS = st.lists(
    st.builds(
        Act,
        family=st.integers(0, 1),
        who=st.integers(0, 1),
        what=st.sampled_from(
            (
                "send", "send", "recall", "read", "history", "status", "rename", "announce", "mute", "kick",
                "nickname", "add friend group", "rename friend group", "drop friend group", "remark", "sign out",
                "search", "applications",
            )
        ),
        where=st.integers(0, 3),
        number=st.integers(0, 2),
    ),
    max_size=24,
)  # fmt: skip


class Family:
    """Two friends with a group and a 1:1 conversation."""

    def __init__(self, ground: InProcess) -> None:
        self.people: tuple[Person, Person] = (ground.person(), ground.person())
        first, second = self.people
        befriend(ground, first, second)
        body = {"userId": str(second.user_id)}
        done(ground.call("POST", "/conversations/direct", body, token=first.token))
        body = {"title": "Home", "memberIds": [str(second.user_id)]}  # type: ignore[dict-item]
        made = done(ground.call("POST", "/groups", body, token=first.token))
        self.group = str(made.json["conversationId"])
        self.direct = direct_conversation_id(first.user_id, second.user_id)
        self.lines: tuple[Line, Line] = (ground.line(first.token), ground.line(second.token))
        #: Ids of friend groups, as they were made.
        self.things: list[str] = []


class Town:
    """Two families, and what one of them gets to see."""

    def __init__(self, ground: InProcess) -> None:
        self._ground = ground
        self.families = (Family(ground), Family(ground))
        self._names: dict[str, str] = {}
        for letter, family in zip("AB", self.families, strict=True):
            for number, person in enumerate(family.people):
                self._names[str(person.user_id)] = f"{letter}{number}"
                self._names[person.handle] = f"{letter}{number}"
            self._names[family.group] = f"group of {letter}"
            self._names[family.direct] = f"direct of {letter}"

    def does(self, act: Act) -> str:
        """What comes of it, told without ids and times."""
        mine, theirs = self.families[act.family], self.families[1 - act.family]
        owner = mine if act.where < 2 else theirs
        conversation = owner.direct if act.where % 2 else owner.group
        token, line = mine.people[act.who].token, mine.lines[act.who]
        envelope = _envelope(act, conversation)
        if envelope is not None:
            return self._plain(line.ask(envelope))
        method, path, body = self._request(act, conversation, mine, owner)
        reply = self._ground.call(method, path, body, token=token)
        if act.what == "add friend group" and reply.status < 300:
            mine.things.append(_newest(reply))
        return self._plain(reply)

    def _request(self, act: Act, conversation: str, mine: Family, owner: Family) -> tuple[str, str, Any]:
        things = mine.things if owner is mine else [*owner.things, "1", "2"]
        thing = things[act.number % len(things)] if things else "1"
        other = owner.people[1 - act.who].user_id
        number = act.number
        return {
            "rename": ("PATCH", f"/groups/{conversation}", {"title": f"Home {number}"}),
            "announce": ("PUT", f"/groups/{conversation}/announcement", {"text": f"news {number}"}),
            "mute": ("POST", f"/conv/{conversation}/mute", {"everybody": True, "seconds": 60 * number}),
            "kick": ("DELETE", f"/groups/{conversation}/members/{other}", None),
            "nickname": ("PATCH", f"/groups/{conversation}/me", {"nickname": f"nick {number}"}),
            "add friend group": ("POST", "/friend-groups", {"name": f"friends {number}"}),
            "rename friend group": ("PATCH", f"/friend-groups/{thing}", {"name": f"more friends {number}"}),
            "drop friend group": ("DELETE", f"/friend-groups/{thing}", None),
            "remark": ("PATCH", f"/friends/{other}", {"remark": f"remark {number}"}),
            "sign out": ("DELETE", "/devices/tablet", None),
            "search": ("GET", f"/conv/{conversation}/members", None),
            "applications": ("GET", f"/groups/{conversation}/applications", None),
        }[act.what]

    def view(self, number: int) -> list[str]:
        """All that the people of a family can see of what is theirs."""
        family = self.families[number]
        seen: list[str] = []
        for person, line in zip(family.people, family.lines, strict=True):
            paths = (*_PATHS, *(path.format(group=family.group) for path in _GROUP_PATHS))
            seen += [f"{self._plain(self._ground.call('GET', path, token=person.token))}" for path in paths]
            for conversation in (family.group, family.direct):
                seen.append(self._plain(line.ask(_history(conversation))))
                seen.append(self._plain(line.ask(_status(conversation))))
            seen.append(self._plain(line.ask(Envelope(conversationListReq=ConversationListReq()))))
        return seen

    def close(self) -> None:
        for family in self.families:
            for line in family.lines:
                line.close()

    def _plain(self, answer: Reply | Envelope | None) -> str:
        if answer is None:
            return "done"
        if isinstance(answer, Envelope):
            bare = Envelope()
            bare.CopyFrom(answer)
            bare.ClearField("header")
            text = str(bare)
        else:
            text = f"{answer.status} {answer.raw.decode()}"
        for name, plain in self._names.items():
            text = text.replace(name, plain)
        return _LONG.sub("#", text)


def _envelope(act: Act, conversation: str) -> Envelope | None:
    number = act.number
    if act.what == "send":
        send = SendMessageReq(conversationId=conversation, clientMsgId=f"m{number}", type=TEXT)
        # The same name with other words: who was first is the only one who may know it.
        send.textContent = f"family {act.family} says {number}"
        return Envelope(send=send)
    if act.what == "recall":
        return Envelope(
            recall=RecallReq(conversationId=conversation, seq=number + 1, clientMsgId=f"r{number}")
        )
    if act.what == "read":
        return Envelope(read=Receipt(conversationId=conversation, readSeq=number))
    if act.what == "history":
        return _history(conversation)
    return _status(conversation) if act.what == "status" else None


def _history(conversation: str) -> Envelope:
    return Envelope(historyReq=HistoryReq(conversationId=conversation))


def _status(conversation: str) -> Envelope:
    request = QueryMessageStatusReq(conversationId=conversation, clientMsgIds=["m0", "m1", "m2"])
    return Envelope(queryMessageStatusReq=request)


def _newest(reply: Reply) -> str:
    ids: list[str] = re.findall(r'"friendGroupId":"([0-9]+)"', reply.raw.decode())
    return max(ids, key=int)


class EqualIds(SynchronousTestCase):
    """On one process, REST and the wire together."""

    _ground: ClassVar[InProcess | None] = None

    @property
    def ground(self) -> InProcess:
        """All examples share one server, in which ever more families live."""
        if EqualIds._ground is None:
            EqualIds._ground = InProcess(Path(self.mktemp()))
        return EqualIds._ground

    def seen_by_first(self, acts: list[Act]) -> list[str]:
        """What the first family gets for what it does, and sees in the end."""
        town = Town(self.ground)
        came = [(act, town.does(act)) for act in acts]
        seen = [f"{act.what}: {outcome}" for act, outcome in came if act.family == 0]
        seen += town.view(0)
        town.close()
        return seen

    @settings(max_examples=_EXAMPLES)
    @given(ACTS)
    def test_never_meet(self, acts: list[Act]) -> None:
        """Whatever the other family does, with whatever ids, one family's answers and views stay what they are."""
        alone = self.seen_by_first([act for act in acts if act.family == 0])
        self.assertEqual(self.seen_by_first(acts), alone)

    def test_it_would_be_noticed(self) -> None:
        """What really happens to the first family does show in what it sees."""
        quiet = self.seen_by_first([])
        for what in ("send", "rename", "nickname", "add friend group", "remark"):
            self.assertNotEqual(self.seen_by_first([Act(0, 0, what, 0, 1)]), quiet, what)
