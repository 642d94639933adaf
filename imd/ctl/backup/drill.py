"""A rehearsal: the backup is restored into a scratch folder, opened as the server would, and thrown away."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from imd.bus.journal import Journal
from imd.business.accounts.secrets import SecretFile
from imd.business.schema import open_business
from imd.core.message.sqlite import message_database
from imd.core.presence.sqlite import presence_database
from imd.ctl.at_once import at_once
from imd.ctl.backup.check import check_databases
from imd.ctl.backup.manifest import LAST_SEQS, Manifest
from imd.ctl.backup.restore import TOKEN_KEY, restore
from imd.ctl.exits import CHECK_FAILED, CommandFailed
from imd.ctl.progress import Progress
from imd.kernel.clocks import WallClock
from imd.kernel.errors import StartupError
from imd.storage.epoch import EpochFile


def drill(backup: Path, scratch: Path, *, progress: Progress, wall_clock: WallClock) -> Manifest:
    """Prove that the backup can be restored, and that this release can start on it.

    :raises CommandFailed: it cannot, and why.
    """
    with TemporaryDirectory(prefix="imd-drill-", dir=scratch) as made:
        data = Path(made) / "data"
        manifest = restore(backup, data, log_out=False, progress=progress, wall_clock=wall_clock)
        for line in check_databases(data, manifest.databases, last_seqs=backup / LAST_SEQS):
            progress.say(f"  {line}")
        try:
            for line in _open_all(data, manifest, wall_clock):
                progress.say(f"  {line}")
        except StartupError as error:
            raise CommandFailed(CHECK_FAILED, f"the server would not start on it: {error}") from None
    return manifest


def _open_all(data: Path, manifest: Manifest, wall_clock: WallClock) -> Iterator[str]:
    """As `twistd im` opens them, which brings them to this release's schema."""
    for database in (
        message_database(folder=data, threads=None),
        presence_database(folder=data, threads=None),
    ):
        at_once(database.start())
        at_once(database.stop())
    yield "messages and presence: opened"
    open_business(data / "business.db").dispose()
    yield "accounts, groups and rights: opened"
    journal = Journal(data / "bus.db", wall_clock=wall_clock)
    at_once(journal.open())
    dead = len(at_once(journal.dead_letters()))
    at_once(journal.close())
    yield f"events: opened, {dead} that were given up"
    at_once(SecretFile(data / TOKEN_KEY).start())
    epoch = EpochFile(data / "epoch", random_hex=secrets.token_hex)
    at_once(epoch.start())
    if epoch.value() == manifest.epoch:
        raise CommandFailed(CHECK_FAILED, "the restored folder has the epoch of the old one")
    yield "token key and new epoch: there"
