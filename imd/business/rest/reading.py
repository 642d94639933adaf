"""What a request may look like: token, query, body, each refused with a reason that names it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from twisted.web.http import Request as HttpRequest

from imd.business.rest.operation import Parameter
from imd.business.rest.problems import Unanswerable
from imd.kernel.errors import AuthFailed, PayloadInvalid

MAX_BODY_BYTES = 64 * 1024
#: Operators name 10,000 people at once, each with up to 23 bytes.
MAX_OPERATOR_BODY_BYTES = 256 * 1024
OPERATOR_PATH = b"/api/v1/operator/"
MAX_DEPTH = 32

_SECRET_PARAMETERS = frozenset({"token", "access_token", "authorization", "password"})
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')
_FIELD = re.compile(r"`\$\.?([^`]*)`\Z")
_NAMED = re.compile(r"(?:unknown|required) field `([^`]*)`")


def bearer_token(request: HttpRequest) -> str:
    """The token in the one Authorization header; the only place where one is taken from."""
    values = request.requestHeaders.getRawHeaders(b"authorization") or []
    if len(values) != 1:
        raise AuthFailed("send the header Authorization: Bearer <token>")
    scheme, _, token = values[0].partition(b" ")
    if scheme.lower() != b"bearer":
        raise AuthFailed("send the header Authorization: Bearer <token>")
    return token.strip().decode("latin-1")


def query_of(request: HttpRequest, parameters: tuple[Parameter, ...]) -> dict[str, str]:
    """The query, each name at most once and every one of them known."""
    raw = request.uri.partition(b"?")[2]
    if not raw:
        return {}
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=16,
                          errors="strict")  # fmt: skip
    except ValueError:
        raise Unanswerable(400, "the query cannot be read") from None
    known = {parameter.name for parameter in parameters}
    query: dict[str, str] = {}
    for name, value in pairs:
        if name.lower() in _SECRET_PARAMETERS:
            raise Unanswerable(400, "secrets do not belong into a URL: send an Authorization header")
        if name not in known or name in query:
            raise Unanswerable(400, "unknown or repeated query parameter", field=name[:64])
        query[name] = value
    return query


def has_secret_in_query(request: HttpRequest) -> bool:
    """Whether the URL holds what must not be logged."""
    query = request.uri.partition(b"?")[2].lower()
    return any(name.encode() + b"=" in query for name in _SECRET_PARAMETERS)


def body_of(request: HttpRequest, decoder: msgspec.json.Decoder[Any], *, required: bool) -> Any:
    """The body as its struct; None if there is none and none is needed."""
    content = request.content
    most = max_body_bytes(request.uri)
    if content is None:
        raise Unanswerable(413, f"the body is over {most} bytes")
    body = content.read(most + 1)
    if len(body) > most:
        raise Unanswerable(413, f"the body is over {most} bytes")
    if not body and not required:
        return None
    media_type = (request.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower()
    if media_type != b"application/json":
        raise Unanswerable(415, "the body must be application/json")
    _refuse_depth(body)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        message = str(error)
        raise PayloadInvalid(message[:300], field=_field_of(message)) from None
    except (ValueError, RecursionError):
        raise PayloadInvalid("the body is not JSON in UTF-8") from None


def max_body_bytes(uri: bytes) -> int:
    """How long a body may be that is sent here."""
    return MAX_OPERATOR_BODY_BYTES if uri.startswith(OPERATOR_PATH) else MAX_BODY_BYTES


def refuse_body(request: HttpRequest) -> None:
    """For operations that take none."""
    if request.content is not None and request.content.read(1):
        raise Unanswerable(400, "this operation takes no body")


def _refuse_depth(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _BRACKETS.finditer(body):
        first = body[token.start()]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise PayloadInvalid(f"the body is nested deeper than {MAX_DEPTH}")
        elif first in b"]}":
            depth -= 1


def _field_of(message: str) -> str:
    """The dotted path that a decoder's message blames."""
    place = _FIELD.search(message)
    path = place.group(1) if place is not None else ""
    named = _NAMED.search(message)
    if named is not None:
        path = f"{path}.{named.group(1)}" if path else named.group(1)
    return path[:128]
