"""Which gateways a client is sent to: a pure rule over what the nodes reported of themselves.

Left out is who is not ready, takes nobody new (weight 0), is full or overloaded, or is kept for clients of
other version labels. Of the rest, those in the client's zone come first, and within a zone each gets clients
in proportion to its score::

    score = free share of its connections x (1 - load) x weight

The share comes from weighted rendezvous hashing: hash(caller, gateway) gives a number from 0 to 1, and
-ln(that) / score is the gateway's place, the smallest first. The same caller comes to the same answer while
the scores stay alike; callers spread; and a node that has just started is not overrun by everybody
at once, as it would be if the best score always came first.

A gray release is weights and labels: nodes with the label "2.1" and weight 10 beside unlabelled ones of weight 90
take a tenth of the clients that say they are "2.1", and nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from math import log
from typing import NamedTuple

#: The best, and where to go if it cannot be reached.
MAX_ANSWERS = 3
#: From here on latency suffers, and one more client makes it worse for all that are there.
MAX_LOAD = 0.95
#: The last connections of a node are for clients that were sent there a moment ago.
MIN_FREE_SHARE = 0.02


class Gateway(NamedTuple):
    """A node as it reported itself; the addresses are URLs, or empty."""

    zone: str
    ready: bool
    connections: int
    max_connections: int
    load: float
    tcp: str
    tls: str
    ws: str
    version_labels: frozenset[str]
    weight: int

    @property
    def addresses(self) -> tuple[str, str, str]:
        return self.tcp, self.tls, self.ws

    @property
    def free_share(self) -> float:
        """Of its connections, 0 to 1."""
        if self.max_connections <= 0:
            return 0.0
        return max(0.0, 1 - self.connections / self.max_connections)

    @property
    def score(self) -> float:
        """0 or less: takes nobody now."""
        if not self.ready or self.load >= MAX_LOAD or self.free_share < MIN_FREE_SHARE:
            return 0.0
        return self.free_share * (1 - max(0.0, self.load)) * self.weight

    def takes(self, version: str) -> bool:
        """Whether clients of this version label are sent here."""
        return not self.version_labels or version in self.version_labels


def rank(gateways: Iterable[Gateway], *, caller: str, zone: str = "", version: str = "") -> list[Gateway]:
    """At most ``MAX_ANSWERS`` gateways for this caller, the best first."""
    fit = [each for each in _by_address(gateways) if each.score > 0 and each.takes(version)]
    fit.sort(key=lambda each: (bool(zone) and each.zone != zone, _place(caller, each)))
    return fit[:MAX_ANSWERS]


def _place(caller: str, gateway: Gateway) -> float:
    digest = blake2b("\0".join((caller, *gateway.addresses)).encode(), digest_size=8).digest()
    share = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
    return -log(share) / gateway.score


def _by_address(gateways: Iterable[Gateway]) -> list[Gateway]:
    """Workers that share a port are one gateway: nobody can choose among them."""
    found: dict[tuple[str, str, str], Gateway] = {}
    counts: dict[tuple[str, str, str], int] = {}
    for one in gateways:
        if not one.ready or not any(one.addresses):
            continue
        before = found.get(one.addresses)
        count = counts[one.addresses] = counts.get(one.addresses, 0) + 1
        if before is not None:
            one = one._replace(
                connections=before.connections + one.connections,
                max_connections=before.max_connections + one.max_connections,
                load=before.load + (one.load - before.load) / count,
                weight=before.weight + one.weight,
            )
        found[one.addresses] = one
    return list(found.values())
