"""``imctl backup``, ``restore`` and ``restore-drill``: what is asked for, and what is said about it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from imd.ctl.backup.disk import writing_to
from imd.ctl.backup.drill import drill
from imd.ctl.backup.facts import MESSAGES
from imd.ctl.backup.manifest import Manifest
from imd.ctl.backup.place import alone_in, delete_oldest, from_the_future, newest_in, own_name
from imd.ctl.backup.restore import restore
from imd.ctl.backup.take import refuse_inside, take
from imd.ctl.exits import OK, USAGE, CommandFailed
from imd.ctl.progress import Progress
from imd.kernel.clocks import system_wall_clock
from imd.storage.last_backup import note_backup

_BACKUP = """\
Copy the data folder of `twistd im`, also while it runs: all its databases as of one moment, and its secrets. Whoever
can read a backup can read every message and forge every login: it is written for its owner alone (0700, 0600); keep it so.

Run it as the server's user. What was written is read again and checked before it gets its name; what is interrupted,
killed or has no room leaves nothing of that name.
"""
_RESTORE = """\
Bring a backup back into an empty data folder. Every file is checked first; the folder gets a new epoch, so that clients
forget what they knew of the old one and sync anew. A backup of an older release is upgraded when the server starts.

What was done after the backup was begun is undone by it: messages are gone, but so are logouts, changed passwords, blocks
and bans, and operators whose tokens were revoked since have them again. If a device or a token was stolen, or an operator
has gone, give --log-out-everybody: people log in again, and operators get new tokens, the first one from the server's
secrets/operator.token, the others from `imctl operators add`.
"""
_DRILL = """\
Restore a backup into a scratch folder, open it as the server would, check it, and remove it: nothing else is touched. A
backup that was never restored is a hope.
"""
_EXITS = """\
Exit codes: 0 done; 1 a check found something wrong, it is named; 2 wrong usage; 3 what is copied from cannot be used
(no data folder, no backup, damaged, of a newer release); 4 the place it goes to cannot be used (full, not empty, in use
by a server, or another backup is being written there); 130 interrupted: nothing is left.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe them."""
    backup = _command(
        commands, "backup", "back up the data folder of `twistd im` while it runs", _BACKUP, _backup
    )
    backup.add_argument("--data", type=Path, required=True, metavar="DATA", help="the data folder")
    place = backup.add_mutually_exclusive_group(required=True)
    place.add_argument("--to", type=Path, metavar="FOLDER", help="the backup's own folder; it must not exist")
    place.add_argument(
        "--into", type=Path, metavar="PARENT", help="a folder of backups; this one is named by its time"
    )
    backup.add_argument(
        "--keep",
        type=_count,
        metavar="N",
        help="with --into: when this one is done, delete all but this one and the N-1 made before it",
    )
    bring_back = _command(
        commands, "restore", "bring a backup back into an empty data folder", _RESTORE, _restore
    )
    bring_back.add_argument(
        "--from", dest="backup", type=Path, required=True, metavar="FOLDER", help="the backup"
    )
    bring_back.add_argument(
        "--data", type=Path, required=True, metavar="DATA", help="the data folder; empty, or not there"
    )
    bring_back.add_argument(
        "--log-out-everybody", action="store_true", help="neither people nor operators stay logged in"
    )
    rehearse = _command(commands, "restore-drill", "prove that a backup can be restored", _DRILL, _drill)
    which = rehearse.add_mutually_exclusive_group(required=True)
    which.add_argument("--from", dest="backup", type=Path, metavar="FOLDER", help="the backup")
    which.add_argument(
        "--newest-in", type=Path, metavar="PARENT", help="the newest that `imctl backup --into` named there"
    )
    rehearse.add_argument(
        "--scratch",
        type=Path,
        default=Path(tempfile.gettempdir()),
        metavar="PARENT",
        help="where there is room for it (%(default)s)",
    )


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    description: str,
    run: Callable[[argparse.Namespace, Progress], None],
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=_EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=lambda arguments: _run(arguments, run))
    return command


def _run(arguments: argparse.Namespace, run: Callable[[argparse.Namespace, Progress], None]) -> int:
    progress = Progress(out=sys.stdout, seconds=time.monotonic, terminal=sys.stdout.isatty())
    # What is written is the owner's alone.
    os.umask(0o077)
    with _ended_cleanly():
        run(arguments, progress)
    return OK


def _backup(arguments: argparse.Namespace, progress: Progress) -> None:
    if arguments.keep and not arguments.into:
        raise CommandFailed(USAGE, "--keep goes with --into: it counts the backups of a folder")
    target: Path = arguments.to or arguments.into / own_name(system_wall_clock())
    refuse_inside(arguments.data, target)
    begun_s = time.monotonic()
    with alone_in(target.parent):
        manifest = take(arguments.data, target, progress=progress, wall_clock=system_wall_clock)
        progress.say(
            f"{target}: {_told(manifest)}, written and checked in {time.monotonic() - begun_s:.1f} s"
        )
        with writing_to(arguments.data):
            note_backup(arguments.data, backup=target.resolve(), shows_ms=manifest.cut_at_ms)
        if arguments.keep:
            with writing_to(target.parent):
                for gone in delete_oldest(target.parent, made=target, keep=arguments.keep):
                    progress.say(f"deleted {gone}")
        for path in from_the_future(target.parent, system_wall_clock()):
            progress.say(
                f"WARNING: {path} has a name from the future: this clock was ahead then, or is behind now; "
                "backups go in the order in which they were made, whatever their names"
            )


def _restore(arguments: argparse.Namespace, progress: Progress) -> None:
    manifest = restore(
        arguments.backup,
        arguments.data,
        log_out=arguments.log_out_everybody,
        progress=progress,
        wall_clock=system_wall_clock,
    )
    progress.say(f"{arguments.data}: {_told(manifest)}, under a new epoch; start the server on it")


def _drill(arguments: argparse.Namespace, progress: Progress) -> None:
    backup = arguments.backup or newest_in(arguments.newest_in)
    manifest = drill(backup, arguments.scratch, progress=progress, wall_clock=system_wall_clock)
    progress.say(f"{backup} can be restored: {_told(manifest)}; nothing was left in {arguments.scratch}")


def _told(manifest: Manifest) -> str:
    messages = manifest.databases[MESSAGES].rows
    return f"{messages['messages']:,} messages of {messages['conversations']:,} conversations as of {manifest.cut_at}"


def _count(word: str) -> int:
    count = int(word)
    if count < 1:
        raise argparse.ArgumentTypeError("keep at least 1")
    return count


@contextmanager
def _ended_cleanly() -> Iterator[None]:
    """A service manager's SIGTERM is as good as ^C: what was begun is removed."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
