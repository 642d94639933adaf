"""Names and titles: one line that shows what it holds."""

from __future__ import annotations

import unicodedata

from imd.kernel.errors import PayloadInvalid

#: These turn the direction of all that follows, in lists where other names stand beside.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSEEN = ("Cc", "Cn", "Cs", "Zl", "Zp")


def check_line(text: str, *, max_length: int, field: str) -> str:
    """The text composed and trimmed, maybe empty.

    :raises PayloadInvalid: it is too long, or holds what breaks lines or turns their direction.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if len(text) > max_length:
        raise PayloadInvalid(f"{field} must be at most {max_length} characters", field=field)
    if any(char in _TURNING or unicodedata.category(char) in _UNSEEN for char in text):
        raise PayloadInvalid(f"{field} must not hold control characters", field=field)
    return text


def check_lines(text: str, *, max_length: int, field: str) -> str:
    """The text composed and trimmed, maybe empty; it may have line breaks.

    :raises PayloadInvalid: it is too long, or holds what turns its direction or is not seen.
    """
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n")).strip()
    if len(text) > max_length:
        raise PayloadInvalid(f"{field} must be at most {max_length} characters", field=field)
    for line in text.split("\n"):
        check_line(line, max_length=max_length, field=field)
    return text
