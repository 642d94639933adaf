"""Devices and the fake server in one process, joined by byte strings, with a clock that is set by hand."""

from __future__ import annotations

from imd.client.load.device import Device
from imd.client.load.frames import SendTemplate
from imd.client.load.sender import Sender
from imd.client.load.shared import Shared
from imd.client.load.verdict import Check, Verdict
from tests.client.load.fake_server import FakeServer, FakeSession, Faults

CONVERSATION = "g_1"


class Run:
    """``members`` devices in one conversation; the first ``senders`` of them may send."""

    def __init__(
        self,
        *,
        faults: Faults | None = None,
        members: int = 2,
        senders: int = 1,
        window: int = 4,
        shared: bool = False,
    ) -> None:
        self.server = FakeServer(faults)
        self.now_ns = 1
        self.shared = Shared(known={} if shared else None)
        self.devices = [self._device(index, sends=index < senders, window=window) for index in range(members)]
        self._sessions: dict[Device, FakeSession] = {}
        self._to_device: list[tuple[Device, bytes]] = []
        for device in self.devices:
            self.connect(device)

    def _device(self, index: int, *, sends: bool, window: int) -> Device:
        template = SendTemplate(conversation_id=CONVERSATION, text="hello")
        return Device(
            token=f"{index + 1}/{CONVERSATION}",
            device_id="bench",
            conversations=[CONVERSATION],
            sender=Sender(index=index, window=window, template=template) if sends else None,
            shared=self.shared,
            clock_ns=lambda: self.now_ns,
        )

    def connect(self, device: Device) -> None:
        """A fresh connection, up to READY."""
        self._sessions[device] = FakeSession(self.server, lambda data: self._to_device.append((device, data)))
        device.connected()
        self.pump()

    def cut(self, device: Device) -> None:
        """The connection is gone, with everything on its way."""
        self._sessions.pop(device).gone()
        self._to_device = [(to, data) for to, data in self._to_device if to is not device]
        device.disconnected()

    def pump(self) -> None:
        """Carry bytes until nobody has anything to say."""
        while True:
            for device, session in self._sessions.items():
                data = b"".join(device.out)
                device.out.clear()
                session.received(data)
            if not self._to_device:
                return
            arrived, self._to_device = self._to_device, []
            for device, data in arrived:
                device.received(data, self.now_ns)

    def send(self, count: int = 1, device: int = 0) -> None:
        """So many messages, one after the other, each to its end."""
        for _ in range(count):
            assert self.devices[device].send_new(self.now_ns)
            self.pump()

    def verdict(self) -> Verdict:
        return Check(self.devices, self.shared.ledger, elsewhere={}).verdict()

    @property
    def problems(self) -> dict[str, int]:
        """lost, duplicated, reordered: those that are not 0."""
        counts, verdict = self.shared.counts, self.verdict()
        found = {
            "lost": verdict.lost,
            "duplicated": counts.duplicated + verdict.duplicated,
            "reordered": counts.reordered,
        }
        return {name: count for name, count in found.items() if count}
