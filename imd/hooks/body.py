"""Bytes as a request's body."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer


@implementer(IBodyProducer)
class Body:
    """Written at one go: it is short, and in memory anyway."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.length = len(content)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._content)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Everything was handed over."""

    def resumeProducing(self) -> None:
        """There is nothing left."""

    def stopProducing(self) -> None:
        """There is nothing to stop."""
