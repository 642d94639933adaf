"""What operators do with settings: set them, go back, and try them on some before all have them.

Each act makes a version: the past is never changed, and going back is going forward to what was.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from imd.admin.settings.model import (
    MAX_DOCUMENT_BYTES,
    NONE,
    Author,
    Document,
    GrayRelease,
    Settings,
    above,
    gray_problems,
    problems,
)
from imd.admin.settings.ports import SettingsStore
from imd.admin.settings.publish import PublishSettings
from imd.kernel.errors import IdempotentConflict, PayloadInvalid


class Refused(PayloadInvalid):
    """What cannot be published, with every reason."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(reasons[0])
        self.reasons = list(reasons)


class NoSuchVersion(PayloadInvalid):
    """It never was."""


class Why(NamedTuple):
    """What every act says of itself.

    :param based_on: the version that was looked at; another one may have come in between.
    """

    based_on: int
    comment: str
    author: Author


class ChangeSettings:
    """Every method returns the new version.

    :raises IdempotentConflict: another version is current than the one that was looked at.
    """

    def __init__(self, *, store: SettingsStore, publish: PublishSettings) -> None:
        self._store = store
        self._publish = publish

    async def set(self, document: Document, why: Why) -> Settings:
        """All keys as this says from now on; a gray release goes on above them.

        :raises Refused: with all that is wrong.
        """
        check(document)
        current = await self._current(why)
        return await self._save("set", document, current.gray, why)

    async def roll_back(self, version: int, why: Why) -> Settings:
        """All keys as they were in a version; a gray release ends."""
        old = NONE if version == NONE.version else await self._store.version(version)
        if old is None:
            raise NoSuchVersion(f"there is no version {version}", field="version")
        # What was good for an earlier release of the server need not be for this one.
        check(old.document)
        await self._current(why)
        return await self._save("rollback", old.document, None, why)

    async def release(self, gray: GrayRelease, why: Why) -> Settings:
        """Some have these from now on; the same document for more or others goes on with the users it has."""
        current = await self._current(why)
        running = current.gray
        is_same = running is not None and running.document == gray.document
        # A number that no other release has had, as no other version will have been made from this one.
        gray = gray._replace(id=running.id if running is not None and is_same else why.based_on + 1)
        if reasons := gray_problems(gray):
            raise Refused(reasons)
        check_size(gray.document)
        # What is promoted later must fit.
        check(above(current.document, gray.document))
        return await self._save("gray", current.document, gray, why)

    async def promote(self, why: Why) -> Settings:
        """All have what some have."""
        current = await self._current(why)
        gray = self._running(current)
        merged = above(current.document, gray.document)
        check(merged)
        return await self._save("promote", merged, None, why)

    async def withdraw(self, why: Why) -> Settings:
        """Nobody has anything else than all."""
        current = await self._current(why)
        self._running(current)
        return await self._save("withdraw", current.document, None, why)

    async def _current(self, why: Why) -> Settings:
        current = await self._store.current()
        if current.version != why.based_on:
            raise IdempotentConflict(
                f"version {why.based_on} is not current, {current.version} is: look at that, and decide again",
                field="basedOn",
            )
        return current

    def _running(self, current: Settings) -> GrayRelease:
        if current.gray is None:
            raise PayloadInvalid("there is no gray release", field="gray")
        return current.gray

    async def _save(self, act: str, document: Document, gray: GrayRelease | None, why: Why) -> Settings:
        settings = Settings(0, document, why.comment, 0, gray, why.author, act)
        return await self._publish.change(settings, based_on=why.based_on)


def check(document: object) -> None:
    """:raises Refused: it cannot be published."""
    if reasons := problems(document):
        raise Refused(reasons)
    check_size(document)


def check_size(document: object) -> None:
    """:raises Refused: it is too long to be kept and sent."""
    size = len(json.dumps(document))
    if size > MAX_DOCUMENT_BYTES:
        reason = (
            f"settings: {size:,} bytes are over {MAX_DOCUMENT_BYTES:,}; long word lists belong into files: "
            "content.word_files of im-core"
        )
        raise Refused([reason])
