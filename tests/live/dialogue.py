"""Plays protocol/vectors/sessions.json against a server; protocol/vectors/README.rst gives the rules."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from tests.live.standalone_client import Login
from tests.live.standalone_proto import Json
from tests.live.standalone_wire import ConnectionLost, Wire
from tests.protocol.vectors import octets

#: What the server may say unasked at any time.
_PUSHES = frozenset({"deliver", "hint", "receiptNotice", "presenceNotice", "typing", "syncResp"})
ANSWER_TIMEOUT_S = 5.0
#: A pause between the pieces of a cut frame, so that they arrive as pieces.
_PIECE_PAUSE_S = 0.01


class Departed(Exception):
    """The server did not keep to the vector."""


class Dialogue:
    """One session vector being played."""

    def __init__(self, *, people: Mapping[str, Login], bound: Json, reach: Callable[[], Wire]) -> None:
        self._people = people
        self._reach = reach
        self._wires: dict[str, Wire] = {}
        self._bound = dict(bound)
        self._bound.update({f"id{number}": str(uuid.uuid4()) for number in range(1, 10)})
        for who, login in people.items():
            self._bound |= {f"{who}.token": login.token, f"{who}.device": login.device_id}
            self._bound[f"{who}.user"] = login.user_id
            self._bound |= _forgeries(who, login.token)

    def play(self, steps: list[Json]) -> Json:
        """All steps in order; returns what was bound."""
        try:
            for number, step in enumerate(steps, 1):
                try:
                    self._play_one(step)
                except (Departed, ConnectionLost) as error:
                    raise Departed(f"step {number}: {error}") from None
        finally:
            for wire in self._wires.values():
                wire.close()
        return self._bound

    def _play_one(self, step: Json) -> None:
        who = step.get("who", "C")
        if "leave" in step:
            self._wires.pop(who).close()
            return
        wire = self._wires.get(who)
        if wire is None:
            wire = self._wires[who] = self._reach()
        if "login" in step:
            login = self._people[who.split()[0]]
            connect = {"token": login.token, "deviceId": login.device_id, "platform": "bot"}
            wire.send({"connect": connect | step["login"]})
            self._expect(wire, {"connected": {}}, step)
            self._expect(wire, {"syncResp": {}}, step)
        elif "send" in step:
            wire.send(self._filled(step["send"]))
        elif "raw" in step:
            for piece in step["raw"]:
                wire.send_raw(octets(piece))
                time.sleep(_PIECE_PAUSE_S)
        elif "raw_text" in step:
            wire.send_raw(step["raw_text"].encode())
        elif "expect" in step:
            self._expect(wire, step["expect"], step)
        else:
            self._closed(wire, step.get("within_s", ANSWER_TIMEOUT_S))

    def _expect(self, wire: Wire, pattern: Json, step: Json) -> None:
        deadline_s = time.monotonic() + step.get("within_s", ANSWER_TIMEOUT_S)
        wanted = _payload(pattern)
        skipped: list[str] = []
        while True:
            envelope = wire.receive(max(0.0, deadline_s - time.monotonic()))
            if envelope is None:
                raise Departed(f"no answer; wanted {_short(pattern)}, got {skipped}")
            came = _payload(envelope)
            bound = dict(self._bound)
            if came == wanted and _matches(pattern, envelope, bound):
                self._bound = bound
                return
            if came not in _PUSHES and not (came == "error" and step.get("skip_errors")):
                raise Departed(f"wanted {_short(pattern)}, got {_short(envelope)}")
            skipped.append(_short(envelope))

    def _closed(self, wire: Wire, within_s: float) -> None:
        try:
            envelope = wire.receive(within_s)
        except ConnectionLost:
            return
        raise Departed("not closed" if envelope is None else f"{_short(envelope)} after the end")

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        if isinstance(value, str) and value.startswith("$repeat:"):
            _, what, times = value.split(":")
            return what * int(times)
        if isinstance(value, str) and value.startswith("$"):
            return self._bound[value[1:]]
        return value


def _matches(pattern: Any, actual: Any, bound: Json) -> bool:
    """Whether ``actual`` has all that the pattern asks; binds names that are new."""
    if isinstance(pattern, dict):
        return isinstance(actual, dict) and all(
            name not in actual if wanted == "$absent" else _matches(wanted, actual.get(name), bound)
            for name, wanted in pattern.items()
        )
    if isinstance(pattern, list):
        left = iter(actual if isinstance(actual, list) else [])
        return all(any(_matches_one(wanted, one, bound) for one in left) for wanted in pattern)
    if pattern == "$any":
        return actual is not None
    if isinstance(pattern, str) and pattern.startswith("$"):
        return actual is not None and bool(bound.setdefault(pattern[1:], actual) == actual)
    return bool(pattern == actual)


def _matches_one(pattern: Any, actual: Any, bound: Json) -> bool:
    """As ``_matches``, but what does not match binds nothing."""
    attempt = dict(bound)
    if not _matches(pattern, actual, attempt):
        return False
    bound.update(attempt)
    return True


def _payload(envelope: Json) -> str:
    return next((name for name in envelope if name != "header"), "")


def _short(envelope: Json) -> str:
    return json.dumps(envelope, ensure_ascii=False)[:300]


def _forgeries(who: str, token: str) -> dict[str, str]:
    """The token without a signature, and with one that is not its own."""
    _, claims, signature = token.split(".")
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    changed = ("A" if signature[0] != "A" else "B") + signature[1:]
    return {
        f"{who}.unsigned": f"{header}.{claims}.",
        f"{who}.forged": f"{token[: -len(signature)]}{changed}",
    }
