"""The HTTP port's manners: no access log, and no request that drips in for ever."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.web.http import HTTPChannel, Request
from twisted.web.server import Site

#: What was written to a connection that is closed for being slow has so long to leave.
LINGER_S = 5.0


class SteadyChannel(HTTPChannel):
    """A whole request within the site's timeout, from the end of the one before; each byte used to grant another."""

    _abortingCall: IDelayedCall | None

    def resetTimeout(self) -> None:
        """The clock runs on, whatever comes."""

    def timeoutConnection(self) -> None:
        """As Twisted does it, without a line in the log for every slow peer."""
        self._abortingCall = self.callLater(LINGER_S, self.forceAbortClient)  # type: ignore[no-untyped-call]
        self.loseConnection()  # type: ignore[no-untyped-call]

    def forceAbortClient(self) -> None:
        """It did not take in time what was written."""
        self._abortingCall = None
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()


class SteadySite(Site):
    """A site whose requests leave no line in the log: paths can hold what is nobody's business."""

    protocol = SteadyChannel  # type: ignore[assignment]

    def log(self, request: Request) -> None:
        """Nothing is written; a proxy in front has an access log."""
