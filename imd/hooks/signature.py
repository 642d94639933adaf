"""Signatures of what is POSTed: HMAC-SHA256 over ``timestamp.body``, so that old calls cannot be played again."""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from hmac import new as hmac

#: Seconds since 1970, decimal.
TIMESTAMP_HEADER = "X-Imd-Timestamp"
#: ``v1=`` and 64 hexadecimal digits. Another scheme would get another name, beside this one.
SIGNATURE_HEADER = "X-Imd-Signature"
_SCHEME = "v1="


def signature(secret: bytes, timestamp_s: int, body: bytes) -> str:
    """The value of ``SIGNATURE_HEADER``."""
    return _SCHEME + hmac(secret, b"%d.%s" % (timestamp_s, body), sha256).hexdigest()


def signed_headers(secret: bytes, timestamp_s: int, body: bytes) -> dict[str, str]:
    """What goes along with this body."""
    return {
        TIMESTAMP_HEADER: str(timestamp_s),
        SIGNATURE_HEADER: signature(secret, timestamp_s, body),
    }


def is_signed(secret: bytes, timestamp: str, given: str, body: bytes) -> bool:
    """What a receiver checks, beside that the timestamp is not older than five minutes."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    return compare_digest(signature(secret, int(timestamp), body).encode(), given.encode())
