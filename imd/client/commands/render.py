"""Messages as text for people: nothing that came from others can drive the terminal."""

from __future__ import annotations

import base64
import datetime as dt
import unicodedata
from collections.abc import Mapping

from google.protobuf.json_format import MessageToDict

from imd.client.events import ChatMessage
from imd.pb.message_pb2 import AUDIO, CUSTOM, FILE, IMAGE, RECALL, SYSTEM, TEXT, VIDEO, MessageType

_MEDIA_NAMES: dict[int, str] = {IMAGE: "image", AUDIO: "audio", VIDEO: "video", FILE: "file"}
_EVENT_TEXTS = {
    "group.created": "{who} made the group {text} with {subjects}",
    "group.joined": "{who} added {subjects}",
    "group.left": "{who} left",
    "group.kicked": "{who} removed {subjects}",
    "group.renamed": "{who} called the group {text}",
    "group.role": "{who} made {subjects} {text}",
    "group.title": "{who} calls {subjects} {text}",
    "group.muted": "{who} muted {subjects}",
    "group.unmuted": "{who} let {subjects} write again",
    "group.all_muted": "{who} muted everybody",
    "group.all_unmuted": "{who} let everybody write again",
    "group.announcement": "{who} says to all: {text}",
    "group.rules": "{who} changed {text}",
}
_MAX_NAMED = 20
#: Invisible characters that reorder what is around them (Trojan Source), besides all control characters.
_BIDI = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

RESET = "\x1b[0m"
BOLD = "\x1b[1m"
DIM = "\x1b[2m"
GREEN = "\x1b[32m"
CYAN = "\x1b[36m"
YELLOW = "\x1b[33m"


def harmless(text: str, *, lines: bool = False) -> str:
    """``text`` with control and direction characters shown instead of obeyed; ``lines`` keeps newlines."""
    return "".join(_shown(character, lines=lines) for character in text)


def _shown(character: str, *, lines: bool) -> str:
    code = ord(character)
    if code < 0x20:
        if character == "\n":
            return "\n" if lines else "\u23ce"
        return " " if character == "\t" else chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0x80 <= code < 0xA0 or character in _BIDI or 0xD800 <= code < 0xE000 or code in (0x2028, 0x2029):
        return "\ufffd"
    return character


def width(text: str) -> int:
    """Columns on a terminal."""
    columns = 0
    for character in text:
        if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
            continue
        columns += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return columns


def rows_of(text: str, columns: int) -> int:
    """Rows of a terminal; a wide character that does not fit at the end of one begins the next."""
    rows, column = 1, 0
    for character in text:
        needed = width(character)
        if column + needed > columns:
            rows, column = rows + 1, 0
        column += needed
    return rows


class Painter:
    """Colours, if they are wanted, and names instead of numbers."""

    def __init__(self, *, colours: bool, names: Mapping[int, str], own_id: int) -> None:
        self._colours = colours
        self._names = names
        self.own_id = own_id

    def paint(self, text: str, colour: str) -> str:
        """``text`` in that colour, or as it is."""
        return f"{colour}{text}{RESET}" if self._colours else text

    def name(self, user_id: int) -> str:
        """Who that is."""
        if user_id == 0:
            return "*"
        return harmless(self._names.get(user_id) or f"user {user_id}")

    def clock(self, time_ms: int) -> str:
        """Local time of day."""
        return dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC).astimezone().strftime("%H:%M")

    def day(self, time_ms: int) -> str:
        """Local date and time."""
        return dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M")

    def message(self, message: ChatMessage) -> str:
        """One line: when, who, what."""
        when = self.paint(self.clock(message.server_time_ms), DIM)
        colour = GREEN if message.sender_id == self.own_id else CYAN
        who = self.paint(self.name(message.sender_id), BOLD + colour)
        if message.type in (SYSTEM, RECALL):
            return f"{when} {self.paint('-- ' + self.body(message), DIM)}"
        return f"{when} {who}: {self.body(message)}"

    def body(self, message: ChatMessage) -> str:
        """What was said."""
        if message.revoked:
            return self.paint("(recalled)", DIM)
        if message.type == TEXT:
            return harmless(message.text)
        if message.type == RECALL:
            return f"{self.name(message.sender_id)} recalled a message"
        if message.type == SYSTEM:
            return self._event(message)
        if message.type == CUSTOM:
            return f"[custom, {len(message.binary)} bytes]"
        if message.type in _MEDIA_NAMES:
            media = message.media
            what = harmless(media.mime or media.mediaId) if media is not None else ""
            return f"[{_MEDIA_NAMES[message.type]} {what}]"
        return "[unsupported message]"

    def _event(self, message: ChatMessage) -> str:
        notice = message.system
        if notice is None:
            return "[unsupported notice]"
        named = notice.subjectIds[:_MAX_NAMED]
        subjects = ", ".join(map(self.name, named))
        if (unnamed := max(notice.subjectCount, len(notice.subjectIds)) - len(named)) > 0:
            subjects += f" and {unnamed} more"
        who = self.name(notice.actorId) if notice.actorId else "an operator"
        said = _EVENT_TEXTS.get(notice.event, "{who}: {event} {text} {subjects}")
        if notice.event == "group.joined" and [notice.actorId] == list(notice.subjectIds):
            said = "{who} joined"
        return " ".join(
            said.format(
                event=harmless(notice.event), text=harmless(notice.text), subjects=subjects, who=who
            ).split()
        )


def as_json(message: ChatMessage) -> dict[str, object]:
    """For scripts; 64-bit numbers are strings, as everywhere in the project's JSON."""
    content: dict[str, object] = {
        "conversationId": message.conversation_id,
        "seq": str(message.seq),
        "senderId": str(message.sender_id),
        "type": MessageType.Name(message.type) if message.type in MessageType.values() else message.type,
        "serverMsgId": str(message.server_msg_id),
        "clientMsgId": message.client_msg_id,
        "serverTime": str(message.server_time_ms),
        "revoked": message.revoked,
        "meta": message.meta,
    }
    if message.type == TEXT:
        content["text"] = message.text
    if message.recalled_seq:
        content["recalledSeq"] = str(message.recalled_seq)
    if message.system is not None:
        content["event"] = message.system.event
        content["actorId"] = str(message.system.actorId)
        content["subjectIds"] = [str(subject) for subject in message.system.subjectIds]
        content["text"] = message.system.text
    if message.media is not None:
        content["mediaRef"] = MessageToDict(message.media)
    if message.binary:
        content["binaryContent"] = base64.b64encode(message.binary).decode()
    return content
