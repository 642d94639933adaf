"""Questions about permissions are timed, kept back for messages while the breaker is open, and watched."""

from __future__ import annotations

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.core.permission.asking import Asking
from imd.core.permission.channel import Breaker, Channel
from imd.core.permission.values import ChannelValues, Level
from imd.core.permission.watch import ChannelWatch
from imd.kernel.errors import Forbidden, ImError, ServerBusy
from imd.kernel.tasks import Tasks

VALUES = ChannelValues()


class AskingCase(SynchronousTestCase):
    """A channel, and who asks through it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.channel = Channel(VALUES, now_s=0.0)
        self.asking = Asking(channel=self.channel, clock=self.clock)
        self.put = 0

    def ask(
        self, *, takes_s: float = 0.0, error: Exception | None = None, sparing: bool = True
    ) -> Deferred[str]:
        async def question() -> str:
            self.put += 1
            if takes_s:
                waiting: Deferred[None] = Deferred()
                self.clock.callLater(takes_s, waiting.callback, None)
                await waiting
            if error is not None:
                raise error
            return "yes"

        return Deferred.fromCoroutine(self.asking(question, sparing=sparing))

    def time_out(self, times: int = VALUES.open_after_failures + 1) -> None:
        for _ in range(times):
            error = ServerBusy("planted")
            error.__cause__ = TimeoutError()
            self.failureResultOf(self.ask(error=error), ServerBusy)


class AskingTests(AskingCase):
    """``Asking``."""

    def test_answer(self) -> None:
        """It is passed on, and how long it took is noted."""
        answer = self.ask(takes_s=0.2)
        self.clock.advance(0.2)
        self.assertEqual(self.successResultOf(answer), "yes")
        self.assertIs(self.channel.level(self.clock.seconds()), Level.DEGRADED)

    def test_no_is_an_answer(self) -> None:
        """A considered no is as good as a yes."""
        for _ in range(10):
            self.failureResultOf(self.ask(error=Forbidden("no")), Forbidden)
        self.assertIs(self.channel.breaker, Breaker.CLOSED)
        self.assertIs(self.channel.level(0.0), Level.NORMAL)

    def test_failures(self) -> None:
        """What cannot be put, and what the authority cannot say, are failures; nobody has waited for them."""
        for _ in range(VALUES.open_after_failures + 1):
            self.failureResultOf(self.ask(error=ServerBusy("no bus")), ServerBusy)
        self.assertIs(self.channel.level(self.clock.seconds()), Level.TIMED_OUT)
        self.assertIs(self.channel.breaker, Breaker.CLOSED)

    def test_open(self) -> None:
        """Nothing is put for a message while it is open; whoever asks learns at once, and until when."""
        self.time_out()
        put = self.put
        error: ImError = self.failureResultOf(self.ask(), ServerBusy).value
        self.assertEqual((self.put, error.retry_after_ms), (put, 60_000))

    def test_open_for_readers(self) -> None:
        """For whom there is no other way is asked all the same, and that alone closes nothing."""
        self.time_out()
        for _ in range(10):
            self.assertEqual(self.successResultOf(self.ask(sparing=False)), "yes")
        self.assertIs(self.channel.breaker, Breaker.OPEN)
        self.failureResultOf(self.ask(), ServerBusy)

    def test_probe(self) -> None:
        """After a rest some questions are put again."""
        self.time_out()
        self.clock.advance(VALUES.half_open_after_s)
        self.assertEqual(self.successResultOf(self.ask()), "yes")

    def test_timeout(self) -> None:
        """A question is worth waiting for as long as its answer counts, whatever that is set to."""
        self.assertEqual(self.asking.timeout_s, 0.3)
        self.channel.replace(VALUES._replace(timed_out_above_s=1.5), 0.0)
        self.assertEqual(self.asking.timeout_s, 1.5)

    def test_not_heeded(self) -> None:
        """In the shadow everything is put, and noted all the same."""
        self.asking.heeds = False
        self.time_out()
        self.assertIs(self.channel.breaker, Breaker.OPEN)
        self.assertEqual(self.successResultOf(self.ask()), "yes")

    def test_own_faults(self) -> None:
        """A fault of this node says nothing about the authority."""
        for _ in range(10):
            self.failureResultOf(self.ask(error=RuntimeError("planted")), RuntimeError)
        self.assertIs(self.channel.breaker, Breaker.CLOSED)


class _Told:
    failed_share = -1.0


class WatchTests(AskingCase):
    """``ChannelWatch``."""

    def setUp(self) -> None:
        super().setUp()
        self.told = _Told()
        self.watch = ChannelWatch(
            channel=self.channel,
            stand_in=self.told,
            clock=self.clock,
            tasks=Tasks(),
        )

    def test_share(self) -> None:
        """Who throttles is told how many questions fail."""
        self.watch.look()
        self.assertEqual(self.told.failed_share, 0.0)
        self.time_out()
        self.watch.look()
        self.assertEqual(self.told.failed_share, 1.0)

    def test_alert(self) -> None:
        """After five minutes people are called, once; and once again when it comes again."""
        for _ in range(2):
            for _ in range(800):
                if self.channel.may_ask(self.clock.seconds()):
                    self.time_out(1)
                self.watch.look()
                self.clock.advance(1)
            for _ in range(2000):
                if self.channel.may_ask(self.clock.seconds()):
                    self.successResultOf(self.ask())
                self.watch.look()
                self.clock.advance(0.2)
        self.assertEqual(self.watch.alerts, 2)
