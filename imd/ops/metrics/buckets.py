"""The buckets of all histograms, and why these: a threshold that somebody acts on is a bound, so that no quantile
near it is a guess."""

from __future__ import annotations

from imd.ops.metrics.model import Buckets

LAG = Buckets(
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    "from the coalescing of writes (2 ms) to a pause that makes leases run out",
)
WRITE = Buckets(
    (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    "from an fsync of a good disk to the time-out of the stores (5 s)",
)
ACK = Buckets(
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
    "from a commit to the retries of spec 23.2 (1 s, 3 s, 5 s), with the 200 ms of spec 7.4 between",
)
QUESTION = Buckets(
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0),
    "100 ms and 300 ms are the states of the permission channel (spec 23.1), 2 s the bus's time-out (spec 24.1)",
)
CACHE = Buckets(
    (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1),
    "Redis answers within 1 ms or a key is hot (spec 24.2), and is not waited for after 50 ms",
)
HISTORY = Buckets(
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    "1 s is the time-out of a question for history (spec 24.1), 5 s that of the store",
)
FANOUT = Buckets(
    (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0),
    "above 200 ms a conversation is hinted (spec 7.4); everything else waits meanwhile",
)
EVENT = Buckets(
    (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 30.0),
    "500 ms is the threshold of spec 3.5, 30 s the shortest wait for an acknowledgement",
)
OUTSIDE = Buckets(
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
    "another program's HTTP: the longest deadline that can be set is 30 s",
)
FAILOVER = Buckets(
    (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0),
    "routes converge within 500 ms in one region (spec 24.3); three missed heartbeats are 15 s (spec 7.5)",
)
BATCH = Buckets(
    (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 150.0, 200.0),
    "a commit takes 200 at most (spec 7.4); most are alone at low load",
)
