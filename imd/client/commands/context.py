"""What every command works with: the profile, the REST API, a connected Client, and a place to print."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TextIO

from imd.client.client import Client, ClientOptions, ignore
from imd.client.commands.outcome import Usage
from imd.client.commands.profile import Profile, Profiles
from imd.client.cursors import CursorStore
from imd.client.errors import Unreachable
from imd.client.events import ConversationInfo, Event
from imd.client.rest import Login, NotFound, RefreshingToken, RestClient
from imd.kernel.clocks import system_wall_clock
from imd.kernel.timeouts import with_timeout
from imd.pb.sync_pb2 import GROUP

DEFAULT_SERVER = "http://127.0.0.1:7780"
CONNECT_TIMEOUT_S = 30.0


class Room(NamedTuple):
    """A conversation that was named on the command line; ``peer_id`` is 0 in groups."""

    conversation_id: str
    title: str
    peer_id: int
    names: dict[int, str]


class Tap:
    """Keeps what a client tells until somebody is ready to hear it."""

    def __init__(self) -> None:
        self._kept: list[Event] = []
        self._to: Callable[[Event], None] = self._kept.append

    def __call__(self, event: Event) -> None:
        self._to(event)

    def open(self, to: Callable[[Event], None]) -> None:
        """From now on events go there, the kept ones first."""
        self._to = to
        for event in self._kept:
            to(event)


class Context:
    """Made once a run; ``close`` at the end."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        *,
        reactor: Any,
        environment: Mapping[str, str] = os.environ,
        out: TextIO = sys.stdout,
    ) -> None:
        self.arguments = arguments
        self.reactor = reactor
        self.random = Random()
        self.out = out
        self.profiles = Profiles.of_user(environment)
        self.colours = out.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        self._profile: Profile | None = None
        self._rest: RestClient | None = None
        self._client: Client | None = None
        self._tokens: RefreshingToken | None = None

    def print(self, text: str = "") -> None:
        """A line of output, at once, so that a pipe sees it."""
        print(text, file=self.out, flush=True)

    @property
    def profile(self) -> Profile:
        """Who we are; Usage if that is not clear."""
        if self._profile is None:
            self._profile = self.profiles.load(self.profiles.choose(self.arguments.profile))
        return self._profile

    def keep(self, profile: Profile) -> None:
        """From now on this is who we are."""
        self._profile = profile
        self.profiles.save(profile)

    def rest(self) -> RestClient:
        """The REST API of our server, with our token."""
        if self._rest is None:
            self._rest = RestClient(
                server=self.profile.server, reactor=self.reactor, token=self.profile.login.token
            )
        return self._rest

    def strange_rest(self, server: str) -> RestClient:
        """The REST API of a server that we are not logged in to."""
        try:
            self._rest = RestClient(server=server, reactor=self.reactor)
        except ValueError as error:
            raise Usage(str(error)) from None
        return self._rest

    async def fresh_rest(self) -> RestClient:
        """The same as ``rest``, after a refresh of the token if it is due."""
        rest = self.rest()
        rest.token = await self._token_source()()
        return rest

    def _token_source(self) -> RefreshingToken:
        def keep(login: Login) -> None:
            self.keep(self.profile.with_login(login))

        if self._tokens is None:
            self._tokens = RefreshingToken(
                rest=self.rest(), login=self.profile.login, wall_clock=system_wall_clock, keep=keep
            )
        return self._tokens

    async def client(
        self,
        on_event: Callable[[Event], None] = ignore,
        *,
        initial_history: int | None = 0,
        cursors: CursorStore | None = None,
    ) -> Client:
        """Connected and logged in."""
        trust = self.arguments.trust
        try:
            client = Client(
                url=self.arguments.url or self.profile.url or self.profile.server,
                token_source=self._token_source(),
                device_id=self.profile.login.device_id,
                reactor=self.reactor,
                random=self.random,
                wall_clock=system_wall_clock,
                platform="terminal",
                on_event=on_event,
                cursors=cursors,
                options=ClientOptions(initial_history=initial_history, trust=Path(trust) if trust else None),
            )
        except (ValueError, OSError) as error:
            raise Usage(str(error)) from None
        self._client = client
        await with_timeout(client.start(), timeout_s=CONNECT_TIMEOUT_S, clock=self.reactor)
        return client

    async def room(self, who: str) -> Room:
        """A handle, a conversation id, or #title of a group we are in."""
        login = self.profile.login
        names = {login.user_id: login.handle}
        if who.startswith(("p_", "#", "g_")):
            found = await self._conversation(who)
            if found.kind == GROUP:
                members = await self.rest().members(found.conversation_id)
                names |= {member.person.user_id: member.person.handle for member in members}
            else:
                names[found.peer_user_id] = found.title
            return Room(found.conversation_id, found.title, found.peer_user_id, names)
        try:
            direct = await (await self.fresh_rest()).open_direct(handle=who)
        except NotFound:
            raise NotFound(f"nobody has the handle {who!r} (a group is written '#{who}')") from None
        names[direct.peer.user_id] = direct.peer.handle
        return Room(direct.conversation_id, direct.peer.handle, direct.peer.user_id, names)

    async def _conversation(self, who: str) -> ConversationInfo:
        if self._client is None:
            await self.client()
        if self._client is None:
            raise Unreachable("not connected")
        listed = await self._client.conversations()
        title = who[1:].casefold() if who.startswith("#") else None
        found = [each for each in listed if each.conversation_id == who or each.title.casefold() == title]
        if not found:
            raise Usage(f"you are in no conversation {who!r}; 'imc conversations' lists yours")
        if len(found) > 1:
            raise Usage(f"several of your conversations are called {who!r}: give the id")
        return found[0]

    async def close(self) -> None:
        """End politely."""
        if self._client is not None:
            await self._client.stop()
        if self._rest is not None:
            await self._rest.close()
