"""A version of the settings as it travels, and as nodes keep it."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.message import DecodeError

from imd.admin.settings.model import GrayRelease, Settings, gray_problems, problems
from imd.pb.bus_pb2 import GrayRelease as GrayEvent
from imd.pb.bus_pb2 import SettingsChanged


class Unusable(Exception):
    """Not settings that could be taken.

    :param version: that it claims to be; 0: it says nothing.
    """

    def __init__(self, version: int, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.version = version
        self.reasons = reasons


def to_event(settings: Settings) -> bytes:
    """The payload on ``im.admin.config``; comment and author stay at home."""
    event = SettingsChanged(
        version=settings.version, document=json.dumps(settings.document), timestamp=settings.changed_at_ms
    )
    gray = settings.gray
    if gray is not None:
        event.gray.CopyFrom(
            GrayEvent(
                id=gray.id,
                document=json.dumps(gray.document),
                percent=gray.percent,
                userIds=gray.user_ids,
                zones=gray.zones,
                clientVersions=gray.client_versions,
            )
        )
    return event.SerializeToString()


def version_of(payload: bytes) -> int:
    """What it claims to be, unread; 0: nothing that could be read."""
    try:
        return SettingsChanged.FromString(payload).version
    except DecodeError:
        return 0


def from_event(payload: bytes) -> Settings:
    """The settings in it.

    :raises Unusable: with every reason; whoever published may be of another release.
    """
    try:
        event = SettingsChanged.FromString(payload)
    except DecodeError as error:
        raise Unusable(0, [str(error)]) from None
    settings = Settings(event.version, _document(event.document, event.version), "", event.timestamp)
    if event.HasField("gray"):
        settings = settings._replace(gray=_gray(event))
    if event.version < 1:
        raise Unusable(0, ["version: is missing"])
    reasons = problems(settings.document)
    if settings.gray is not None:
        reasons += [f"gray: {reason}" for reason in gray_problems(settings.gray)]
    if reasons:
        raise Unusable(event.version, reasons)
    return settings


def _gray(event: SettingsChanged) -> GrayRelease:
    gray = event.gray
    return GrayRelease(
        id=gray.id,
        document=_document(gray.document, event.version),
        percent=gray.percent,
        user_ids=tuple(gray.userIds),
        zones=tuple(gray.zones),
        client_versions=tuple(gray.clientVersions),
    )


def _document(text: str, version: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unusable(version, [f"settings: not JSON: {error}"]) from None
