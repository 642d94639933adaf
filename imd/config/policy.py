"""Sections of content policy: what may be said, and who hears of what was said."""

from __future__ import annotations

from msgspec import field

from imd.config.section import Section

#: What a check's failure may mean.
FAILURE_MODES = ("open", "closed", "quarantine")
#: What webhooks may tell of.
EVENTS = ("message.stored", "message.recalled", "system.stored", "review.held", "review.decided")


class Content(Section, frozen=True):
    """What is judged before a message is taken in (docs/content.rst). Nothing is, unless something stands here."""

    word_files: list[str] = field(default_factory=list)
    """Word lists in UTF-8, a line each: a word, a tab, and replace, refuse, review or allow. Read again when they
    change; a wrong line is told, and the lists as they were stay in force."""
    words: list[str] = field(default_factory=list)
    """Further lines of the same form, for a few words that have to work at once: settings change them at run time."""
    word_poll_s: float = 5.0
    """How often the files are looked at."""
    hook_url: str = ""
    """A server of yours that is asked about each text and media message, by a signed POST."""
    hook_secret_file: str = ""
    """Signs what is sent there (HMAC-SHA256): 32 bytes or more, mode 0600."""
    hook_deadline_ms: float = 500.0
    """For the whole call; a message waits no longer."""
    hook_on_failure: str = "open"
    """Without a verdict in time messages go through (open), are refused for now (closed), or are held for review
    (quarantine)."""
    hook_connections: int = 32
    """Calls at a time, on this node."""
    hook_allow_link_local: bool = False
    """Permit a hook at a link-local address, or at that of a cloud's metadata service."""


class CoreWebhook(Section, frozen=True):
    """Telling your own server what was stored; [webhook] of im-business says where it is."""

    enabled: bool = False
    """Hand each stored message to im-business. The same on all nodes."""


class BusinessWebhook(Section, frozen=True):
    """Telling a server of yours what happened, by signed POSTs, in order and until it has taken them
    (docs/content.rst). For messages, [webhook] enabled of im-core has to be true as well."""

    url: str = ""
    """Where events go. Empty: nowhere, and none are kept."""
    secret_file: str = ""
    """Signs events (HMAC-SHA256): 32 bytes or more, mode 0600; the same on all nodes."""
    events: list[str] = field(default_factory=lambda: list(EVENTS))
    """What is told."""
    timeout_s: float = 10.0
    """Of one POST."""
    max_tries: int = 12
    """Then an event is put aside as dead, and those behind it in its conversation go on; 12 tries take about two
    hours."""
    connections: int = 16
    """POSTs at a time, on this node; those of one conversation go one by one."""
    allow_link_local: bool = False
    """Permit a url at a link-local address, or at that of a cloud's metadata service."""


class Webhook(BusinessWebhook, frozen=True):
    """Telling a server of yours what happened, by signed POSTs, in order and until it has taken them
    (docs/content.rst)."""

    @property
    def enabled(self) -> bool:
        """As of ``CoreWebhook``."""
        return bool(self.url)
