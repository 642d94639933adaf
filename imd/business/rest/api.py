"""The HTTP side of the API: routing by klein, and one place where every answer is made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from klein import Klein
from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from imd.bus.audit import DONE, MEDIUM, REFUSED, AuditEntry
from imd.business.accounts.authenticate import Authenticate
from imd.business.audit.ports import Audit
from imd.business.operators.ask import BusOperators
from imd.business.rest.operation import NOBODY, Asked, Operation
from imd.business.rest.parameters import is_number_id
from imd.business.rest.problems import Unanswerable, problem_of, status_of
from imd.business.rest.reading import bearer_token, body_of, has_secret_in_query, query_of, refuse_body
from imd.kernel.attempts import Attempts
from imd.kernel.clocks import Clock
from imd.kernel.errors import Forbidden, ImError, InternalError, ServerBusy
from imd.kernel.histogram import Histogram
from imd.kernel.ids import is_id
from imd.ops.logs.refused import log_refused
from imd.ops.metrics.buckets import HISTORY
from imd.ops.operators import Act, Operator, require

_NAME = re.compile(r"\{(\w+)\}")
#: Whatever else it is, klein cannot route it; a name is not judged here.
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{0,255}\Z")
_ENCODER = msgspec.json.Encoder()
_PREFLIGHT_S = 600


class Api(Resource):
    """Mounted at /api; routes the operations below /api/v1. Every answer is JSON, whatever was asked.

    :param operators: who has which operator's token.
    :param audit: has it kept who was refused what.
    :param requests: how many each user may make; what needs no token is limited where it is served.
    :param origins: web pages of other hosts that may call this, exactly as browsers send them.
    """

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        *,
        operations: Sequence[Operation],
        authenticate: Authenticate,
        operators: BusOperators,
        audit: Audit,
        requests: Attempts,
        origins: Sequence[str],
        clock: Clock,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._requests = requests
        self._authenticate = authenticate
        self._operators = operators
        self._audit = audit
        self._origins = frozenset(origins)
        self._clock = clock
        #: Operators, and who would be one, by why.
        self.refused_operators = operators.guesses.refused
        #: By the first digit of their status.
        self.answered = {"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0}
        self.seconds = Histogram(HISTORY.bounds)
        self._running: set[Deferred[bytes]] = set()
        self._stopping = False
        #: What is routed.
        self.operations = operations
        self._router = self._route(operations).resource()

    def _route(self, operations: Sequence[Operation]) -> Klein:
        app = Klein()
        # A redirect would be an answer that is not JSON, and no client needs one.
        app.url_map.merge_slashes = False
        for operation in operations:
            path = "/v1" + _NAME.sub(r"<\1>", operation.path)
            route = app.route(path, methods=[operation.method], endpoint=operation.name, strict_slashes=True)
            route(self._view(operation))
        app.handle_errors(Exception)(self._not_routed)  # type: ignore[arg-type]
        return app

    def _view(self, operation: Operation) -> Any:
        decoder = msgspec.json.Decoder(operation.body) if operation.body is not None else None

        def view(request: Request, **path: str) -> Deferred[bytes]:
            began_s = self._clock.seconds()
            running = Deferred.fromCoroutine(self._answer(operation, decoder, request, path))
            self._running.add(running)
            running.addBoth(self._ended, running, began_s)
            # klein cancels what it gets when the client goes away; what was begun is still finished,
            # or a change could be committed and never announced.
            result: Deferred[bytes] = Deferred()
            running.chainDeferred(result)
            return result

        return view

    def _ended(self, result: bytes, running: Deferred[bytes], began_s: float) -> bytes:
        self._running.discard(running)
        self.seconds.observe(self._clock.seconds() - began_s)
        return result

    async def start(self) -> None:
        """Requests may come as soon as somebody mounts this."""

    async def stop(self) -> None:
        """Take nothing more, and wait for what runs."""
        self._stopping = True
        while self._running:
            ended: Deferred[None] = Deferred()
            next(iter(self._running)).addBoth(_pass_on, ended)
            await ended

    def render(self, request: Request) -> int:
        """What twisted.web calls, for every method and path."""
        self._set_headers(request)
        if has_secret_in_query(request):
            # Should anybody log requests after all, this attribute is what is written.
            request.uri = request.path + b"?redacted"
            refused = Unanswerable(400, "secrets do not belong into a URL: send an Authorization header")
            return self._finish(request, refused)
        if request.method == b"OPTIONS" and request.getHeader(b"access-control-request-method"):
            request.setResponseCode(204)
            request.finish()
            return NOT_DONE_YET
        try:
            b"/".join(request.postpath or ()).decode()
            request.method.decode("ascii")
        except UnicodeDecodeError:
            return self._finish(request, Unanswerable(400, "the URL is not UTF-8"))
        if _HOST.match((request.getHeader(b"host") or b"").decode("latin-1")) is None:
            return self._finish(request, Unanswerable(400, "the Host header cannot be read"))
        try:
            self._router.render(request)
        except HTTPException:
            return self._finish(request, Unanswerable(400, "the Host header cannot be read"))
        return NOT_DONE_YET

    async def _answer(
        self, operation: Operation, decoder: Any, request: Request, path: dict[str, str]
    ) -> bytes:
        asked: Asked | None = None
        try:
            if self._stopping:
                raise ServerBusy("the server is stopping", retry_after_ms=1000)
            asked = await self._read(operation, decoder, request, path)
            answer = await operation.serve(asked)
            if asked.operator is not None and operation.act is Act.CHANGE:
                self._audit.record(_done(operation, asked, asked.operator))
        except ImError as error:
            if asked is not None and isinstance(error, Forbidden) and not error.is_recorded:
                self._audit.record(_refused(operation, asked, error))
            self._tell_refused(operation, asked, error, request)
            return self._problem(request, error)
        except Exception:
            self._log.failure("{name} failed", name=operation.name)
            return self._problem(request, InternalError("the server made a mistake"))
        self._answers_with(request, operation.status)
        return _sized(request, answer)

    async def _read(
        self, operation: Operation, decoder: Any, request: Request, path: dict[str, str]
    ) -> Asked:
        caller, operator = NOBODY, None
        # The peer's own address, or what a proxy of ours says; what others claim is anybody's invention.
        address = _address(request)
        if operation.operator:
            operator = await self._operators.of(bearer_token(request), address)
            self._require(operator, operation, path)
        elif not operation.public:
            caller = await self._authenticate.caller(bearer_token(request))
            self._requests.check(str(caller.user_id))
        query = query_of(request, operation.query_parameters)
        body: Struct | None = None
        if decoder is None:
            refuse_body(request)
        else:
            body = body_of(request, decoder, required=operation.body_required)
        return Asked(caller, body, path, query, address, operator)

    def _require(self, operator: Operator, operation: Operation, path: dict[str, str]) -> None:
        try:
            require(operator, operation.act)
        except Forbidden as error:
            asked = Asked(NOBODY, None, path, {}, "", operator)
            self._audit.record(_refused(operation, asked, error))
            error.is_recorded = True
            raise

    def _tell_refused(
        self, operation: Operation, asked: Asked | None, error: ImError, request: Request
    ) -> None:
        if operation.operator:
            self._operators.guesses.count(error)
        user_id = 0 if asked is None else asked.caller.user_id
        log_refused(self._log, operation.name, error, peer=_address(request), user_id=user_id)

    def _not_routed(self, request: Request, failure: Failure) -> bytes:
        error = failure.value
        if isinstance(error, MethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            request.setHeader(b"allow", allowed.encode())
            return self._problem(request, Unanswerable(405, f"only {allowed} here"))
        if isinstance(error, NotFound):
            return self._problem(request, Unanswerable(404, "there is nothing at this path"))
        if isinstance(error, HTTPException):
            return self._problem(request, Unanswerable(400, "this request cannot be served"))
        self._log.failure("request failed", failure)
        return self._problem(request, InternalError("the server made a mistake"))

    def _problem(self, request: Request, error: ImError) -> bytes:
        self._answers_with(request, status_of(error))
        if status_of(error) == 401:
            request.setHeader(b"www-authenticate", b"Bearer")
        if error.retryable:
            seconds = max(1, -(-error.retry_after_ms // 1000))
            request.setHeader(b"retry-after", str(seconds).encode())
        return _sized(request, problem_of(error))

    def _answers_with(self, request: Request, status: int) -> None:
        request.setResponseCode(status)
        self.answered[f"{status // 100}xx"] += 1

    def _finish(self, request: Request, error: ImError) -> int:
        request.write(self._problem(request, error))
        request.finish()
        return NOT_DONE_YET

    def _set_headers(self, request: Request) -> None:
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-content-type-options", b"nosniff")
        request.setHeader(b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
        request.setHeader(b"referrer-policy", b"no-referrer")
        request.setHeader(b"server", b"imd")
        if not self._origins:
            return
        request.setHeader(b"vary", b"Origin")
        origin = request.getHeader("origin")
        if origin in self._origins:
            request.setHeader(b"access-control-allow-origin", origin.encode())
            request.setHeader(b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE")
            request.setHeader(b"access-control-allow-headers", b"Authorization, Content-Type")
            request.setHeader(b"access-control-expose-headers", b"Retry-After")
            request.setHeader(b"access-control-max-age", str(_PREFLIGHT_S).encode())


def _address(request: Request) -> str:
    return str(getattr(request.getClientAddress(), "host", ""))


def _refused(operation: Operation, asked: Asked, error: Forbidden) -> AuditEntry:
    """Who was refused what."""
    entry = _entry(operation, asked)
    return entry._replace(decision=REFUSED, reason=error.reason or "forbidden")


def _done(operation: Operation, asked: Asked, operator: Operator) -> AuditEntry:
    """Which operator did it; what came of it is told by whoever did it."""
    detail = msgspec.json.encode({"operator": operator.name}).decode()
    return _entry(operation, asked)._replace(action=f"operator.{operation.name}", detail=detail)


def _entry(operation: Operation, asked: Asked) -> AuditEntry:
    """Of a path only what is an id at all."""
    user_id, conversation_id = asked.path.get("userId", ""), asked.path.get("id", "")
    return AuditEntry(
        action=f"rest.{operation.name}",
        decision=DONE,
        actor_id=asked.operator.id if asked.operator is not None else asked.caller.user_id,
        subject_id=int(user_id) if is_number_id(user_id) else 0,
        conversation_id=conversation_id if is_id(conversation_id) else "",
        level=MEDIUM,
    )


def _sized(request: Request, answer: Struct) -> bytes:
    body = _ENCODER.encode(answer)
    request.setHeader(b"content-length", str(len(body)).encode())
    return body


def _pass_on(result: bytes, ended: Deferred[None]) -> bytes:
    ended.callback(None)
    return result
