"""How old the last backup is."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.ops.metrics.readings import Readings
from imd.roles.metrics.backup import backup_source
from imd.storage.epoch import EPOCH
from imd.storage.last_backup import LAST_BACKUP, note_backup


class Backup(SynchronousTestCase):
    """A data folder."""

    def setUp(self) -> None:
        self.data = Path(self.mktemp())
        self.data.mkdir()
        self.read = backup_source(self.data)

    def values(self) -> list[object]:
        return [reading.value for reading in self.read()]

    def test_newest(self) -> None:
        """Before the first one, when the folder was made, by a start or a restore; then the moment that the newest shows."""
        self.assertEqual(self.values(), [])
        epoch = self.data / EPOCH
        epoch.touch()
        os.utime(epoch, (500, 500))
        self.assertEqual(self.values(), [500])
        for shows_ms in (1_000, 86_400_500):
            note_backup(self.data, backup=Path("/b"), shows_ms=shows_ms)
            self.assertEqual(self.values(), [shows_ms / 1000])

    def test_damaged(self) -> None:
        """A note that is none is counted as missing, and the rest of the page is not touched."""
        for text in ("", "[]", "{}", '{"showsMs": "1"}'):
            (self.data / LAST_BACKUP).write_text(text)
            readings = Readings([self.read])
            self.assertEqual([family.name for family in readings.collect()], ["imd_metrics_failures"])
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
