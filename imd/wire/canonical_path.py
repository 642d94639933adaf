"""Whether the path of a request has one meaning only: what a proxy in front read is then what is served here.

A proxy that keeps paths from outside compares them as they are written, and we serve what they decode to. Were both
forms taken, ``/api/v1/%73ettings`` would pass where ``/api/v1/settings`` does not. So of all paths that mean the same one
alone is taken: RFC 3986, 6.2.2, without a look-up of what is behind it.
"""

from __future__ import annotations

import re

_ENCODED = re.compile(rb"%(..?)?", re.DOTALL)
_HEX = re.compile(rb"[0-9A-Fa-f]{2}\Z")
#: What needs no encoding anywhere (2.3).
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
#: What may stand in a segment as it is (3.3), and what stands between them.
_RAW = frozenset(b"!$&'()*+,;=:@%/") | _UNRESERVED
#: Ends a segment, for one reader or another.
_SEPARATORS = frozenset(b"/\\")
_DELETE = 0x7F


def fault_of(path: bytes) -> str:
    """What is wrong with a path as it came, without its query; empty: nothing. It says nothing of what is asked for.

    Of an id or a handle within a path everything may be encoded that has to be: ``%20``, ``%24``, ``%C3%A9``.
    """
    if not path.startswith(b"/"):
        return "it does not begin with a slash"
    if not _RAW.issuperset(path):
        return "it holds a character that must be percent-encoded"
    for encoded in _ENCODED.finditer(path):
        wrong = _fault_of_encoded(encoded[1] or b"")
        if wrong:
            return wrong
    if b"//" in path:
        return "it holds a double slash"
    if {b".", b".."}.intersection(path.split(b"/")):
        return "it holds . or .. as a segment"
    return ""


def _fault_of_encoded(digits: bytes) -> str:
    if not _HEX.match(digits):
        return "it holds a % that two hexadecimal digits do not follow"
    byte, written = int(digits, 16), f"%{digits.decode()}"
    if byte in _UNRESERVED:
        return f"it holds {written}, which has to be written {chr(byte)}"
    if byte in _SEPARATORS or byte < ord(" ") or byte == _DELETE:
        return f"it holds {written}, and nothing here has a slash or a control character in its name"
    return ""
