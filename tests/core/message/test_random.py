"""Random sends, resends, conflicts, faults, kicks and restarts; in the end everything must add up."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred

from tests.core.message.harness import ANN, BOB, CY, GROUP_ID, LONG_S, Device, PipelineCase

STEPS = 120
FAULTS = ("busy", "unknown_before", "unknown_after", "unknown_half", "broken", "foreign", "foreign", "", "")
CONVERSATIONS = (GROUP_ID, "g_2", "g_3")


class Ledger:
    """What the clients were told, over all lives."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, int, str], str] = {}
        self.order: dict[tuple[str, int], list[str]] = {}
        self.acked: dict[tuple[str, int, str], int] = {}
        #: Whose last answer was FAILED.
        self.failed: set[tuple[str, int, str]] = set()
        #: Sent again after a refusal or a restart, so that its place is not that of its first try.
        self.late: set[tuple[str, int, str]] = set()

    def restarted(self) -> None:
        self.late.update(key for key in self.texts if key not in self.acked)


class RandomTests(PipelineCase):
    """Seeded, so that a failure can be run again."""

    def run_seed(self, seed: int) -> None:
        self.random = Random(seed)
        self.ledger = Ledger()
        self.count = 0
        #: What clients that came back after a restart learned from their sync.
        self.synced: dict[str, int] = {}
        self.held = False
        for conversation_id in CONVERSATIONS[1:]:
            self.people.put(conversation_id, ANN, BOB, CY)
        self.devices: list[Device] = [self.connect(user_id) for user_id in (ANN, BOB, CY)]
        self.start(batch_size=self.random.choice((2, 5, 200)), recent_sends=10)
        actions = [self.send_new] * 12 + [self.resend] * 4 + [self.conflict] + [self.fault] * 3
        actions += [self.read_fault, self.hold, self.wait_a_bit, self.wait_a_bit, self.kick, self.die]
        actions += [self.ask_slowly] * 2
        for _ in range(STEPS):
            self.random.choice(actions)()
        self.let_go()
        self.answer()
        self.log.faults.clear()
        self.log.read_faults.clear()
        self.pass_time(2 * LONG_S, 0.5)
        self.check(seed)
        self.flushLoggedErrors(RuntimeError)

    def send_new(self) -> None:
        self.count += 1
        device = self.random.choice(self.devices)
        conversation_id = self.random.choice(CONVERSATIONS)
        name = f"m{self.count}"
        self.ledger.texts[conversation_id, device.user_id, name] = name
        self.ledger.order.setdefault((conversation_id, device.user_id), []).append(name)
        self.send(name, device=device, conversation_id=conversation_id, submitter=Checker(self))

    def resend(self) -> None:
        if self.ledger.texts:
            conversation_id, user_id, name = self.random.choice(list(self.ledger.texts)[-30:])
            device = self.devices[user_id - 1]
            self.send(name, device=device, conversation_id=conversation_id, submitter=Checker(self))

    def conflict(self) -> None:
        if self.ledger.acked:
            conversation_id, user_id, name = self.random.choice(list(self.ledger.acked))
            before = len(self.answers.told)
            device = self.devices[user_id - 1]
            self.send(name, device=device, conversation_id=conversation_id, text="other")
            self.pass_time(1)
            told = {each.what for each in self.answers.told[before:]}
            self.assertLessEqual(told, {"accepted", "failed", "delayed"}, name)

    def fault(self) -> None:
        self.log.faults.append(self.random.choice(FAULTS))

    def read_fault(self) -> None:
        self.log.read_faults.extend(["busy"] * self.random.randrange(1, 7))

    def hold(self) -> None:
        if self.held:
            self.let_go()
        else:
            self.held = True
            self.log.hold()

    def ask_slowly(self) -> None:
        """Who is in is not answered for a while; or it is again."""
        if self.people.gate is None:
            self.people.gate = Deferred()
            self.kick()
        else:
            self.answer()

    def answer(self) -> None:
        gate, self.people.gate = self.people.gate, None
        if gate is not None:
            gate.callback(None)

    def let_go(self) -> None:
        if self.held:
            self.held = False
            self.log.release()

    def wait_a_bit(self) -> None:
        self.pass_time(self.random.choice((0.5, 2, 12)), 0.5)

    def kick(self) -> None:
        """The membership is announced anew: whoever was hot is looked up again."""
        self.change(self.random.choice(CONVERSATIONS), ANN, BOB, CY)

    def die(self) -> None:
        """As after kill -9, a write under way may land after all; the clients come back and ask."""
        if self.random.random() < 0.5:
            return
        self.let_go()
        self.answer()
        self.restart()
        self.held = False
        for device in self.devices:
            self.now.live.arrived(device, CONVERSATIONS)

    def check(self, seed: int) -> None:
        ledger, note = self.ledger, f"seed {seed}"
        self.assertEqual(self.now.appender.unsettled, 0, note)
        self.assertLessEqual({live.in_use for live in self.now.live}, {0}, note)
        for conversation_id in CONVERSATIONS:
            self.assert_contiguous(conversation_id)
            where: dict[str, int] = {}
            for seq, name in self.stored(conversation_id):
                self.assertNotIn(name, where, note)
                where[name] = seq
            for (conversation, user_id, name), seq in ledger.acked.items():
                if conversation == conversation_id:
                    self.assertEqual(where.get(name), seq, (note, user_id, name))
            for conversation, user_id, name in ledger.failed:
                key = (conversation, user_id, name)
                if conversation == conversation_id and key not in ledger.acked and key not in ledger.late:
                    self.assertNotIn(name, where, note)
            for (conversation, user_id), names in ledger.order.items():
                if conversation == conversation_id:
                    spoiled = ledger.late | ledger.failed
                    seqs = [where[name] for name in names if (conversation, user_id, name) not in spoiled]
                    self.assertEqual(seqs, sorted(seqs), note)
            self.check_devices(conversation_id, len(where), note)

    def check_devices(self, conversation_id: str, last_seq: int, note: str) -> None:
        """Whoever is here has been told up to the end, save for own messages, or is by the next sweep."""
        self.wait(self.now.sweep.sweep())
        own: dict[int, set[int]] = {}
        for (conversation, user_id, _), seq in self.ledger.acked.items():
            if conversation == conversation_id:
                own.setdefault(user_id, set()).add(seq)
        for device in self.devices:
            hints = [
                each.hint.lastSeq for each in device.envelopes if each.hint.conversationId == conversation_id
            ]
            seqs = device.seqs(conversation_id)
            self.assertEqual(len(seqs), len(set(seqs)), note)
            known = max([*seqs, *hints, *own.get(device.user_id, ()), self.synced.get(conversation_id, 0)])
            self.assertEqual(known, last_seq, (note, device.user_id, conversation_id))

    def restart(self) -> None:
        super().restart()
        self.ledger.restarted()
        self.synced = dict(self.wait(self.log.real.last_seqs(CONVERSATIONS)))

    def test_one(self) -> None:
        """Nothing is lost, doubled, reordered or told wrong."""
        self.run_seed(1)

    def test_two(self) -> None:
        """Nor with other dice."""
        self.run_seed(2)

    def test_three(self) -> None:
        """Nor with others again."""
        self.run_seed(3)


class Checker:
    """A submitter that holds each answer against what was said before."""

    def __init__(self, case: RandomTests) -> None:
        self._case = case

    def accepted(self, send: object) -> None:
        """Proves nothing."""

    def delayed(self, send: object) -> None:
        """Proves nothing."""

    def stored(self, send: object, *, duplicate: bool) -> None:
        key, seq = tuple(send.key), send.seq  # type: ignore[attr-defined]
        case = self._case
        case.assertEqual(case.ledger.acked.setdefault(key, seq), seq)
        in_log = case.wait(case.log.real.find(key[0], key[1], [key[2]]))
        case.assertEqual(in_log[key[2]].seq, seq)
        if key in case.ledger.failed:
            case.ledger.failed.discard(key)
            case.ledger.late.add(key)

    def failed(self, send: object, error: object) -> None:
        key = tuple(send.key)  # type: ignore[attr-defined]
        if key not in self._case.ledger.acked:
            self._case.ledger.failed.add(key)
