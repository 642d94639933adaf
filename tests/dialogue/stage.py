"""Where a dialogue is played: a real server, and devices of people who have never met before::

    stage = await Stage.open(self, Transport.TCP)
    alice, bob = await stage.people("alice", "bob")
    await alice.sends("hello", to=bob)
    await bob.sees("hello", from_=alice, seq=1)

``people`` gives each a phone that is online; ``person`` gives somebody without any, who takes one
device after the other. All dialogues of a run share one server process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.client.client import ClientOptions
from imd.client.rest import RestClient
from imd.kernel.errors import Code, ImError
from tests.dialogue.device import Device
from tests.dialogue.house import House, ServerHouse
from tests.dialogue.town import TOKEN_TTL_S, Inhabitant
from tests.dialogue.wire import Transport, Wire
from tests.live.server import NO_LIMITS, Settings

T = TypeVar("T")

#: Everything from the beginning; a new device has no past of its own.
WHOLE_HISTORY = ClientOptions(initial_history=None)
HINT_ABOVE_ONLINE = 5
SMALL_GROUP = 3
HINT_BODY_BYTES = 10 * 1024
#: What a dialogue cannot wait for in real size.
SHORTER: Settings = {
    **NO_LIMITS,
    "messages": {
        "hint_members_online": HINT_ABOVE_ONLINE,
        "small_group_members": SMALL_GROUP,
        "hint_body_bytes": HINT_BODY_BYTES,
    },
    "presence": {"merge_window_s": 0.6},
    "gateway": {"drain_timeout_s": 3.0, "token_grace_s": 0.0},
    # Words that no other dialogue uses.
    "content": {"words": ["zounds\treplace", "gadzooks\trefuse", "egad\treview"]},
}
#: A server that lets nobody take anything back.
TOO_LATE: Settings = {**SHORTER, "messages": {"recall_window_s": 0}}


class Person:
    """Somebody; ``device`` puts a device of theirs online."""

    def __init__(self, stage: Stage, name: str, inhabitant: Inhabitant) -> None:
        self.name = name
        self.user_id = inhabitant.account.user_id
        self.handle = inhabitant.account.handle
        self.inhabitant = inhabitant
        self._stage = stage

    async def device(
        self,
        device_id: str,
        *,
        over: Transport | None = None,
        options: ClientOptions = WHOLE_HISTORY,
        token_source: Callable[[], Awaitable[str]] | None = None,
    ) -> Device:
        """One of the devices of ``town.DEVICES``, online and caught up."""
        device = self._stage.device(self, device_id, over=over, options=options, token_source=token_source)
        await device.comes()
        return device


class Stage:
    """See the module's docstring."""

    def __init__(self, *, test: TestCase, transport: Transport, house: House, reactor: Any) -> None:
        self.transport = transport
        self.town = house.town
        self.house = house
        self._test = test
        self._reactor = reactor
        self._devices: list[Device] = []
        self._log_bytes = len(house.log)
        test.addCleanup(self._close)

    @classmethod
    async def open(cls, test: Dialogue, transport: Transport, settings: Settings = SHORTER) -> Stage:
        """A stage for this test, which cleans it up."""
        house = await deferToThread(test.house_of, settings)
        if not house.running:
            await deferToThread(house.start)
        # Trial has installed it by now, and not before.
        from twisted.internet import reactor  # noqa: TID251 - a test is an executable of its own

        return cls(test=test, transport=transport, house=house, reactor=reactor)

    async def person(self, name: str) -> Person:
        """Somebody whom nobody on this stage has ever met."""
        return Person(self, name, self.town.next())

    async def people(self, *names: str) -> list[Device]:
        """The phone of each, online."""
        return [await (await self.person(name)).device("phone") for name in names]

    def device(
        self,
        person: Person,
        device_id: str,
        *,
        over: Transport | None = None,
        options: ClientOptions = WHOLE_HISTORY,
        token_source: Callable[[], Awaitable[str]] | None = None,
    ) -> Device:
        """A device that is not online yet."""
        token = self.town.token(person.inhabitant, device_id)

        async def same_token() -> str:
            return token

        rest = RestClient(server=self.house.http_url, reactor=self._reactor, token=token)
        device = Device(
            name=f"{person.name}'s {device_id}",
            user_id=person.user_id,
            device_id=device_id,
            token_source=token_source or same_token,
            wire=Wire(self.house.dial(over or self.transport, self._reactor)),
            rest=rest,
            reactor=self._reactor,
            options=options,
        )
        self._devices.append(device)
        return device

    def token(self, person: Person, device_id: str, *, ttl_s: int = TOKEN_TTL_S) -> str:
        """Another token for a device."""
        return self.town.token(person.inhabitant, device_id, ttl_s=ttl_s)

    async def operator(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the operators' part of REST answers."""
        rest = RestClient(server=self.house.http_url, reactor=self._reactor, token=self.house.operator_token)
        try:
            return await rest._call(method, "/operator" + path, body)
        finally:
            await rest.close()

    # What befalls the server.

    async def server_is_killed(self) -> None:
        """``kill -9``."""
        await deferToThread(self.house.kill)

    async def server_starts(self) -> None:
        """Again, on the same data and ports."""
        await deferToThread(self.house.start)

    def server_stops(self) -> Deferred[None]:
        """Asked to end; fires when it has."""
        return deferToThread(self.house.stop)

    async def _close(self) -> None:
        for device in self._devices:
            await device.leaves()
            await device.rest.close()
            await device.within("have all connections closed", device.wire.all_closed())
        faults = [fault for device in self._devices for fault in device.faults]
        self._test.assertEqual(faults, [], "every device sees each conversation in order, nothing twice")
        said = self.house.log[self._log_bytes :]
        self._test.assertNotIn("Traceback", said)


class Dialogue(TestCase):
    """Dialogues that are played over ``transport``."""

    transport: Transport
    timeout = 90

    def house_of(self, settings: Settings) -> House:
        """Where they are played."""
        return ServerHouse.of(settings)


async def refused(code: Code, doing: Awaitable[T], *, field: str = "") -> ImError:
    """What is tried is refused with this code (and for this field)."""
    try:
        result = await doing
    except ImError as error:
        if error.code != code or field not in error.field:
            raise AssertionError(
                f"refused with {error.code}, {error.field!r}, {error.message!r}; expected {code}, {field!r}"
            ) from None
        return error
    raise AssertionError(f"not refused with {code}, but done: {result!r}")
