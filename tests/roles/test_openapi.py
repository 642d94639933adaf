"""The OpenAPI document without a server."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.roles.openapi import document
from tests.business.world import World


class OpenApiTests(SynchronousTestCase):
    """``python -m imd.roles.openapi``."""

    def test_as_served(self) -> None:
        """It is what a running server answers."""
        self.assertEqual(World().call("GET", "/openapi.json").json, document())
