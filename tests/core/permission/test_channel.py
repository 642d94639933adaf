"""The permission channel: every state and sign, the numbers of the spec, and what always holds."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.core.permission.channel import TRANSITIONS, Breaker, Channel, Sign
from imd.core.permission.values import ChannelValues, Level

FAST_S, SLOW_S = 0.005, 0.15
VALUES = ChannelValues()


def opened(now_s: float = 0.0) -> Channel:
    """One that has just stopped asking."""
    channel = Channel(VALUES, now_s=now_s)
    for _ in range(VALUES.open_after_failures + 1):
        channel.timed_out(now_s)
    return channel


def half_open() -> Channel:
    """One that has just begun to try again, at 60 s."""
    channel = opened()
    channel.tick(VALUES.half_open_after_s)
    return channel


class TableTests(SynchronousTestCase):
    """``TRANSITIONS``."""

    def test_complete(self) -> None:
        """There is an entry for every state and sign, and for nothing else."""
        self.assertEqual(set(TRANSITIONS), set(product(Breaker, Sign)))

    def test_changes(self) -> None:
        """Exactly these signs change a state."""
        changes = {pair: after for pair, after in TRANSITIONS.items() if after is not pair[0]}
        self.assertEqual(
            changes,
            {
                (Breaker.CLOSED, Sign.STREAK): Breaker.OPEN,
                (Breaker.CLOSED, Sign.FAULTY): Breaker.OPEN,
                (Breaker.OPEN, Sign.RESTED): Breaker.HALF_OPEN,
                (Breaker.HALF_OPEN, Sign.STREAK): Breaker.OPEN,
                (Breaker.HALF_OPEN, Sign.FAULTY): Breaker.OPEN,
                (Breaker.HALF_OPEN, Sign.CURED): Breaker.CLOSED,
                (Breaker.OPEN, Sign.RESTORED): Breaker.CLOSED,
                (Breaker.HALF_OPEN, Sign.RESTORED): Breaker.CLOSED,
            },
        )


class EveryInputTests(SynchronousTestCase):
    """Each input in each state, once, at a time when nothing else is due."""

    def assert_after(self, channel: Channel, breaker: Breaker) -> None:
        self.assertIs(channel.breaker, breaker)

    def test_closed(self) -> None:
        """One answer, one failure and a tick leave it closed."""
        for happens in ("answered", "late", "timed_out", "failed", "tick"):
            channel = Channel(VALUES, now_s=0.0)
            self._happen(channel, happens, 1.0)
            self.assert_after(channel, Breaker.CLOSED)

    def test_open(self) -> None:
        """Whatever comes late leaves it open."""
        for happens in ("answered", "late", "timed_out", "failed", "tick"):
            channel = opened()
            self._happen(channel, happens, 1.0)
            self.assert_after(channel, Breaker.OPEN)

    def test_half_open(self) -> None:
        """The first probe decides; time alone does nothing."""
        for happens, after in (
            ("answered", Breaker.HALF_OPEN),
            ("late", Breaker.OPEN),
            ("timed_out", Breaker.OPEN),
            ("failed", Breaker.OPEN),
            ("tick", Breaker.HALF_OPEN),
        ):
            channel = half_open()
            self._happen(channel, happens, 61.0)
            self.assert_after(channel, after)

    def test_restored(self) -> None:
        """When what the questions go over is back, they are asked at once, and what failed is forgotten."""
        for channel in (Channel(VALUES, now_s=0.0), opened(), half_open()):
            channel.restored(61.0)
            self.assert_after(channel, Breaker.CLOSED)
            self.assertTrue(channel.may_ask(61.0))
            self.assertIs(channel.level(61.0), Level.NORMAL)
            for _ in range(VALUES.open_after_failures + 1):
                channel.timed_out(62.0)
            self.assert_after(channel, Breaker.OPEN)

    def _happen(self, channel: Channel, what: str, now_s: float) -> None:
        if what == "answered":
            channel.answered(FAST_S, now_s)
        elif what == "late":
            channel.answered(VALUES.timed_out_above_s + 0.001, now_s)
        else:
            getattr(channel, what)(now_s)


class OpenTests(SynchronousTestCase):
    """From CLOSED to OPEN."""

    def test_in_a_row(self) -> None:
        """Three time-outs in a row are put up with, the fourth is not."""
        channel = Channel(VALUES, now_s=0.0)
        for now_s in (1.0, 2.0, 3.0):
            channel.timed_out(now_s)
            self.assertIs(channel.breaker, Breaker.CLOSED)
        channel.timed_out(4.0)
        self.assertIs(channel.breaker, Breaker.OPEN)
        self.assertFalse(channel.may_ask(4.0))

    def test_answer_between(self) -> None:
        """An answer in between begins a new row."""
        channel = Channel(VALUES, now_s=0.0)
        for now_s in range(1, 30):
            if now_s % 4:
                channel.timed_out(float(now_s))
            else:
                channel.answered(FAST_S, float(now_s))
        self.assertIs(channel.breaker, Breaker.CLOSED)

    def test_failing_at_once(self) -> None:
        """Failures that cost nobody any time, as while the authority restarts, open it after a minute, not before;
        and one answer after less is enough to be sure."""
        for seconds, after in ((55, Breaker.CLOSED), (70, Breaker.OPEN)):
            channel = Channel(VALUES, now_s=0.0)
            for now_s in range(seconds):
                channel.failed(float(now_s))
            self.assertIs(channel.level(float(seconds)), Level.TIMED_OUT)
            self.assertIs(channel.breaker, after)
            self.assertEqual(channel.may_ask(float(seconds)), after is Breaker.CLOSED)

    def test_share_for_a_minute(self) -> None:
        """More than 5 % of failures open it after a minute of them, not before."""
        channel = Channel(VALUES, now_s=0.0)
        for step in range(600):
            now_s = step / 10
            channel.timed_out(now_s) if step % 15 == 0 else channel.answered(FAST_S, now_s)
        self.assertIs(channel.breaker, Breaker.CLOSED)
        for step in range(600, 700):
            now_s = step / 10
            channel.timed_out(now_s) if step % 15 == 0 else channel.answered(FAST_S, now_s)
        self.assertIs(channel.breaker, Breaker.OPEN)

    def test_few_failures(self) -> None:
        """Fewer than 5 % never do."""
        channel = Channel(VALUES, now_s=0.0)
        for step in range(3000):
            now_s = step / 10
            channel.timed_out(now_s) if step % 30 == 0 else channel.answered(FAST_S, now_s)
        self.assertIs(channel.breaker, Breaker.CLOSED)


class RecoveryTests(SynchronousTestCase):
    """From OPEN back to CLOSED."""

    def test_rest(self) -> None:
        """After a minute, and not before, some questions are let through."""
        channel = opened()
        self.assertFalse(channel.may_ask(59.9))
        self.assertTrue(channel.may_ask(60.0))
        self.assertIs(channel.breaker, Breaker.HALF_OPEN)

    def test_probes_are_few(self) -> None:
        """In HALF_OPEN so many questions a second are put, whatever is asked for."""
        channel = half_open()
        let_through = sum(channel.may_ask(60.0) for _ in range(1000))
        self.assertEqual(let_through, VALUES.probes_per_s)
        self.assertTrue(channel.may_ask(61.0))

    def test_cured(self) -> None:
        """Two minutes in which 95 % succeed close it."""
        channel = half_open()
        for step in range(1199):
            now_s = 60 + step / 10
            channel.timed_out(now_s) if step % 25 == 24 else channel.answered(FAST_S, now_s)
            self.assertIs(channel.breaker, Breaker.HALF_OPEN)
        channel.answered(FAST_S, 180.0)
        self.assertIs(channel.breaker, Breaker.CLOSED)

    def test_not_cured(self) -> None:
        """Fewer than 95 % do not."""
        channel = half_open()
        for step in range(1201):
            now_s = 60 + step / 10
            channel.timed_out(now_s) if step % 15 == 14 else channel.answered(FAST_S, now_s)
        self.assertIsNot(channel.breaker, Breaker.CLOSED)

    def test_nobody_asks(self) -> None:
        """Where nothing is asked nothing is known: it stays half-open."""
        channel = half_open()
        channel.tick(10_000.0)
        self.assertIs(channel.breaker, Breaker.HALF_OPEN)

    def test_falls_back(self) -> None:
        """Once a probe was answered, it takes a row of failures to open it again."""
        channel = half_open()
        channel.answered(FAST_S, 61.0)
        for now_s in (62.0, 63.0, 64.0):
            channel.timed_out(now_s)
            self.assertIs(channel.breaker, Breaker.HALF_OPEN)
        channel.timed_out(65.0)
        self.assertIs(channel.breaker, Breaker.OPEN)
        self.assertFalse(channel.may_ask(65.0 + VALUES.half_open_after_s - 0.1))


class LevelTests(SynchronousTestCase):
    """``Channel.level``, as spec 23.1 has it."""

    def level(self, *, fast: int = 0, slow: int = 0, failed: int = 0) -> Level:
        channel = Channel(VALUES, now_s=0.0)
        for number in range(fast + slow + failed):
            # Failures spread out, so that they are no row.
            if failed and number % ((fast + slow + failed) // failed) == 0 and failed > 0:
                channel.failed(1.0)
                failed -= 1
            elif slow:
                channel.answered(SLOW_S, 1.0)
                slow -= 1
            else:
                channel.answered(FAST_S, 1.0)
        return channel.level(1.0)

    def test_normal(self) -> None:
        """Answers within 100 ms, or no question at all."""
        self.assertIs(self.level(), Level.NORMAL)
        self.assertIs(self.level(fast=100), Level.NORMAL)

    def test_slow(self) -> None:
        """100 to 300 ms are degraded."""
        self.assertIs(self.level(slow=10), Level.DEGRADED)

    def test_some_fail(self) -> None:
        """1 to 5 % of failures are degraded."""
        self.assertIs(self.level(fast=198, failed=1), Level.NORMAL)
        self.assertIs(self.level(fast=98, failed=2), Level.DEGRADED)
        self.assertIs(self.level(fast=95, failed=5), Level.DEGRADED)

    def test_many_fail(self) -> None:
        """More than 5 % are timed out."""
        self.assertIs(self.level(fast=93, failed=7), Level.TIMED_OUT)

    def test_one_time_out(self) -> None:
        """The only question of late that had no answer in time is all that is known."""
        channel = Channel(VALUES, now_s=0.0)
        channel.timed_out(1.0)
        self.assertIs(channel.level(1.0), Level.TIMED_OUT)
        self.assertIs(channel.level(1.0 + VALUES.span_s), Level.NORMAL)

    def test_open(self) -> None:
        """While nothing is asked it is timed out."""
        self.assertIs(opened().level(59.0), Level.TIMED_OUT)


class AlertTests(SynchronousTestCase):
    """When a person has to look."""

    def test_five_minutes(self) -> None:
        """More than 10 % for five minutes, through all the probes that fail in between."""
        channel = Channel(VALUES, now_s=0.0)
        alarming = []
        for now_s in range(700):
            if channel.may_ask(float(now_s)):
                channel.failed(float(now_s))
            if channel.is_alarming(float(now_s)):
                alarming.append(now_s)
        self.assertEqual(alarming[0], 303)

    def test_recovered(self) -> None:
        """It ends when the authority answers again."""
        channel = opened()
        channel.tick(50.0)
        for step in range(4000):
            if channel.may_ask(60 + step / 10):
                channel.answered(FAST_S, 60 + step / 10)
        self.assertIs(channel.breaker, Breaker.CLOSED)
        self.assertFalse(channel.is_alarming(460.0))


class ReplaceTests(SynchronousTestCase):
    """Values that change while it runs."""

    def test_at_once(self) -> None:
        """The next sign is judged by the new values, in the state that it is in."""
        channel = opened()
        channel.replace(VALUES._replace(half_open_after_s=5.0), 1.0)
        self.assertFalse(channel.may_ask(4.9))
        self.assertTrue(channel.may_ask(5.0))


INPUTS = st.lists(
    st.tuples(
        st.sampled_from(("answered", "timed_out", "failed", "tick")),
        st.floats(0.0, 0.4),
        st.floats(0.0, 40.0),
    ),
    max_size=80,
)


class AlwaysTests(SynchronousTestCase):
    """Whatever happens."""

    @given(INPUTS)
    def test_invariants(self, inputs: list[tuple[str, float, float]]) -> None:
        """Nothing is asked while it is open; it opens and closes no sooner than the values say."""
        channel, now_s, entered_s, before = Channel(VALUES, now_s=0.0), 0.0, 0.0, Breaker.CLOSED
        row = 0
        for what, took_s, later_s in inputs:
            now_s += later_s
            failed = what in ("timed_out", "failed") or (
                what == "answered" and took_s > VALUES.timed_out_above_s
            )
            timed_out = failed and what != "failed"
            row = row + 1 if timed_out else (0 if what == "answered" else row)
            if what == "answered":
                channel.answered(took_s, now_s)
            else:
                getattr(channel, what)(now_s)
            after = channel.breaker
            if after is not before:
                self.assertNotEqual((before, after), (Breaker.CLOSED, Breaker.HALF_OPEN))
                self.assertNotEqual((before, after), (Breaker.OPEN, Breaker.CLOSED))
                if after is Breaker.HALF_OPEN:
                    self.assertGreaterEqual(now_s - entered_s, VALUES.half_open_after_s)
                if after is Breaker.CLOSED:
                    self.assertGreaterEqual(now_s - entered_s, VALUES.close_after_s)
                entered_s, before = now_s, after
            if row > VALUES.open_after_failures:
                self.assertIsNot(after, Breaker.CLOSED)
            if after is Breaker.OPEN:
                self.assertIs(channel.level(now_s), Level.TIMED_OUT)
                if now_s - entered_s < VALUES.half_open_after_s:
                    self.assertFalse(channel.may_ask(now_s))
            self.assertTrue(0.0 <= channel.share(now_s) <= 1.0)
