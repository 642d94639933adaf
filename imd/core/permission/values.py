"""Every number and switch of the degraded path, in one record that is replaced whole while the server runs."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from typing import NamedTuple


class Level(IntEnum):
    """How the authority answers now (spec 23.1); a column of the matrix each."""

    NORMAL = 0
    DEGRADED = 1
    TIMED_OUT = 2


class ConversationKind(Enum):
    """Rows of the matrix, first half."""

    P2P = "p2p"
    GROUP = "group"
    #: Large, managed, public and official groups, and those that an operator marked.
    SENSITIVE = "sensitive"
    #: What the server itself writes, wherever.
    SYSTEM = "system"


class MessageKind(Enum):
    """Rows of the matrix, second half."""

    TEXT = "text"
    MEDIA = "media"
    CONTROL = "control"


class Decision(Enum):
    """What a cell of the matrix says."""

    #: Ask; what the authority says is done.
    CHECK = "check"
    #: By what was known last, without waiting; audited. Ask if nothing was.
    CACHE = "cache"
    #: Ask, also where something was known.
    STRICT = "strict"
    #: By what was known last; audited.
    RELEASE = "release"
    REFUSE = "refuse"


class AuditLevel(IntEnum):
    """How much an audit event matters (spec 23.1)."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


class Row(NamedTuple):
    """One row of the matrix: what is done in each ``Level``, and how loudly it is told."""

    normal: Decision
    degraded: Decision
    timed_out: Decision
    audit: AuditLevel


Matrix = Mapping[tuple[ConversationKind, MessageKind], Row]

_K, _M, _D, _A = ConversationKind, MessageKind, Decision, AuditLevel

#: The table of spec 23.1, line by line.
MATRIX: Matrix = {
    (_K.P2P, _M.TEXT): Row(_D.CHECK, _D.CACHE, _D.RELEASE, _A.LOW),
    (_K.P2P, _M.MEDIA): Row(_D.CHECK, _D.CACHE, _D.RELEASE, _A.MEDIUM),
    (_K.P2P, _M.CONTROL): Row(_D.CHECK, _D.CACHE, _D.REFUSE, _A.LOW),
    (_K.GROUP, _M.TEXT): Row(_D.CHECK, _D.CACHE, _D.RELEASE, _A.MEDIUM),
    (_K.GROUP, _M.MEDIA): Row(_D.CHECK, _D.CACHE, _D.REFUSE, _A.HIGH),
    (_K.GROUP, _M.CONTROL): Row(_D.CHECK, _D.CACHE, _D.REFUSE, _A.MEDIUM),
    (_K.SENSITIVE, _M.TEXT): Row(_D.CHECK, _D.STRICT, _D.REFUSE, _A.HIGH),
    (_K.SENSITIVE, _M.MEDIA): Row(_D.CHECK, _D.STRICT, _D.REFUSE, _A.HIGH),
    (_K.SENSITIVE, _M.CONTROL): Row(_D.CHECK, _D.STRICT, _D.REFUSE, _A.HIGH),
    (_K.SYSTEM, _M.TEXT): Row(_D.CHECK, _D.STRICT, _D.RELEASE, _A.HIGH),
    (_K.SYSTEM, _M.MEDIA): Row(_D.CHECK, _D.STRICT, _D.RELEASE, _A.HIGH),
    (_K.SYSTEM, _M.CONTROL): Row(_D.CHECK, _D.STRICT, _D.RELEASE, _A.HIGH),
}


class ChannelValues(NamedTuple):
    """When the authority counts as slow or gone, and when it is asked again."""

    #: Mean time of an answer, above which the channel is degraded, and timed out; nobody waits longer
    #: than the second for one answer.
    degraded_above_s: float = 0.1
    timed_out_above_s: float = 0.3
    #: Share of failed questions above which it is degraded, and timed out.
    degraded_share: float = 0.01
    timed_out_share: float = 0.05
    #: Both are judged over so many seconds, the shares from so many questions on.
    span_s: float = 10.0
    min_questions: int = 20
    #: More time-outs in a row, or more than this share of failures for so long, and nothing is asked any more.
    open_after_failures: int = 3
    open_share: float = 0.05
    open_share_s: float = 60.0
    #: Then some questions are tried, so many a second.
    half_open_after_s: float = 60.0
    probes_per_s: float = 10.0
    #: Asked as before once so many of these have succeeded for so long.
    close_share: float = 0.95
    close_after_s: float = 120.0
    #: More failures for so long are for a person to look at.
    alert_share: float = 0.1
    alert_after_s: float = 300.0


class Deadlines(NamedTuple):
    """How long a message waits for the authority, by scene."""

    large_s: float = 0.1
    managed_s: float = 0.15
    public_s: float = 0.2
    ordinary_s: float = 0.3
    #: A group is large above so many members.
    large_members: int = 1000


class Throttle(NamedTuple):
    """Above ``share`` of failed questions a conversation gets ``rate`` of what it may otherwise send."""

    share: float
    rate: float


class Gray(NamedTuple):
    """Who the release is switched on for; to everybody else the degraded path says no."""

    #: Of ``Scene``, by name.
    scenes: frozenset[str] = frozenset({"p2p", "ordinary", "managed", "public", "large", "system"})
    #: Only of users of this level and above.
    min_level: int = 0
    #: Of all users, by a hash of their ids: always the same ones.
    users_percent: float = 100.0


class PolicyValues(NamedTuple):
    """All of it. ``version`` is that of the settings that said so; 0: the node's own file."""

    version: int = 0
    channel: ChannelValues = ChannelValues()
    deadlines: Deadlines = Deadlines()
    matrix: Matrix = MATRIX
    gray: Gray = Gray()
    #: Decide and record, enforce nothing: a message that nobody judged is told to come again.
    shadow: bool = False
    sensitive_throttle: Throttle = Throttle(0.03, 0.5)
    ordinary_throttle: Throttle = Throttle(0.05, 0.8)
