"""What holds of reviews and webhooks in memory holds on MariaDB."""

from __future__ import annotations

from sqlalchemy import Engine

from imd.config.sections import Config
from tests.business.reviews import test_reviews
from tests.business.webhooks import test_webhooks
from tests.business.world import World, WorldCase
from tests.live.mariadb import empty_business


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
