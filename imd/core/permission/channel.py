"""How the authority on permissions answers, as a state machine; ``now`` comes from the caller.

::

              in a row, or for a minute             rested
    CLOSED ------------------------------> OPEN ----------------> HALF_OPEN
      ^                                     ^   in a row, a minute    |  |
      |                                     +-------------------------+  |
      +------------------------------------------------------------------+
                             cured, restored

OPEN goes to CLOSED, too, when it is restored.

While it is OPEN nothing is asked; in HALF_OPEN a few questions are, as probes. ``level`` tells how good the
answers are: it chooses the column of the matrix.
"""

from __future__ import annotations

from enum import Enum

from imd.core.permission.counts import RecentCounts, Since, Totals
from imd.core.permission.values import ChannelValues, Level
from imd.kernel.token_bucket import TokenBucket


class Breaker(Enum):
    """Whether the authority is asked."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Sign(Enum):
    """What the numbers say at one moment, the first of these that holds."""

    #: More failures in a row than are put up with.
    STREAK = "streak"
    #: Too large a share of failures, for too long.
    FAULTY = "faulty"
    #: Left alone for long enough.
    RESTED = "rested"
    #: Probes have succeeded for long enough.
    CURED = "cured"
    #: What the questions went over was cut, and is back: it was not the authority that failed.
    RESTORED = "restored"
    NONE = "none"


_B, _S = Breaker, Sign

#: (state, sign) -> state. Complete: a test walks every pair.
TRANSITIONS: dict[tuple[Breaker, Sign], Breaker] = {
    (_B.CLOSED, _S.STREAK): _B.OPEN,
    (_B.CLOSED, _S.FAULTY): _B.OPEN,
    (_B.CLOSED, _S.RESTED): _B.CLOSED,
    (_B.CLOSED, _S.CURED): _B.CLOSED,
    (_B.CLOSED, _S.RESTORED): _B.CLOSED,
    (_B.CLOSED, _S.NONE): _B.CLOSED,
    (_B.OPEN, _S.STREAK): _B.OPEN,
    (_B.OPEN, _S.FAULTY): _B.OPEN,
    (_B.OPEN, _S.RESTED): _B.HALF_OPEN,
    (_B.OPEN, _S.CURED): _B.OPEN,
    (_B.OPEN, _S.RESTORED): _B.CLOSED,
    (_B.OPEN, _S.NONE): _B.OPEN,
    (_B.HALF_OPEN, _S.STREAK): _B.OPEN,
    (_B.HALF_OPEN, _S.FAULTY): _B.OPEN,
    (_B.HALF_OPEN, _S.RESTED): _B.HALF_OPEN,
    (_B.HALF_OPEN, _S.CURED): _B.CLOSED,
    (_B.HALF_OPEN, _S.RESTORED): _B.CLOSED,
    (_B.HALF_OPEN, _S.NONE): _B.HALF_OPEN,
}


class Channel:
    """What is known of the authority; told how each question ended, asked before the next one.

    ``values`` may be replaced at any time.
    """

    def __init__(self, values: ChannelValues, *, now_s: float) -> None:
        self._values = values
        self._breaker = Breaker.CLOSED
        self._entered_s = now_s
        #: Failures in a row in this state.
        self._streak = 0
        self._counts = RecentCounts(span_s=values.span_s)
        self._probed = _probed(values)
        self._faulty = Since()
        self._alarming = Since()
        self._probes = _bucket(values, now_s)
        #: How often the breaker opened.
        self.openings = 0

    @property
    def breaker(self) -> Breaker:
        return self._breaker

    @property
    def values(self) -> ChannelValues:
        return self._values

    def replace(self, values: ChannelValues, now_s: float) -> None:
        """Go on by other values; what was counted over another span counts no more."""
        if values.span_s != self._values.span_s:
            self._counts = RecentCounts(span_s=values.span_s)
        if values.close_after_s != self._values.close_after_s:
            self._probed = _probed(values)
        self._values = values
        self._probes = _bucket(values, now_s)

    # What happens

    def answered(self, took_s: float, now_s: float) -> None:
        """A question was answered, whatever the answer; an answer that is too late is none."""
        if took_s > self._values.timed_out_above_s:
            self.timed_out(now_s)
            return
        self._streak = 0
        self._ended(now_s, took_s=took_s, failed=False)

    def timed_out(self, now_s: float) -> None:
        """A question was not answered in time."""
        self._streak += 1
        self._ended(now_s, took_s=self._values.timed_out_above_s, failed=True)

    def failed(self, now_s: float) -> None:
        """A question could not be put, or the authority could not say, at once. Nobody has waited, so that it takes a
        minute of these to open the breaker: a restart of the authority is over sooner."""
        if self._breaker is Breaker.HALF_OPEN:
            self._streak += 1
        self._ended(now_s, took_s=0.0, failed=True)

    def restored(self, now_s: float) -> None:
        """The bus was cut, and is back: what was counted says nothing of the authority."""
        self._enter(TRANSITIONS[self._breaker, Sign.RESTORED], now_s)
        self._alarming = Since()

    def tick(self, now_s: float) -> None:
        """Time has passed."""
        share = self.share(now_s)
        self._faulty.note(now_s, self._breaker is not Breaker.OPEN and share > self._values.open_share)
        if self._breaker is not Breaker.HALF_OPEN or self._can_tell(now_s):
            self._alarming.note(now_s, share > self._values.alert_share)
        after = TRANSITIONS[self._breaker, self._sign(now_s)]
        if after is not self._breaker:
            self._enter(after, now_s)

    # What follows from it

    def may_ask(self, now_s: float) -> bool:
        """Whether a question may be put now; in HALF_OPEN it is a probe, and counts as one."""
        self.tick(now_s)
        if self._breaker is Breaker.HALF_OPEN:
            return self._probes.take(now_s)
        return self._breaker is Breaker.CLOSED

    def level(self, now_s: float) -> Level:
        """How good the answers are."""
        if self._breaker is Breaker.OPEN:
            return Level.TIMED_OUT
        values, totals = self._values, self._counts.totals(now_s)
        share = self.share(now_s)
        if share > values.timed_out_share or totals.mean_s >= values.timed_out_above_s:
            return Level.TIMED_OUT
        if share >= values.degraded_share or totals.mean_s >= values.degraded_above_s:
            return Level.DEGRADED
        return Level.NORMAL

    def share(self, now_s: float) -> float:
        """Of failed questions: 1 while nothing is asked, 0 while too few are to say."""
        if self._breaker is Breaker.OPEN:
            return 1.0
        return self._counts.totals(now_s).share if self._can_tell(now_s) else 0.0

    def rests_s(self, now_s: float) -> float:
        """How long nothing will be asked from now on."""
        if self._breaker is not Breaker.OPEN:
            return 0.0
        return max(0.0, self._entered_s + self._values.half_open_after_s - now_s)

    def is_alarming(self, now_s: float) -> bool:
        """Whether it has been bad for so long that a person should look."""
        return self._alarming.held_s(now_s) >= self._values.alert_after_s

    def _can_tell(self, now_s: float) -> bool:
        """Whether there are enough questions for a share to mean something; fewer, where none was answered."""
        totals = self._counts.totals(now_s)
        if totals.asked == totals.failed:
            return totals.asked > self._values.open_after_failures
        return totals.asked >= self._values.min_questions

    def _ended(self, now_s: float, *, took_s: float, failed: bool) -> None:
        self._counts.add(now_s, took_s=took_s, failed=failed)
        if self._breaker is Breaker.HALF_OPEN:
            self._probed.add(now_s, took_s=took_s, failed=failed)
        self.tick(now_s)

    def _sign(self, now_s: float) -> Sign:
        values, in_state_s = self._values, now_s - self._entered_s
        if self._breaker is Breaker.OPEN:
            # Questions that were under way when it opened still end, and say nothing new.
            return Sign.RESTED if in_state_s >= values.half_open_after_s else Sign.NONE
        probing = self._breaker is Breaker.HALF_OPEN
        probed = self._probed.totals(now_s) if probing else Totals()
        good = probed.asked - probed.failed
        # Of what has not been seen to answer again, the first failure is enough.
        if self._streak > (0 if probing and not good else values.open_after_failures):
            return Sign.STREAK
        if self._faulty.held_s(now_s) >= values.open_share_s:
            return Sign.FAULTY
        if probing and good and in_state_s >= values.close_after_s:
            # Else as it is, until FAULTY or STREAK, or better times.
            return Sign.CURED if 1 - probed.share >= values.close_share else Sign.NONE
        return Sign.NONE

    def _enter(self, breaker: Breaker, now_s: float) -> None:
        self._breaker = breaker
        self.openings += breaker is Breaker.OPEN
        self._entered_s = now_s
        self._streak = 0
        self._faulty = Since()
        self._probed = _probed(self._values)
        self._counts.clear()
        if breaker is Breaker.HALF_OPEN:
            self._probes = _bucket(self._values, now_s)


def _probed(values: ChannelValues) -> RecentCounts:
    """How the questions of the time have ended that it takes to be cured."""
    return RecentCounts(span_s=max(1.0, values.close_after_s))


def _bucket(values: ChannelValues, now_s: float) -> TokenBucket:
    return TokenBucket(rate_per_s=values.probes_per_s, burst=max(1.0, values.probes_per_s), now_s=now_s)
