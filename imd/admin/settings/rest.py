"""GET and PUT /api/v1/settings, for operators.

::

    token=$(cat im-admin.token)
    curl -H "Authorization: Bearer $token" http://127.0.0.1:7795/api/v1/settings
    curl -X PUT -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \\
        -d '{"basedOn": 0, "comment": "a sale", "settings": {"limits": {"user_burst": 60}}}' \\
        http://127.0.0.1:7795/api/v1/settings
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from imd.admin.settings.model import MAX_COMMENT, MAX_DOCUMENT_BYTES, Settings, problems
from imd.admin.settings.publish import PublishSettings
from imd.kernel.errors import Code, ImError, PayloadInvalid

_STATUS = {
    Code.PAYLOAD_INVALID: 400,
    Code.AUTH_FAILED: 401,
    Code.FORBIDDEN: 403,
    Code.IDEMPOTENT_CONFLICT: 409,
    Code.RATE_LIMITED: 429,
    Code.SERVER_BUSY: 503,
}


class Change(Struct, forbid_unknown_fields=True):
    """The body of a PUT."""

    #: The version that was looked at; another one may have come in between.
    basedOn: Annotated[int, Meta(ge=0)]
    settings: Any
    comment: Annotated[str, Meta(max_length=MAX_COMMENT)] = ""


class Refused(PayloadInvalid):
    """A document that cannot be published, with every reason."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__(reasons[0])
        self.reasons = reasons


class SettingsResource(Resource):
    """``/api/v1/settings``."""

    isLeaf = True
    _log = Logger()

    def __init__(self, *, publish: PublishSettings, is_right: Callable[[str], bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._publish = publish
        self._is_right = is_right

    def render_GET(self, request: Request) -> int:
        return self._answer_later(request, self._get)

    def render_PUT(self, request: Request) -> int:
        return self._answer_later(request, self._put)

    async def _get(self, _: Request) -> dict[str, Any]:
        return self._shown(await self._publish.current())

    async def _put(self, request: Request) -> dict[str, Any]:
        body = request.content.read(MAX_DOCUMENT_BYTES + 1) if request.content is not None else b""
        if len(body) > MAX_DOCUMENT_BYTES:
            raise PayloadInvalid(f"the body is over {MAX_DOCUMENT_BYTES} bytes")
        try:
            change = msgspec.json.decode(body, type=Change)
        except (ValueError, RecursionError) as error:
            raise PayloadInvalid(f"the body: {str(error)[:200]}") from None
        if reasons := problems(change.settings):
            raise Refused(reasons)
        return self._shown(
            await self._publish.change(change.settings, based_on=change.basedOn, comment=change.comment)
        )

    def _shown(self, settings: Settings) -> dict[str, Any]:
        return {
            "version": settings.version,
            "settings": settings.document,
            "comment": settings.comment,
            "changedAt": settings.changed_at_ms,
            "published": self._publish.is_published,
        }

    def _answer_later(
        self, request: Request, answer: Callable[[Request], Coroutine[Deferred[Any], Any, dict[str, Any]]]
    ) -> int:
        gone: list[object] = []
        request.notifyFinish().addBoth(gone.append)
        if not self._is_right(_bearer(request)):
            request.setHeader(b"www-authenticate", b"Bearer")
            _write(
                request,
                401,
                {
                    "error": {
                        "code": Code.AUTH_FAILED,
                        "message": "send the token of bootstrap_token_file as Authorization: Bearer",
                    }
                },
            )
            return NOT_DONE_YET
        answering = Deferred.fromCoroutine(answer(request))

        def done(result: dict[str, Any] | Failure) -> None:
            if not gone:
                _write(request, *self._told(result))

        answering.addBoth(done)
        return NOT_DONE_YET

    def _told(self, result: dict[str, Any] | Failure) -> tuple[int, dict[str, Any]]:
        if not isinstance(result, Failure):
            return 200, result
        error = result.value
        if not isinstance(error, ImError):
            self._log.failure("settings could not be answered", result)
            return 500, {"error": {"code": Code.INTERNAL_ERROR, "message": "see the server's log"}}
        told: dict[str, Any] = {"code": error.code, "message": error.message, "field": error.field}
        if isinstance(error, Refused):
            told["reasons"] = error.reasons
        return _STATUS.get(error.code, 500), {"error": told}


def _bearer(request: Request) -> str:
    values = request.requestHeaders.getRawHeaders(b"authorization") or []
    scheme, _, token = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
    return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""


def _write(request: Request, status: int, body: dict[str, Any]) -> None:
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    request.write(msgspec.json.encode(body) + b"\n")
    request.finish()
