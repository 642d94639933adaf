"""What a metric is: the row of the catalogue that its name, its labels and its buckets come from."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

#: Roles that export a metric, as ``twistd`` names them.
IM, CORE, BUSINESS, ADMIN = "im", "im-core", "im-business", "im-admin"
EVERY_ROLE = (IM, CORE, BUSINESS, ADMIN)
#: Where clients are connected.
GATEWAYS = (IM, CORE)
#: Where accounts and groups are kept.
AUTHORITIES = (IM, BUSINESS)
#: What is joined by NATS.
CLUSTER = (CORE, BUSINESS, ADMIN)


class Kind(Enum):
    """As Prometheus knows them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Label(NamedTuple):
    """A label and every value that it can have.

    :param values: all of them; empty where they are not known beforehand.
    :param at_most: how many there can be then.
    """

    name: str
    values: tuple[str, ...] = ()
    at_most: int = 0

    @property
    def cardinality(self) -> int:
        return len(self.values) or self.at_most


class Buckets(NamedTuple):
    """Upper bounds of a histogram's buckets, ascending, without +Inf; and why these."""

    bounds: tuple[float, ...]
    reason: str


class Metric(NamedTuple):
    """One row.

    :param name: as it is scraped; of a histogram without _bucket, _sum and _count.
    :param spec: the name in the specification that it answers to, if it has one.
    """

    name: str
    kind: Kind
    help: str
    roles: tuple[str, ...]
    labels: tuple[Label, ...] = ()
    buckets: Buckets | None = None
    spec: str = ""

    @property
    def series(self) -> int:
        """The most lines that one process can have of it."""
        count = 1
        for label in self.labels:
            count *= label.cardinality
        return count if self.buckets is None else count * (len(self.buckets.bounds) + 3)


def counter(name: str, text: str, *labels: Label, roles: tuple[str, ...], spec: str = "") -> Metric:
    return Metric(name, Kind.COUNTER, text, roles, labels, None, spec)


def gauge(name: str, text: str, *labels: Label, roles: tuple[str, ...], spec: str = "") -> Metric:
    return Metric(name, Kind.GAUGE, text, roles, labels, None, spec)


def histogram(
    name: str, text: str, buckets: Buckets, *labels: Label, roles: tuple[str, ...], spec: str = ""
) -> Metric:
    return Metric(name, Kind.HISTOGRAM, text, roles, labels, buckets, spec)
