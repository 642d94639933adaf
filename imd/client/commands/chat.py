"""chat: a conversation on the screen, with marks for sending, stored, delivered and read."""

from __future__ import annotations

import argparse
from collections import deque
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from imd.client.client import Client
from imd.client.commands.context import Context, Room, Tap
from imd.client.commands.outcome import explain
from imd.client.commands.render import BOLD, CYAN, DIM, GREEN, YELLOW, Painter, harmless
from imd.client.commands.screen import Screen, open_screen
from imd.client.commands.talk import WHO, last_messages
from imd.client.errors import SessionOver
from imd.client.events import (
    ChatMessage,
    ConnectionState,
    ConnectionStateChanged,
    ConversationLeft,
    Event,
    MessageHeld,
    MessageReceived,
    MessageRevoked,
    MessageStored,
    PresenceChanged,
    Recalled,
    ReceiptChanged,
    SessionEnded,
    TypingChanged,
)
from imd.kernel.clocks import WallClock, system_wall_clock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import TimeoutError, sleep, with_timeout
from imd.pb.message_pb2 import RECALL

SENDING, STORED, DELIVERED, READ, FAILED, RECALLED = "· ", "✓ ", "✓✓", "✔✔", "✗ ", "↶ "
HELP = f"""\
marks: {SENDING}sending  {STORED}stored  {DELIVERED} delivered  {READ} read  {FAILED}not sent  {RECALLED}recalled
/history [N]  N earlier messages (20)     /recall [N]  take back your last message, or the Nth last
/help         this                        /quit, ^D    leave"""
#: Messages shown when a chat opens.
OPENING = 20
#: Messages whose marks can change, and that /recall knows.
MAX_SHOWN = 300
#: One "typing" a burst of keys, and its end after silence.
TYPING_S = 3.0
#: The other one's "typing" runs out if it is not repeated.
PEER_TYPING_S = 8.0
#: On leaving, messages on their way get so long to arrive.
SETTLE_S = 10.0
SETTLE_STEP_S = 0.05
#: A pipe whose reader does not read is not waited for.
FLUSH_S = 2.0


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe it."""
    chat = commands.add_parser("chat", help="talk to somebody; /help inside tells more")
    chat.add_argument("who", metavar="WHO", help=WHO)
    chat.set_defaults(run=run_chat)


class Shown:
    """A message on the screen; ``seq`` is 0 while it is on its way, ``mark`` empty if it is not ours."""

    __slots__ = ("line", "mark", "seq")

    def __init__(self, line: int, seq: int, mark: str) -> None:
        self.line = line
        self.seq = seq
        self.mark = mark


class Chat:
    """Between a Client and a Screen. Is the screen's Typist and the client's callback."""

    def __init__(
        self, *, client: Client, room: Room, painter: Painter, clock: Any, wall_clock: WallClock
    ) -> None:
        self.over: Deferred[None] = Deferred()
        self.screen: Screen
        self._client = client
        self._room = room
        self._painter = painter
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = Tasks()
        self._shown: deque[Shown] = deque(maxlen=MAX_SHOWN)
        self._oldest = 0
        self._newest = 0
        self._delivered = 0
        self._read = 0
        self._online = False
        self._line_up = True
        self._typing_peers: dict[int, IDelayedCall] = {}
        self._typing: IDelayedCall | None = None
        self._typing_told_s = -TYPING_S
        self._leaving = False
        self._last_error: ImError | None = None

    # Opening and leaving.

    def open(self, screen: Screen, history: list[ChatMessage]) -> None:
        """Show what was said before."""
        self.screen = screen
        self._prompt()
        screen.line(
            self._painter.paint(f"-- {harmless(self._room.title)}; /help tells what can be done", DIM)
        )
        if history:
            self._oldest = history[0].seq
        for message in history:
            self._show(message)
        if self._room.peer_id:
            self._tasks.spawn("watch", self._watch())
        self._tasks.spawn("receipts", self._ask_receipts())

    async def leave(self) -> None:
        """Clear up."""
        if self._typing is not None:
            self._typing.cancel()
        for ends in self._typing_peers.values():
            ends.cancel()
        self._typing_peers.clear()
        self._leaving = True
        await self._tasks.stop()
        try:
            await with_timeout(self.screen.close(), timeout_s=FLUSH_S, clock=self._clock)
        except TimeoutError:
            pass

    async def _watch(self) -> None:
        try:
            for change in await self._client.watch_presence([self._room.peer_id]):
                self.happened(change)
        except ImError as error:
            self._say(f"presence is not shown: {error.message}")

    async def _ask_receipts(self) -> None:
        """What was read while we were away."""
        try:
            for change in await self._client.receipts(self._room.conversation_id):
                self.happened(change)
        except ImError as error:
            self._say(f"who has read what is not shown: {error.message}")

    async def _settle(self) -> None:
        """What is on its way may arrive."""
        deadline_s = self._clock.seconds() + SETTLE_S
        while self._client.unsettled and self._clock.seconds() < deadline_s:
            await sleep(SETTLE_STEP_S, clock=self._clock)
        if self._client.unsettled:
            self._say(f"{self._client.unsettled} messages may not have been stored")
        if self.over.called:
            return
        if self._last_error is not None:
            self.over.errback(self._last_error)
        else:
            self.over.callback(None)

    # What the user does.

    def entered(self, line: str) -> None:
        """A line: a command or a message."""
        if not line.strip():
            return
        self._stop_typing()
        if not line.startswith("/") or line.startswith("//"):
            self._send(line.removeprefix("/") if line.startswith("//") else line)
            return
        word, _, rest = line[1:].partition(" ")
        number = int(rest) if rest.strip().isascii() and rest.strip().isdigit() else 0
        if word in ("quit", "q", "exit"):
            self.input_ended()
        elif word == "recall":
            self._recall(number or 1)
        elif word == "history":
            self._tasks.spawn("history", self._more(min(number or OPENING, 1000)))
        elif word == "help":
            for each in HELP.splitlines():
                self.screen.line(self._painter.paint(each, DIM))
        else:
            self._say(f"there is no /{harmless(word)}; /help tells what there is (// begins a text with /)")

    def key_pressed(self) -> None:
        """Somebody is typing."""
        now_s = self._clock.seconds()
        if now_s - self._typing_told_s >= TYPING_S:
            self._typing_told_s = now_s
            self._client.typing(self._room.conversation_id, True)
        if self._typing is not None:
            self._typing.cancel()
        self._typing = self._clock.callLater(TYPING_S + 1, self._stop_typing)

    def input_ended(self) -> None:
        """No more input: leave when everything is stored."""
        if not self._leaving:
            self._leaving = True
            self._tasks.spawn("leave", self._settle())

    def _stop_typing(self) -> None:
        if self._typing is not None:
            if self._typing.active():
                self._typing.cancel()
            self._typing = None
            self._typing_told_s = -TYPING_S
            self._client.typing(self._room.conversation_id, False)

    def _send(self, text: str) -> None:
        who = self._painter.paint(self._painter.name(self._client.user_id), BOLD + GREEN)
        when = self._painter.paint(self._painter.clock(self._wall_clock()), DIM)
        own = Shown(self.screen.line(f"{when} {who}: {harmless(text)}", SENDING, pending=True), 0, SENDING)
        self._shown.append(own)
        self._tasks.spawn("send", self._deliver(own, text))

    async def _deliver(self, own: Shown, text: str) -> None:
        try:
            sent = await self._client.send_text(text, conversation_id=self._room.conversation_id)
        except ImError as error:
            self._last_error = error
            self._mark(own, FAILED)
            self._say(f"not sent: {explain(error)}")
            return
        own.seq = sent.seq
        self._mark(own, self._fate(sent.seq))

    def _recall(self, number: int) -> None:
        mine = [own for own in self._shown if own.mark not in ("", RECALLED, FAILED)]
        if number > len(mine):
            self._say("there is no such message of yours here")
            return
        self._tasks.spawn("recall", self._take_back(mine[-number]))

    async def _take_back(self, own: Shown) -> None:
        while own.mark == SENDING:
            await sleep(SETTLE_STEP_S, clock=self._clock)
        if not own.seq:
            return
        try:
            await self._client.recall(self._room.conversation_id, own.seq)
        except ImError as error:
            self._say(f"not recalled: {explain(error)}")
            return
        self._mark(own, RECALLED)

    async def _more(self, count: int) -> None:
        if self._oldest <= 1:
            self._say("there is nothing before")
            return
        try:
            page = await self._client.history(
                self._room.conversation_id, from_seq=self._oldest - 1, limit=min(count, 200)
            )
        except ImError as error:
            self._say(f"no history: {error.message}")
            return
        if page.messages:
            self._oldest = page.messages[0].seq
        for message in page.messages:
            self.screen.line(self._painter.message(message))
        self._say("up to here")

    # What the server tells.

    def happened(self, event: Event) -> None:
        """The client's callback."""
        if isinstance(event, MessageReceived | MessageStored | Recalled):
            self._came(event)
        elif isinstance(event, ReceiptChanged):
            self._receipt(event)
        elif isinstance(event, TypingChanged) and event.conversation_id == self._room.conversation_id:
            self._peer_types(event.user_id, event.active)
        elif isinstance(event, PresenceChanged) and event.user_id == self._room.peer_id:
            self._online = event.online
            self._peer_types(event.user_id, False)
        elif isinstance(event, ConversationLeft):
            if event.conversation_id == self._room.conversation_id:
                self._say(
                    f"you are not in this conversation any more ({harmless(event.reason)}); /quit leaves"
                )
        elif isinstance(event, ConnectionStateChanged):
            self._line_changed(event)
        elif isinstance(event, MessageHeld):
            self._say("somebody looks at your message before it is sent on; it may take a while")
        elif isinstance(event, MessageRevoked):
            self._say(f"a message of yours was not allowed ({harmless(event.reason)}), and is taken back")
        elif isinstance(event, SessionEnded) and not self.over.called:
            self.over.errback(SessionOver(event.reason))

    def _peer_types(self, user_id: int, active: bool) -> None:
        """Until they stop, or for a while: whoever vanishes says nothing."""
        last = self._typing_peers.pop(user_id, None)
        if last is not None and last.active():
            last.cancel()
        if active:
            self._typing_peers[user_id] = self._clock.callLater(
                PEER_TYPING_S, self._peer_types, user_id, False
            )
        self._prompt()

    def _line_changed(self, event: ConnectionStateChanged) -> None:
        if event.state is ConnectionState.LIVE and not self._line_up:
            self._line_up = True
            self._say("connected again")
            self._tasks.spawn("receipts", self._ask_receipts())
        elif event.state is ConnectionState.RECONNECTING and self._line_up:
            self._line_up = False
            self._say("connection lost; what you write is sent when it is back")
        self._prompt()

    def _came(self, event: MessageReceived | MessageStored | Recalled) -> None:
        message = event.message
        if message.conversation_id != self._room.conversation_id:
            if isinstance(event, MessageReceived):
                self._say(f"{self._painter.name(message.sender_id)} wrote in another conversation")
        elif message.seq <= self._newest or (isinstance(event, MessageStored)):
            # Shown when it was entered, or with the history.
            self._newest = max(self._newest, message.seq)
        else:
            self._peer_types(message.sender_id, False)
            self._show(message)

    def _show(self, message: ChatMessage) -> None:
        self._newest = max(self._newest, message.seq)
        self._oldest = self._oldest or message.seq
        mine = message.sender_id == self._client.user_id
        mark = self._fate(message.seq) if mine and message.type != RECALL and not message.revoked else ""
        line = self.screen.line(self._painter.message(message), mark)
        self._shown.append(Shown(line, message.seq, mark))
        if not mine:
            self._client.mark_read(message.conversation_id, message.seq)
        if message.recalled_seq:
            for shown in self._shown:
                if shown.seq == message.recalled_seq:
                    self._mark(shown, RECALLED)

    def _receipt(self, event: ReceiptChanged) -> None:
        if event.conversation_id != self._room.conversation_id or event.user_id == self._client.user_id:
            return
        self._delivered = max(self._delivered, event.delivered_seq)
        self._read = max(self._read, event.read_seq)
        for own in self._shown:
            if own.seq and own.mark in (STORED, DELIVERED):
                self._mark(own, self._fate(own.seq))

    def _fate(self, seq: int) -> str:
        if seq <= self._read:
            return READ
        return DELIVERED if seq <= self._delivered else STORED

    def _mark(self, own: Shown, mark: str) -> None:
        if own.mark != mark:
            own.mark = mark
            colour = {READ: CYAN, FAILED: YELLOW}.get(mark, DIM)
            self.screen.remark(own.line, self._painter.paint(mark, colour))

    def _say(self, text: str) -> None:
        self.screen.line(self._painter.paint(f"-- {text}", DIM))

    def _prompt(self) -> None:
        paint = self._painter.paint
        state = ""
        if not self._line_up:
            state = paint(" (offline)", YELLOW)
        elif self._typing_peers:
            state = paint(" (typing…)", DIM)
        elif self._online:
            state = paint(" (online)", GREEN)
        self.screen.prompt(f"{paint(harmless(self._room.title), BOLD)}{state}> ")


async def run_chat(context: Context) -> None:
    """Until /quit, the end of the input, or the end of the session."""
    tap = Tap()
    client = await context.client(tap)
    room = await context.room(context.arguments.who)
    painter = Painter(colours=context.colours, names=room.names, own_id=client.user_id)
    history = await last_messages(client, room.conversation_id, OPENING)
    chat = Chat(
        client=client, room=room, painter=painter, clock=context.reactor, wall_clock=system_wall_clock
    )
    screen = open_screen(chat, reactor=context.reactor)
    try:
        chat.open(screen, history)
        tap.open(chat.happened)
        await chat.over
    finally:
        await chat.leave()
