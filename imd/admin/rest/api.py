"""/api/v1 of im-admin: routing, tokens and roles, and one place where every answer is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from imd.admin.operators.known import KnownOperators
from imd.admin.rest.route import Asked, Route
from imd.bus.audit import MEDIUM, REFUSED, AuditEntry, AuditLog
from imd.kernel.errors import Code, Forbidden, ImError, PayloadInvalid
from imd.ops.logs.refused import log_refused
from imd.ops.operator_guesses import OperatorGuesses
from imd.ops.operators import Operator, require

#: Two documents and a thousand users.
MAX_BODY_BYTES = 48 * 1024

_STATUS = {
    Code.PAYLOAD_INVALID: 400,
    Code.AUTH_FAILED: 401,
    Code.FORBIDDEN: 403,
    Code.IDEMPOTENT_CONFLICT: 409,
    Code.RATE_LIMITED: 429,
    Code.SERVER_BUSY: 503,
}


class _Unroutable(PayloadInvalid):
    """Nothing is here, or not by this method."""

    def __init__(self, status: int, message: str, allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.allowed = allowed


class AdminApi(Resource):
    """Mounted at /api.

    :param guesses: count who was refused.
    """

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        *,
        routes: Sequence[Route],
        operators: KnownOperators,
        guesses: OperatorGuesses,
        audit: AuditLog,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._routes = list(routes)
        self._operators = operators
        self._guesses = guesses
        self._audit = audit

    def serves(self, request: Request) -> bool:
        """Whether a path is one of these, by its first segments."""
        segments = _segments(request)
        return segments[:1] == ["v1"] and segments[1:2] in [list(route.path[:1]) for route in self._routes]

    def render(self, request: Request) -> int:
        gone: list[object] = []
        request.notifyFinish().addBoth(gone.append)

        def done(result: tuple[int, Any] | Failure) -> None:
            if not gone:
                _write(request, *self._told(request, result))

        Deferred.fromCoroutine(self._answer(request)).addBoth(done)
        return NOT_DONE_YET

    async def _answer(self, request: Request) -> tuple[int, Any]:
        # Who has no right to ask learns nothing of what there is.
        operator = await self._operators.of(_bearer(request), _address(request))
        route, names = self._route(request)
        try:
            require(operator, route.act)
        except Forbidden:
            self._audit.record(_refused(operator, route))
            raise
        asked = Asked(
            operator,
            names,
            query=_query(request),
            body=_body(request),
            if_match=request.getHeader("if-match") or "",
        )
        return route.status, await route.serve(asked)

    def _route(self, request: Request) -> tuple[Route, tuple[str, ...]]:
        segments = _segments(request)
        allowed: list[str] = []
        for route in self._routes:
            names = _names(("v1", *route.path), segments)
            if names is not None:
                if route.method == request.method.decode("latin-1"):
                    return route, names
                allowed.append(route.method)
        if allowed:
            raise _Unroutable(405, f"only {', '.join(allowed)} here", allowed)
        raise _Unroutable(404, "there is nothing at this path")

    def _told(self, request: Request, result: tuple[int, Any] | Failure) -> tuple[int, Any]:
        if not isinstance(result, Failure):
            return result
        error = result.value
        if not isinstance(error, ImError):
            self._log.failure("an operator could not be answered", result)
            return 500, {"error": {"code": Code.INTERNAL_ERROR, "message": "see the server's log"}}
        self._guesses.count(error)
        # Neither method nor path: there are as many as somebody invents, each with a sample of its own.
        log_refused(self._log, "an operator's request", error, peer=_address(request))
        told: dict[str, Any] = {"code": error.code, "message": error.message, "field": error.field}
        reasons = getattr(error, "reasons", None)
        if reasons is not None:
            told["reasons"] = reasons
        status = _STATUS.get(error.code, 500)
        if isinstance(error, _Unroutable):
            status = error.status
            if error.allowed:
                request.setHeader(b"allow", ", ".join(error.allowed).encode())
        elif status == 401:
            request.setHeader(b"www-authenticate", b"Bearer")
        elif error.retryable:
            request.setHeader(b"retry-after", str(max(1, -(-error.retry_after_ms // 1000))).encode())
        return status, {"error": told}


def _address(request: Request) -> str:
    return str(getattr(request.getClientAddress(), "host", ""))


def _refused(operator: Operator, route: Route) -> AuditEntry:
    detail = {"operator": operator.name, "wanted": f"{route.method} {'/'.join(route.path)}"}
    return AuditEntry(
        f"{route.path[0]}.{route.act.name.lower()}",
        REFUSED,
        "role",
        actor_id=operator.id,
        level=MEDIUM,
        detail=msgspec.json.encode(detail).decode(),
    )


def _segments(request: Request) -> list[str]:
    postpath: list[bytes] = getattr(request, "postpath", None) or []
    return [segment.decode("latin-1") for segment in postpath]


def _names(pattern: tuple[str, ...], segments: Sequence[str]) -> tuple[str, ...] | None:
    """What stands for each ``*``; None: it is another path."""
    if len(pattern) != len(segments):
        return None
    pairs = list(zip(pattern, segments, strict=True))
    if any(wanted not in ("*", segment) for wanted, segment in pairs):
        return None
    return tuple(segment for wanted, segment in pairs if wanted == "*")


def _query(request: Request) -> dict[str, str]:
    return {
        name.decode("latin-1"): values[-1].decode("latin-1") for name, values in (request.args or {}).items()
    }


def _body(request: Request) -> bytes:
    body = request.content.read(MAX_BODY_BYTES + 1) if request.content is not None else b""
    if len(body) > MAX_BODY_BYTES:
        raise PayloadInvalid(f"the body is over {MAX_BODY_BYTES} bytes")
    return body


def _bearer(request: Request) -> str:
    values = request.requestHeaders.getRawHeaders(b"authorization") or []
    scheme, _, token = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
    return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""


def _write(request: Request, status: int, body: Any) -> None:
    written = msgspec.json.encode(body) + b"\n"
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", str(len(written)).encode())
    request.setHeader(b"cache-control", b"no-store")
    request.setHeader(b"x-content-type-options", b"nosniff")
    if isinstance(body, dict) and "version" in body and "settings" in body:
        request.setHeader(b"etag", f'"{body["version"]}"'.encode())
    request.write(written)
    request.finish()
