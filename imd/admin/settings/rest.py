"""/api/v1/settings, for operators; docs/settings.rst shows them from the command line.

::

    token=$(cat im-admin.token)
    curl -H "Authorization: Bearer $token" http://127.0.0.1:7795/api/v1/settings
    curl -X PUT -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \\
        -d '{"basedOn": 0, "comment": "a sale", "settings": {"limits": {"user_burst": 60}}}' \\
        http://127.0.0.1:7795/api/v1/settings
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from imd.admin.rest.route import Asked, Route
from imd.admin.settings.board import NodeBoard, NodeState
from imd.admin.settings.change import ChangeSettings, NoSuchVersion, Why, check
from imd.admin.settings.keys import RuntimeKey, runtime_keys
from imd.admin.settings.model import (
    MAX_COMMENT,
    NONE,
    Author,
    GrayRelease,
    Settings,
    differences,
)
from imd.admin.settings.ports import SettingsStore
from imd.admin.settings.publish import PublishSettings
from imd.bus.audit import DONE, HIGH, AuditEntry, AuditLog
from imd.kernel.errors import PayloadInvalid
from imd.ops.operators import Act

VERSIONS_PER_PAGE = 50

_Comment = Annotated[str, Meta(max_length=MAX_COMMENT)]
_Version = Annotated[int, Meta(ge=0)]


class _Reasoned(Struct, forbid_unknown_fields=True, kw_only=True):
    """What every change says of itself. ``basedOn`` may be left out where If-Match says it."""

    basedOn: _Version | None = None
    comment: _Comment = ""


class SetBody(_Reasoned):
    """All keys that are to differ from the nodes' own files."""

    settings: Any


class RollbackBody(_Reasoned):
    """Back to how a version was."""

    version: _Version


class GrayBody(_Reasoned):
    """What some are to have, and who."""

    settings: Any
    percent: float = 0.0
    users: list[str] = []
    zones: list[str] = []
    clientVersions: list[str] = []


class CheckBody(Struct, forbid_unknown_fields=True):
    """What might be set."""

    settings: Any


class SettingsApi:
    """Bodies in, use cases, answers out."""

    def __init__(
        self,
        *,
        store: SettingsStore,
        change: ChangeSettings,
        publish: PublishSettings,
        board: NodeBoard,
        audit: AuditLog,
    ) -> None:
        self._store = store
        self._change = change
        self._publish = publish
        self._board = board
        self._audit = audit

    def routes(self) -> list[Route]:
        """All of them."""
        base = ("settings",)
        return [
            Route("GET", base, Act.LOOK, self.get),
            Route("PUT", base, Act.CHANGE, self.put),
            Route("POST", (*base, "check"), Act.LOOK, self.check),
            Route("GET", (*base, "keys"), Act.LOOK, self.keys),
            Route("GET", (*base, "nodes"), Act.LOOK, self.nodes),
            Route("GET", (*base, "versions"), Act.LOOK, self.history),
            Route("GET", (*base, "versions", "*"), Act.LOOK, self.version),
            Route("GET", (*base, "diff"), Act.LOOK, self.diff),
            Route("POST", (*base, "rollback"), Act.CHANGE, self.roll_back),
            Route("PUT", (*base, "gray"), Act.CHANGE, self.release),
            Route("POST", (*base, "gray", "promote"), Act.CHANGE, self.promote),
            Route("POST", (*base, "gray", "withdraw"), Act.CHANGE, self.withdraw),
        ]

    async def get(self, asked: Asked) -> dict[str, Any]:
        return self._current(await self._store.current())

    async def put(self, asked: Asked) -> dict[str, Any]:
        body = asked.read(SetBody)
        return self._done(await self._change.set(body.settings, _why(asked, body)))

    async def check(self, asked: Asked) -> dict[str, Any]:
        """Only looks; the answer is that it can be set, or the error that setting it would be."""
        check(asked.read(CheckBody).settings)
        return {"valid": True}

    async def keys(self, asked: Asked) -> dict[str, Any]:
        return {"keys": [_key(key) for key in runtime_keys()]}

    async def nodes(self, asked: Asked) -> dict[str, Any]:
        current = await self._store.current()
        return {
            "version": current.version,
            "published": self._publish.is_published,
            "isComplete": self._board.is_complete,
            "nodes": [_node(state, current.version) for state in self._board.nodes()],
        }

    async def history(self, asked: Asked) -> dict[str, Any]:
        before = asked.number(asked.query.get("before"), "before", absent=0)
        limit = asked.number(asked.query.get("limit"), "limit", absent=VERSIONS_PER_PAGE)
        if not 1 <= limit <= VERSIONS_PER_PAGE:
            raise PayloadInvalid(f"limit must be 1 to {VERSIONS_PER_PAGE}", field="limit")
        found = await self._store.history(before=before, limit=limit + 1)
        page = [_shown(settings) for settings in found[:limit]]
        return {"versions": page, "next": page[-1]["version"] if len(found) > limit else 0}

    async def version(self, asked: Asked) -> dict[str, Any]:
        return _shown(await self._find(asked.number(asked.names[0], "version")))

    async def diff(self, asked: Asked) -> dict[str, Any]:
        before = await self._find(asked.number(asked.query.get("from"), "from"))
        after = await self._find(asked.number(asked.query.get("to"), "to"))
        changed = differences(before.document, after.document)
        return {
            "from": before.version,
            "to": after.version,
            "changes": [{"key": each.key, "from": each.before, "to": each.after} for each in changed],
            "grayFrom": _gray(before.gray),
            "grayTo": _gray(after.gray),
        }

    async def roll_back(self, asked: Asked) -> dict[str, Any]:
        body = asked.read(RollbackBody)
        return self._done(await self._change.roll_back(body.version, _why(asked, body)))

    async def release(self, asked: Asked) -> dict[str, Any]:
        body = asked.read(GrayBody)
        gray = GrayRelease(
            id=0,
            document=body.settings,
            percent=body.percent,
            user_ids=tuple(_user_id(text) for text in body.users),
            zones=tuple(body.zones),
            client_versions=tuple(body.clientVersions),
        )
        return self._done(await self._change.release(gray, _why(asked, body)))

    async def promote(self, asked: Asked) -> dict[str, Any]:
        return self._done(await self._change.promote(_why(asked, asked.read(_Reasoned))))

    async def withdraw(self, asked: Asked) -> dict[str, Any]:
        return self._done(await self._change.withdraw(_why(asked, asked.read(_Reasoned))))

    async def _find(self, version: int) -> Settings:
        if version == NONE.version:
            return NONE
        found = await self._store.version(version)
        if found is None:
            raise NoSuchVersion(f"there is no version {version}", field="version")
        return found

    def _current(self, settings: Settings) -> dict[str, Any]:
        return _shown(settings) | {"published": self._publish.is_published}

    def _done(self, settings: Settings) -> dict[str, Any]:
        author = settings.author
        detail = {"operator": author.name, "version": settings.version, "comment": settings.comment}
        self._audit.record(
            AuditEntry(
                f"settings.{settings.act}",
                DONE,
                actor_id=author.id,
                policy_version=settings.version,
                level=HIGH,
                detail=json.dumps(detail, ensure_ascii=False),
            )
        )
        return self._current(settings)


def _why(asked: Asked, body: _Reasoned) -> Why:
    based_on = body.basedOn
    if asked.if_match:
        header = asked.number(asked.if_match.strip().strip('"'), "If-Match")
        if based_on not in (None, header):
            raise PayloadInvalid("basedOn and If-Match name different versions", field="basedOn")
        based_on = header
    if based_on is None:
        raise PayloadInvalid(
            "basedOn is missing: the version that you looked at, also as If-Match", field="basedOn"
        )
    if not body.comment.isprintable():
        raise PayloadInvalid("comment: is one line of text, without control characters", field="comment")
    operator = asked.operator
    return Why(based_on, body.comment, Author(operator.id, operator.name))


def _user_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 19) or int(text) >= 1 << 63:
        raise PayloadInvalid(f"users: {text!r:.40} is no user id", field="users")
    return int(text)


def _shown(settings: Settings) -> dict[str, Any]:
    return {
        "version": settings.version,
        "settings": settings.document,
        "gray": _gray(settings.gray),
        "comment": settings.comment,
        "changedAt": settings.changed_at_ms,
        "act": settings.act,
        "authorId": settings.author.id,
        "author": settings.author.name,
    }


def _gray(gray: GrayRelease | None) -> dict[str, Any] | None:
    if gray is None:
        return None
    return {
        "id": gray.id,
        "settings": gray.document,
        "percent": gray.percent,
        "users": [str(user_id) for user_id in gray.user_ids],
        "zones": gray.zones,
        "clientVersions": gray.client_versions,
    }


def _node(state: NodeState, current: int) -> dict[str, Any]:
    refused = {"version": state.refused_version, "reasons": state.reasons} if state.reasons else None
    return {
        "node": state.node,
        "zone": state.zone,
        "version": state.version,
        "isCurrent": state.version == current,
        "appliedAt": state.applied_at_ms,
        "tookMs": state.took_ms,
        "refused": refused,
        "notKept": state.not_kept,
        "grayId": state.gray_id,
        "grayUsers": state.gray_users,
        "heardSAgo": round(state.heard_s_ago, 1),
        "isSilent": state.is_silent,
    }


def _key(key: RuntimeKey) -> dict[str, Any]:
    return dict(msgspec.to_builtins(key._asdict()))
