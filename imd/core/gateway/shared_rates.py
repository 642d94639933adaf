"""One user at several nodes has one rate (spec 18.5), and a send still asks nobody.

The rule: each node judges sends by its own buckets. Once a second it says what those users have spent who are
also connected elsewhere, and sets their buckets to what is left of the budget that the nodes share. What was
spent too much meanwhile, at most a burst a node, is owed: the bucket is below 0 and refuses until it is paid
back. While the budgets cannot be asked these users have half their rate at each node. For everybody else,
and on a node without others, nothing is different.

Who has come to a second node is told by the route table when the session is put into it; the first node hears
it as an event. A node that does neither (Redis is away) has its own rate only, as if it were alone.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.core.gateway.budgets import Budgets, Spending
from imd.core.gateway.limits import Tokens, UserRates
from imd.core.presence.routes import Route
from imd.core.presence.session_events import RouteListener, with_route, without_nodes, without_session
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.kernel.token_bucket import TokenBucket

#: For so long a user may spend at each node what is there but once.
REPORT_S = 1.0
#: Users who have left this node are forgotten by then; each costs about 1 KiB.
SWEEP_S = 60.0
#: Of the rate at each node while the nodes cannot be counted together: exact for the two nodes of most such users.
ALONE_SHARE = 0.5


class SharedBucket:
    """A bucket that is noted when something is taken from it."""

    __slots__ = ("_note", "_rate_per_s", "_spent", "ended", "key", "local")

    def __init__(self, local: TokenBucket, key: str, note: Callable[[SharedBucket], None]) -> None:
        self.local = local
        self.key = key
        self._note = note
        self._rate_per_s = local.rate_per_s
        self._spent = 0.0
        #: The user is here only, or not any more.
        self.ended = False

    def take(self, now_s: float, cost: float = 1.0) -> bool:
        """As of ``TokenBucket``."""
        if not self.local.take(now_s, cost):
            return False
        if not self._spent:
            self._note(self)
        self._spent += cost
        return True

    def retry_after_ms(self, cost: float = 1.0) -> int:
        """As of ``TokenBucket``."""
        return self.local.retry_after_ms(cost)

    def is_full(self, now_s: float) -> bool:
        """As of ``TokenBucket``."""
        return self.local.is_full(now_s)

    def change(self, now_s: float, *, rate_per_s: float, burst: float) -> None:
        """As of ``TokenBucket``; a share of the rate, if that was in force, is of the new one after the next report."""
        self._rate_per_s = rate_per_s
        self.local.change(now_s, rate_per_s=rate_per_s, burst=burst)

    def report(self, now_s: float) -> Spending:
        """What was spent since the last time; it counts as said from now on."""
        local, spent = self.local, self._spent
        self._spent = 0.0
        return Spending(self.key, self._rate_per_s, local.burst, spent, local.left(now_s))

    def correct(self, asked_s: float, left: float) -> None:
        """So much was left of the shared budget then; what was spent since is not said yet."""
        self.local.go_on(asked_s, left=left - self._spent, rate_per_s=self._rate_per_s)

    def set_share(self, now_s: float, share: float) -> None:
        """Go on at this share of the rate."""
        self.local.go_on(now_s, left=self.local.left(now_s), rate_per_s=self._rate_per_s * share)


class _User:
    """Somebody who is here and elsewhere."""

    __slots__ = ("rates", "routes")

    def __init__(self, rates: UserRates) -> None:
        self.rates = rates
        self.routes: tuple[Route, ...] = ()


class SharedRates(RouteListener):
    """A stage: follows who is connected here and elsewhere, and reports what they spend.

    :param rates_of: what a user who is connected here may send; None for anybody else.
    :param has_ended: whether a session that the route table names is known to be gone since.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        budgets: Budgets,
        rates_of: Callable[[int], UserRates | None],
        has_ended: Callable[[Route], bool],
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._budgets = budgets
        self._rates_of = rates_of
        self._has_ended = has_ended
        self._clock = clock
        self._tasks = tasks
        self._users: dict[int, _User] = {}
        self._spent: list[SharedBucket] = []
        #: Those that have but a share of their rate.
        self._slowed: dict[SharedBucket, None] = {}

    async def start(self) -> None:
        self._tasks.spawn("shared rates", self._run())

    async def stop(self) -> None:
        """Ended with its tasks."""

    def counts(self) -> dict[str, int]:
        """Sizes, for whoever watches memory."""
        return {"users": len(self._users), "slowed": len(self._slowed)}

    async def _run(self) -> None:
        swept_s = self._clock.seconds()
        while True:
            await sleep(REPORT_S, clock=self._clock)
            if self._clock.seconds() - swept_s >= SWEEP_S:
                swept_s = self._clock.seconds()
                self._sweep()
            try:
                await self.report()
            except CancelledError:
                raise
            except Exception:
                self._logger.failure("shared rates were not reported; it goes on with the next")

    async def report(self) -> None:
        """Say what was spent, and learn what is left."""
        buckets = list(dict.fromkeys([*self._spent, *self._slowed]))
        self._spent.clear()
        if not buckets:
            return
        now_s = self._clock.seconds()
        try:
            left = await self._budgets.spend([bucket.report(now_s) for bucket in buckets])
        except ImError:
            self._slow(buckets)
            return
        self._slowed.clear()
        for bucket, each in zip(buckets, left, strict=True):
            bucket.correct(now_s, each)

    def _slow(self, buckets: list[SharedBucket]) -> None:
        now_s = self._clock.seconds()
        for bucket in buckets:
            if not bucket.ended and bucket not in self._slowed:
                self._slowed[bucket] = None
                bucket.set_share(now_s, ALONE_SHARE)

    # Who is here and elsewhere

    def found_elsewhere(self, route: Route) -> None:
        """The route table names a session at another node of somebody who is here."""
        if not self._has_ended(route):
            self.session_came(route)

    def session_came(self, route: Route) -> None:
        user_id = route.user_id
        rates = self._rates_of(user_id)
        if rates is None:
            return
        user = self._users.get(user_id)
        if user is None:
            user = self._users[user_id] = _User(rates)
            self._share(user_id, rates)
        elif user.rates is not rates:
            # The user had left, and was forgotten by those who count.
            self._end(user)
            user.rates = rates
            self._share(user_id, rates)
        user.routes = with_route(user.routes, route)

    def session_gone(self, route: Route, at_ms: int) -> None:
        user = self._users.get(route.user_id)
        if user is not None:
            self._set(route.user_id, user, without_session(user.routes, route.session_id))

    def node_gone(self, node_id: int) -> None:
        known = {user_id: user.routes for user_id, user in self._users.items()}
        for user_id, routes in without_nodes(known, (node_id,)):
            self._set(user_id, self._users[user_id], routes)

    def events_missed(self) -> None:
        """All nodes tell all their sessions again."""
        for user_id, user in list(self._users.items()):
            self._set(user_id, user, ())

    def _set(self, user_id: int, user: _User, routes: tuple[Route, ...]) -> None:
        user.routes = routes
        if not routes:
            del self._users[user_id]
            self._end(user)

    def _sweep(self) -> None:
        for user_id, user in list(self._users.items()):
            if self._rates_of(user_id) is not user.rates:
                self._set(user_id, user, ())

    def _share(self, user_id: int, rates: UserRates) -> None:
        rates.text = self._shared(rates.text, f"{user_id}:text")
        rates.media = self._shared(rates.media, f"{user_id}:media")

    def _shared(self, tokens: Tokens | None, key: str) -> Tokens | None:
        if not isinstance(tokens, TokenBucket):
            return tokens
        bucket = SharedBucket(tokens, key, self._spent.append)
        if not tokens.is_full(self._clock.seconds()):
            # What was spent here before.
            self._spent.append(bucket)
        return bucket

    def _end(self, user: _User) -> None:
        rates = user.rates
        rates.text, rates.media = self._alone(rates.text), self._alone(rates.media)

    def _alone(self, tokens: Tokens | None) -> Tokens | None:
        """The whole rate here again, and nobody is told what is spent."""
        if not isinstance(tokens, SharedBucket):
            return tokens
        tokens.ended = True
        if tokens in self._slowed:
            del self._slowed[tokens]
            tokens.set_share(self._clock.seconds(), 1.0)
        return tokens.local
