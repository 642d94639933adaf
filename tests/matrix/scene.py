"""Roles, and the scene in which each of them tries an operation."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from imd.kernel.ids import direct_conversation_id
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import TEXT, SendMessageReq
from tests.matrix.ground import Ground, Line, Person, Reply

#: In the order of the columns of the table.
ROLES = (
    "owner",
    "admin",
    "member",
    "muted",
    "barred",
    "kicked",
    "invited",
    "applicant",
    "stranger",
    "blocked",
    "friend",
    "frozen",
    "operator",
    "nobody",
)
#: Who was in the group at some time.
_BEEN_IN = frozenset({"owner", "admin", "member", "muted", "barred", "kicked", "frozen"})
#: Who may do less than a moment ago.
_RESTRICTED = frozenset({"muted", "barred", "kicked", "blocked", "frozen"})
#: Who has a 1:1 conversation with the peer; the others are shown somebody else's.
_HAVE_DIRECT = frozenset({"blocked", "friend", "frozen"})
#: What no group, conversation, user or friend group is called.
UNKNOWN_GROUP = "g_0123456789abcdef"
UNKNOWN_DIRECT = "p_0123456789abcdef0123456789abcdef"
UNKNOWN_USER = 1_234_567_890_123_456_789

_texts = count()


class Ids(NamedTuple):
    """What a request is about."""

    #: The group of the scene.
    group: str
    #: A 1:1 conversation: the role's own with the peer, or one between two others.
    direct: str
    #: An ordinary member of the group.
    member: int
    #: Somebody who takes messages of friends only.
    peer: int
    #: Somebody who has nothing to do with anything.
    outsider: int
    #: Somebody made for this very cell.
    somebody: int
    #: What the member, and the role itself if it ever could, said in the group.
    their_seq: int = 0
    own_seq: int = 0
    #: What ``somebody`` is called, and what nobody is.
    handle: str = ""
    fresh: str = ""
    #: Something of the role's own that was made for this cell.
    thing: str = "1"


class Cast(NamedTuple):
    """Who is always there."""

    owner: Person
    member: Person
    peer: Person
    outsider: Person
    #: A 1:1 conversation of the peer and the member, who are friends.
    direct: str


def gather(ground: Ground) -> Cast:
    """People for all scenes."""
    owner, member, outsider = (ground.person() for _ in range(3))
    peer = reserved(ground)
    befriend(ground, member, peer)
    direct = done(
        ground.call("POST", "/conversations/direct", {"userId": str(peer.user_id)}, token=member.token)
    )
    say(ground, member, direct.json["conversationId"])
    return Cast(owner, member, peer, outsider, direct.json["conversationId"])


def reserved(ground: Ground) -> Person:
    """Somebody who takes messages of friends only."""
    person = ground.person()
    done(ground.call("PATCH", "/me/privacy", {"messageFrom": "friends"}, token=person.token))
    return person


def done(reply: Reply) -> Reply:
    """The reply to something that belongs to the scene."""
    assert reply.status < 300, reply
    return reply


def befriend(ground: Ground, one: Person, other: Person) -> None:
    """One asks, the other accepts."""
    done(ground.call("POST", "/friend-requests", {"userId": str(other.user_id)}, token=one.token))
    done(ground.call("POST", f"/friend-requests/{one.user_id}/accept", token=other.token))


def say(ground: Ground, person: Person, conversation_id: str) -> int:
    """Something; its seq."""
    line = ground.line(person.token)
    text = f"text-{next(_texts)}"
    request = SendMessageReq(conversationId=conversation_id, clientMsgId=text, type=TEXT, textContent=text)
    answer = line.ask(Envelope(send=request))
    line.close()
    assert answer is not None and answer.ack.seq, answer
    return answer.ack.seq


class Scene:
    """A group of the owner and a member, and somebody in a role; ``person`` is not set for operators and nobody.

    The group is made anew for each scene, and so is whoever has the role.
    """

    def __init__(self, ground: Ground, cast: Cast, role: str, *, talk: bool = False) -> None:
        self.ground = ground
        self.cast = cast
        self.role = role
        self.person = ground.person() if role not in ("operator", "nobody") else None
        self.owner = self.person if role == "owner" and self.person is not None else cast.owner
        # Nobody blocks, or befriends, everybody there is.
        self.peer = reserved(ground) if role in _HAVE_DIRECT else cast.peer
        self.group = self._found()
        self.direct = self._meet()
        own_seq = their_seq = 0
        if talk:
            their_seq = say(ground, cast.member, self.group)
            own_seq = say(ground, self._me, self.group) if role in _BEEN_IN else their_seq
        self._restrict()
        if role in _RESTRICTED:
            ground.settle()
        self.ids = Ids(
            group=self.group,
            direct=self.direct,
            member=cast.member.user_id,
            peer=self.peer.user_id,
            outsider=cast.outsider.user_id,
            somebody=0,
            their_seq=their_seq,
            own_seq=own_seq,
        )
        self._line: Line | None = None

    @property
    def _me(self) -> Person:
        assert self.person is not None, self.role
        return self.person

    @property
    def token(self) -> str:
        """What the role shows."""
        if self.person is not None:
            return self.person.token
        return self.ground.operator_token if self.role == "operator" else ""

    def by(self, person: Person, method: str, path: str, body: Any = None) -> Reply:
        """Something that belongs to the scene."""
        return done(self.ground.call(method, path, body, token=person.token))

    def operate(self, method: str, path: str, body: Any = None) -> Reply:
        """The same, by an operator."""
        return done(self.ground.call(method, f"/operator{path}", body, token=self.ground.operator_token))

    def with_somebody(self, prepare: Callable[[Scene, Person], str | None] | None) -> None:
        """Somebody made for this cell, prepared for it."""
        somebody = self.ground.person()
        fresh = f"fresh.{next(_texts)}"
        self.ids = self.ids._replace(somebody=somebody.user_id, handle=somebody.handle, fresh=fresh)
        thing = prepare(self, somebody) if prepare is not None else None
        if thing is not None:
            self.ids = self.ids._replace(thing=thing)

    def line(self) -> Line:
        """A connection of the role."""
        if self._line is None:
            self._line = self.ground.line(self.token)
        return self._line

    def close(self) -> None:
        if self._line is not None:
            self._line.close()

    def _found(self) -> str:
        members = [str(self.cast.member.user_id)]
        if self.role in _BEEN_IN - {"owner"}:
            members.append(str(self._me.user_id))
        made = self.by(self.owner, "POST", "/groups", {"title": "Fun", "memberIds": members})
        group = str(made.json["conversationId"])
        if self.role == "applicant":
            self.by(self.owner, "PATCH", f"/groups/{group}", {"joinPolicy": "approval"})
        return group

    def _meet(self) -> str:
        if self.role not in _HAVE_DIRECT:
            return self.cast.direct
        me, peer = self._me, self.peer
        befriend(self.ground, me, peer)
        self.by(me, "POST", "/conversations/direct", {"userId": str(peer.user_id)})
        return direct_conversation_id(me.user_id, peer.user_id)

    def _restrict(self) -> None:
        group, owner = f"/groups/{self.group}", self.cast.owner
        match self.role:
            case "admin":
                self.by(owner, "PUT", f"{group}/members/{self._me.user_id}/role", {"role": "admin"})
            case "muted":
                body: Any = {"userIds": [str(self._me.user_id)], "seconds": 86_400}
                self.by(owner, "POST", f"/conv/{self.group}/mute", body)
            case "barred":
                body = {"userIds": [str(self._me.user_id)]}
                self.by(owner, "POST", f"/conv/{self.group}/blacklist", body)
            case "kicked":
                self.by(owner, "DELETE", f"{group}/members/{self._me.user_id}")
            case "invited":
                body = {"userIds": [str(self._me.user_id)]}
                self.by(owner, "POST", f"{group}/invitations", body)
            case "applicant":
                self.by(self._me, "POST", f"{group}/join", {})
            case "blocked":
                self.by(self.peer, "PUT", f"/blocks/{self._me.user_id}")
            case "frozen":
                self.operate(
                    "PUT", f"/accounts/{self._me.user_id}/state", {"state": "frozen", "reason": "spam"}
                )
