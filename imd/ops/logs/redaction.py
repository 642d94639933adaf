"""What never stands in a log, whoever writes it: tokens, passwords, hashes, and what people say to each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from google.protobuf.message import Message

#: Shorter ones would be found in words that are none.
MIN_SECRET_LENGTH = 8

_HIDDEN = "[hidden]"
#: A name that says so, before what it names: password=x, "token": "x", {'secret': 'x'}, also inside of a repr.
_NAME = r"\b\w*(?:password|passwd|token|secret|authorization|signature)"
_NAMED = rf"(?i:{_NAME}[\\\"']{{0,2}}=[\\\"']{{0,2}}|{_NAME}[\\\"']{{1,2}}: ?[\\\"']{{0,2}}|password: )"
#: Secrets that can be told by their looks, wherever they stand. A peer may have chosen the text: nothing here may look
#: ahead without a bound from each of many places, or the time grows with the square of the length.
_PATTERNS = re.compile(
    r"eyJ[\w-]{5,1024}\.[\w-]+\.?[\w-]*"  # a JWT; the head of ours has 36
    r"|\$argon2[\w$=,+/]+"
    r"|imo_[0-9a-f]{16,}"  # an operator's token
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?P<bearer>[Bb]earer )\S+"
    r"|(?P<login>://[^\s/:@]*:)[^\s/@]+(?=@)"  # nats://user:password@host
    rf"|(?P<named>{_NAMED})(?!\[hidden\])[^\s&\\\"',;)}}\]]+"
)


class Redaction:
    """Takes secrets out of what is to be written.

    Some are known by their looks; those of the configuration's files are known themselves, so that it does not
    matter in what words they would have stood.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: re.Pattern[str] | None = None
        self.know(secrets)

    def __repr__(self) -> str:
        return "<Redaction>"

    def know(self, secrets: Iterable[str]) -> None:
        """Hide these from now on, instead of those named before."""
        long = sorted({text for text in secrets if len(text) >= MIN_SECRET_LENGTH}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, long))) if long else None

    def text(self, text: str) -> str:
        """What may be written of it."""
        if self._known is not None:
            text = self._known.sub(_HIDDEN, text)
        return _PATTERNS.sub(_replacement, text)


def without_bodies(event: Mapping[str, object]) -> dict[str, object]:
    """A log event whose values are no messages: of those, and of bytes, only kind and size are told."""
    return {name: _described(value) for name, value in event.items()}


def _described(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, Message):
        return f"<{type(value).__name__}, {value.ByteSize()} bytes>"
    return value


def _replacement(found: re.Match[str]) -> str:
    return (found["bearer"] or found["login"] or found["named"] or "") + _HIDDEN
