"""The final check of a process: what was ACKed STORED is laid over what each device holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from imd.client.load.device import Device
from imd.client.load.frames import identity
from imd.client.load.tally import Expected, Inbox, Ledger

#: So many examples are told in words.
_FINDINGS: Final = 5


class Verdict(NamedTuple):
    """What was wrong, counted and in words."""

    lost: int
    duplicated: int
    findings: list[str]


class Check:
    """One check. ``elsewhere`` are seqs ACKed to senders in other processes, by conversation."""

    def __init__(
        self, devices: Sequence[Device], ledger: Ledger, *, elsewhere: Mapping[str, Sequence[int]]
    ) -> None:
        self._devices = devices
        self._ledger = ledger
        self._expected: dict[str, Expected] = {}
        for conversation_id, seqs in elsewhere.items():
            self._expected.setdefault(conversation_id, Expected()).add(seqs)
        for conversation_id, seqs in acknowledged(devices).items():
            self._expected.setdefault(conversation_id, Expected()).add(seqs)

    def missing(self) -> list[tuple[int, Inbox, int]]:
        """(device, inbox, how many) wherever something stored was not seen yet."""
        return [
            (number, inbox, missing)
            for number, device in enumerate(self._devices)
            for inbox in device.inboxes.values()
            if inbox.conversation_id in self._expected
            and (missing := self._expected[inbox.conversation_id].missing(inbox))
        ]

    def verdict(self) -> Verdict:
        """The result, when there is nothing more to wait for."""
        missing = self.missing()
        findings = [
            f"device {number} misses {count} messages of {inbox.conversation_id}, the first of them is seq "
            f"{inbox.contiguous() + 1}"
            for number, inbox, count in missing[:_FINDINGS]
        ]
        clashes = sum(expected.clashes for expected in self._expected.values())
        if clashes:
            findings.append(f"{clashes} seqs were ACKed to two messages")
        replaced = self._replaced()
        if replaced:
            findings.append(f"{replaced} messages were ACKed with a seq at which another one was delivered")
        doubled = self._ledger.doubled() + self._ledger.conflicts
        if doubled:
            findings.append(f"{doubled} messages stand under two seqs, or two under one")
        lost = sum(count for _, _, count in missing) + clashes + replaced
        return Verdict(lost, doubled, findings)

    def _replaced(self) -> int:
        """Messages ACKed STORED at a seq at which the devices of this process saw another message."""
        replaced = 0
        for device in self._devices:
            sender = device.sender
            if sender is None:
                continue
            for number, seq in enumerate(sender.seqs, start=1):
                if seq:
                    seen = self._ledger.at(device.sends_into, seq)
                    replaced += seen not in (0, identity(sender.index, number))
        return replaced


def acknowledged(devices: Sequence[Device]) -> dict[str, list[int]]:
    """The seqs ACKed STORED to these devices, by conversation."""
    stored: dict[str, list[int]] = {}
    for device in devices:
        if device.sender is not None:
            stored.setdefault(device.sends_into, []).extend(device.sender.stored_seqs())
    return stored
