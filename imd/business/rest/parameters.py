"""What stands in paths and queries, checked before anything is asked with it."""

from __future__ import annotations

from imd.business.rest.operation import Asked, Parameter
from imd.kernel.errors import PayloadInvalid

MAX_ID = (1 << 63) - 1

USER_ID = Parameter("userId", {"type": "string"}, "A user's id.")
AFTER_ID = Parameter("after", {"type": "string"}, "The page's ``next`` of the page before.")


def limit_parameter(most: int) -> Parameter:
    """At most so many on a page."""
    return Parameter("limit", {"type": "integer", "minimum": 1, "maximum": most}, "At most so many.")


def is_number_id(text: str) -> bool:
    """Whether this may be one of our 64-bit ids."""
    # isdigit alone would take other scripts' digits, and int() far longer numbers than an id has.
    return text.isascii() and text.isdigit() and len(text) <= 19 and 0 < int(text) <= MAX_ID


def number_id(text: str, field: str) -> int:
    """One of our 64-bit ids.

    :raises PayloadInvalid: it is none.
    """
    if not is_number_id(text):
        raise PayloadInvalid(f"{field} is no id", field=field)
    return int(text)


def user_id_of(asked: Asked) -> int:
    """The user that the path names."""
    return number_id(asked.path["userId"], "userId")


def after_id(asked: Asked) -> int:
    """Where a page of people begins."""
    text = asked.query.get("after", "")
    return number_id(text, "after") if text else 0


def limit_of(asked: Asked, most: int) -> int:
    """How many a page may hold."""
    text = asked.query.get("limit", str(most))
    if not (text.isascii() and text.isdigit() and len(text) <= 4) or not 1 <= int(text) <= most:
        raise PayloadInvalid(f"limit must be 1 to {most}", field="limit")
    return int(text)
