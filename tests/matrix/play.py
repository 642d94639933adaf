"""Plays one cell of the matrix, and says how it went in one character of the table."""

from __future__ import annotations

import json
import re
from typing import Any

from imd.kernel.errors import Code
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import FAILED
from tests.matrix import rest, wire
from tests.matrix.ground import Ground, Reply
from tests.matrix.scene import UNKNOWN_DIRECT, UNKNOWN_GROUP, UNKNOWN_USER, Cast, Ids, Scene

_UNKNOWN: dict[str, Any] = {
    "group": UNKNOWN_GROUP,
    "direct": UNKNOWN_DIRECT,
    "outsider": UNKNOWN_USER,
    "peer": UNKNOWN_USER,
}
#: Of what is asked again and again, and told back.
_NAMES = re.compile(rb"[gp]_[0-9a-f]{16,32}|\b[0-9]{17,19}\b|\bm-[0-9]+")


def rest_cell(ground: Ground, cast: Cast, name: str, role: str) -> str:
    """How an operation ends for a role."""
    row = rest.ROWS[name]
    scene = Scene(ground, cast, role)
    scene.with_somebody(row.prepare)
    reply = _call(scene, row, scene.ids)
    if reply.status < 300:
        return "+"
    if reply.status == 401:
        return "!"
    is_alike = False
    if row.hides:
        unknown = _call(scene, row, scene.ids._replace(**{row.hides: _UNKNOWN[row.hides]}))
        is_alike = (unknown.status, _plain(unknown.raw)) == (reply.status, _plain(reply.raw))
    if reply.json["error"]["code"] == Code.FORBIDDEN:
        return "-" if is_alike else "n"
    return "i"


def _call(scene: Scene, row: rest.Row, ids: Ids) -> Reply:
    names = ids._asdict()
    body = _filled(row.body, names)
    return scene.ground.call(row.method, row.path.format(**names), body, token=scene.token)


def _filled(body: Any, names: dict[str, Any]) -> Any:
    if isinstance(body, str):
        return body.format(**names)
    if isinstance(body, list):
        return [_filled(each, names) for each in body]
    if isinstance(body, dict):
        return {name: _filled(each, names) for name, each in body.items()}
    return body


def wire_cell(ground: Ground, cast: Cast, name: str, role: str) -> str:
    """How a request ends for a role."""
    row = wire.ROWS[name]
    scene = Scene(ground, cast, role, talk=row.talk)
    scene.with_somebody(None)
    line = scene.line()
    try:
        if line.refused is not None:
            return _letter(line.refused, None)
        answer = line.ask(row.request(scene, scene.ids))
        if answer is None or _error(answer) is None:
            return "+"
        unknown = None
        if row.hides:
            unknown = line.ask(row.request(scene, scene.ids._replace(**{row.hides: _UNKNOWN[row.hides]})))
        return _letter(answer, unknown)
    finally:
        scene.close()


def _letter(answer: Envelope, unknown: Envelope | None) -> str:
    error = _error(answer)
    assert error is not None
    is_alike = unknown is not None and _plain(_bare(answer)) == _plain(_bare(unknown))
    if error.code == Code.AUTH_FAILED:
        return "!"
    if error.code == Code.FORBIDDEN:
        return "-" if is_alike else "n"
    return "i"


def _error(answer: Envelope) -> Any:
    if answer.WhichOneof("payload") == "error":
        return answer.error
    if answer.WhichOneof("payload") == "ack" and answer.ack.status == FAILED:
        return answer.ack.error
    return None


def _bare(answer: Envelope) -> bytes:
    """All but the number of the request."""
    bare = Envelope()
    bare.CopyFrom(answer)
    bare.header.Clear()
    return str(bare).encode()


def _plain(raw: bytes) -> bytes:
    """Without the names of what it is about."""
    return _NAMES.sub(b"ID", raw)


def operations(ground: Ground) -> set[str]:
    """What the server itself says that it has."""
    paths = json.loads(ground.call("GET", "/openapi.json").raw)["paths"]
    return {operation["operationId"] for methods in paths.values() for operation in methods.values()}
