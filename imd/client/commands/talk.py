"""send, history, conversations, tail."""

from __future__ import annotations

import argparse
import json
import sys

from twisted.internet.defer import Deferred

from imd.client.client import Client
from imd.client.commands.context import Context, Tap
from imd.client.commands.outcome import Usage
from imd.client.commands.render import BOLD, DIM, YELLOW, Painter, as_json, harmless, width
from imd.client.cursors import FileCursors
from imd.client.errors import SessionOver
from imd.client.events import (
    CaughtUp,
    ChatMessage,
    ConnectionState,
    ConnectionStateChanged,
    Event,
    MessageReceived,
    MessageStored,
    Recalled,
    SessionEnded,
)
from imd.kernel.timeouts import with_timeout
from imd.pb.sync_pb2 import GROUP

SEND_TIMEOUT_S = 30.0
#: Above what any message may have; what is longer is refused all the same.
MAX_INPUT_BYTES = 512 * 1024
WHO = "a handle, #GROUP-TITLE, or a conversation's id"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe them."""
    send = commands.add_parser("send", help="send one text, and wait until it is stored")
    send.add_argument("who", metavar="WHO", help=WHO)
    send.add_argument("text", metavar="TEXT", help="the text; '-' reads it from stdin")
    send.set_defaults(run=run_send)
    history = commands.add_parser("history", help="the newest messages of a conversation")
    history.add_argument("who", metavar="WHO", help=WHO)
    history.add_argument("-n", "--count", type=_count, default=50, help="so many (default 50)")
    history.add_argument("--json", action="store_true", help="one JSON object a line")
    history.set_defaults(run=run_history)
    conversations = commands.add_parser("conversations", help="your conversations, newest first")
    conversations.add_argument("--json", action="store_true", help="one JSON object a line")
    conversations.set_defaults(run=run_conversations)
    tail = commands.add_parser("tail", help="show all that comes, from where the last tail ended")
    tail.add_argument("--once", action="store_true", help="end when everything has been shown")
    tail.add_argument("--json", action="store_true", help="one JSON object a line")
    tail.set_defaults(run=run_tail)


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 10_000:
        raise argparse.ArgumentTypeError("1 to 10000")
    return count


async def run_send(context: Context) -> None:
    """Says where it is stored."""
    text: str = context.arguments.text
    if text == "-":
        try:
            text = sys.stdin.buffer.read(MAX_INPUT_BYTES).decode("utf-8").rstrip("\n")
        except UnicodeDecodeError:
            raise Usage("what came on stdin is not UTF-8 text") from None
    client = await context.client()
    room = await context.room(context.arguments.who)
    sending = client.send_text(text, conversation_id=room.conversation_id)
    sent = await with_timeout(sending, timeout_s=SEND_TIMEOUT_S, clock=context.reactor)
    context.print(f"stored as {sent.seq} in {sent.conversation_id}")


async def run_history(context: Context) -> None:
    """Oldest of them first."""
    client = await context.client()
    room = await context.room(context.arguments.who)
    painter = Painter(colours=context.colours, names=room.names, own_id=client.user_id)
    day = ""
    for message in await last_messages(client, room.conversation_id, context.arguments.count):
        if context.arguments.json:
            context.print(json.dumps(as_json(message), ensure_ascii=False))
            continue
        if (today := painter.day(message.server_time_ms)[:10]) != day:
            day = today
            context.print(painter.paint(f"-- {day}", DIM))
        context.print(f"{message.seq:>5}  {painter.message(message)}")


async def last_messages(client: Client, conversation_id: str, count: int) -> list[ChatMessage]:
    """The newest ``count``, in rising seq."""
    messages: list[ChatMessage] = []
    from_seq = 0
    while len(messages) < count:
        page = await client.history(conversation_id, from_seq=from_seq, limit=min(count - len(messages), 200))
        messages[:0] = page.messages
        if not page.more or not page.messages or page.messages[0].seq == 1:
            break
        from_seq = page.messages[0].seq - 1
    return messages


async def run_conversations(context: Context) -> None:
    """One a line: unread, who, the last message."""
    client = await context.client()
    listed = await client.conversations()
    names = {each.peer_user_id: each.title for each in listed} | {client.user_id: "you"}
    painter = Painter(colours=context.colours, names=names, own_id=client.user_id)
    for each in listed:
        if context.arguments.json:
            line = {
                "conversationId": each.conversation_id,
                "kind": "group" if each.kind == GROUP else "direct",
                "title": each.title,
                "unread": each.unread,
                "lastSeq": str(each.last_seq),
                "readSeq": str(each.read_seq),
            }
            context.print(json.dumps(line, ensure_ascii=False))
            continue
        title = ("#" if each.kind == GROUP else "") + harmless(each.title)
        title += " " * max(0, 20 - width(title))
        unread = painter.paint(f"{each.unread:>4} new", BOLD + YELLOW) if each.unread else " " * 8
        last = painter.message(each.last_message) if each.last_message is not None else ""
        context.print(f"{unread}  {painter.paint(title, BOLD)}  {each.conversation_id:34}  {last}")


class Tail:
    """Prints events as they come."""

    def __init__(self, context: Context, *, once: bool, as_lines: bool) -> None:
        self.over: Deferred[None] = Deferred()
        self._context = context
        self._once = once
        self._json = as_lines
        self._titles: dict[str, str] = {}
        self.painter = Painter(colours=context.colours, names={}, own_id=0)

    async def learn_names(self, client: Client) -> None:
        """Titles of conversations, and who the peers are."""
        names = {client.user_id: self._context.profile.login.handle}
        for each in await client.conversations():
            self._titles[each.conversation_id] = ("#" if each.kind == GROUP else "") + each.title
            if each.peer_user_id:
                names[each.peer_user_id] = each.title
            else:
                members = await self._context.rest().members(each.conversation_id)
                names |= {member.person.user_id: member.person.handle for member in members}
        self.painter = Painter(colours=self._context.colours, names=names, own_id=client.user_id)

    def show(self, event: Event) -> None:
        """The client's callback."""
        if isinstance(event, MessageReceived | MessageStored | Recalled):
            self._show_message(event.message)
        elif isinstance(event, CaughtUp) and self._once:
            self._finish()
        elif isinstance(event, SessionEnded) and not self.over.called:
            self.over.errback(SessionOver(event.reason))
        elif isinstance(event, ConnectionStateChanged) and event.state is ConnectionState.RECONNECTING:
            print(f"imc: connection lost ({event.reason}), reconnecting", file=sys.stderr)

    def _show_message(self, message: ChatMessage) -> None:
        if self._json:
            self._context.print(json.dumps(as_json(message), ensure_ascii=False))
            return
        title = harmless(self._titles.get(message.conversation_id, message.conversation_id))
        self._context.print(f"{self.painter.paint(f'[{title}]', DIM)} {self.painter.message(message)}")

    def _finish(self) -> None:
        if not self.over.called:
            self.over.callback(None)


async def run_tail(context: Context) -> None:
    """Until Ctrl-C, or with --once until everything is shown."""
    arguments = context.arguments
    tail = Tail(context, once=arguments.once, as_lines=arguments.json)
    tap = Tap()
    cursors = FileCursors(context.profiles.cursors_path(context.profile.name))
    client = await context.client(tap, initial_history=20, cursors=cursors)
    await tail.learn_names(client)
    tap.open(tail.show)
    await tail.over
