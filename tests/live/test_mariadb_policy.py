"""What holds of reviews and webhooks in memory holds on MariaDB."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Connection, Engine, select

from imd.business.tables.policy import outbox, outbox_lines
from imd.business.webhooks.model import Event
from imd.business.webhooks.outbox import Outbox
from imd.business.webhooks.sql import SqlEvents
from imd.config.sections import Config
from tests.business.reviews import test_reviews
from tests.business.webhooks import test_webhooks
from tests.business.world import World, WorldCase
from tests.live.mariadb import CONNECTIONS, RacingCase, empty_business

#: A race is won by chance; so often by chance alone is unlikely.
ROUNDS = 10


class OnMariaDb(WorldCase):
    """The same world, its business data elsewhere."""

    def make_world(self, *, config: Config | None = None, core: bool = True) -> World:
        business = empty_business()
        return World(config=config, core=core, connect=lambda: business)


class Hold(OnMariaDb, test_reviews.HoldTests):
    """See there."""


class Decisions(OnMariaDb, test_reviews.DecisionTests):
    """See there."""


class EventsOnMariaDb(test_webhooks.WebhookCase):
    """The same outbox, elsewhere."""

    def connect(self) -> Engine:
        return empty_business()


class Sending(EventsOnMariaDb, test_webhooks.SendingTests):
    """See there."""


class Failures(EventsOnMariaDb, test_webhooks.FailureTests):
    """See there."""


class Nodes(EventsOnMariaDb, test_webhooks.NodeTests):
    """See there."""


class Lines(RacingCase):
    """Nodes that have something to tell in the same line at the same time."""

    def test_one_line(self) -> None:
        """Each event is kept once, and none is in the way of another."""
        box = Outbox(kinds={"user.frozen"})
        events = [Event(f"e{n}", "user:1", "user.frozen", "{}") for n in range(ROUNDS * CONNECTIONS)]
        for start in range(0, len(events), CONNECTIONS):
            some = events[start : start + CONNECTIONS]
            adds = (partial(box.add, events=[event], now_ms=1) for event in some)
            outcomes = self.race(*(self.database.write(add) for add in adds))
            self.assertEqual(outcomes, [None] * CONNECTIONS)
        kept = self.run_(self.database.read(lambda c: set(c.execute(select(outbox.c.event_id)).scalars())))
        lines = self.run_(
            self.database.read(lambda c: list(c.execute(select(outbox_lines.c.order_key)).scalars()))
        )
        self.assertEqual((kept, lines), ({event.event_id for event in events}, ["user:1"]))
        self.assert_no_deadlock()

    def test_claims(self) -> None:
        """Who adds to several lines, and who takes lines over, wait for each other and not in a circle."""
        box = Outbox(kinds={"user.frozen"})
        events = SqlEvents(self.database, outbox=box)
        lines = [f"user:{number:03}" for number in range(50)]
        for number in range(ROUNDS // 2):
            # The longer a line waits, the further behind its key is.
            some = [Event(f"e{number}.{line}", line, "user.frozen", "{}") for line in reversed(lines)]
            self.run_(self.database.write(partial(_one_by_one, box, some)))
            more = ([_another(event, node) for event in some] for node in range(4))
            adds = (self.database.write(partial(box.add, events=each, now_ms=500)) for each in more)
            claims = (events.claim(f"n{node}", 900, until_ms=999, limit=50) for node in range(4))
            outcomes = self.race(*adds, *claims)
            self.assertEqual(outcomes[:4], [None] * 4)
            claimed = [line.order_key for taken in outcomes[4:] for line in taken]
            self.assertEqual(sorted(claimed), lines)
            for node in range(4):
                self.run_(events.release(f"n{node}"))
        self.assert_no_deadlock()


def _another(event: Event, number: int) -> Event:
    """In the same line."""
    return event._replace(event_id=f"{event.event_id}.{number}")


def _one_by_one(box: Outbox, events: list[Event], connection: Connection) -> None:
    for now_ms, event in enumerate(events):
        box.add(connection, [event], now_ms)
