"""Is it alive, does it take traffic: /healthz and /readyz."""

from __future__ import annotations

from collections.abc import Callable

from twisted.web.resource import Resource
from twisted.web.server import Request


class Probe(Resource):
    """200 with ``ok`` while ``check`` says so, else 503."""

    isLeaf = True

    def __init__(self, check: Callable[[], bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._check = check

    def render_GET(self, request: Request) -> bytes:
        good = self._check()
        request.setResponseCode(200 if good else 503)
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        request.setHeader(b"cache-control", b"no-store")
        return b"ok\n" if good else b"not ready\n"
