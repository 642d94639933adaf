"""``imctl migrate``: what is asked for, in which order it is done, and what is said about it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from pymongo.errors import PyMongoError
from sqlalchemy.exc import SQLAlchemyError

from imd.ctl.exits import CHECK_FAILED, OK, TARGET, CommandFailed
from imd.ctl.migrate.business import BusinessCopy, open_target
from imd.ctl.migrate.compare import Verdict
from imd.ctl.migrate.last_seen import LastSeenCopy, open_last_seen
from imd.ctl.migrate.messages import MessageCopy, open_messages
from imd.ctl.migrate.record import Identity
from imd.ctl.migrate.settings import Settings, copy_secret, read_settings, told_secret
from imd.ctl.migrate.source import Folder
from imd.ctl.progress import Progress
from imd.kernel.clocks import system_wall_clock
from imd.kernel.errors import StartupError

DESCRIPTION = """\
Copy the data folder of `twistd im` into MongoDB and MySQL or MariaDB (and into Redis when people were last seen), so
that its users find everything as it was when im-core and im-business start on those. The folder is only read.

Before: stop `twistd im`; write im-core.toml and im-business.toml; start the databases, and neither im-core nor
im-business. After: start those, and never again `twistd im` on that folder.

It may be interrupted, killed and run again; it then goes on where it was. It ends with a check that compares every
message, cursor and row of both sides.
"""

EPILOG = """\
Exit codes: 0 moved and checked; 1 the check found differences, each is named; 2 wrong usage or
configuration; 3 the folder cannot be moved as it is (its server runs, it is damaged, of a newer release, or
events in it were not handled yet); 4 the target cannot be used (not reachable, not empty) or failed on
the way: run it again to go on; 130 interrupted: the same.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe it."""
    command = commands.add_parser(
        "migrate",
        help="move a data folder of `twistd im` into MongoDB and MySQL",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--from", dest="source", type=Path, required=True, metavar="DATA", help="the data folder"
    )
    command.add_argument(
        "--to",
        dest="target",
        type=Path,
        required=True,
        metavar="ETC",
        help="the folder of im-core.toml and im-business.toml; variables IM__... count as for the roles",
    )
    command.add_argument("--check-only", action="store_true", help="copy nothing; compare what was copied")
    command.set_defaults(run=run)


class _Move(NamedTuple):
    """Everything that is open."""

    folder: Folder
    settings: Settings
    business: BusinessCopy
    messages: MessageCopy
    last_seen: LastSeenCopy
    progress: Progress


def run(arguments: argparse.Namespace) -> int:
    """The exit code."""
    progress = Progress(out=sys.stdout, seconds=time.monotonic, terminal=sys.stdout.isatty())
    with ExitStack() as stack:
        # The folder first: its lock keeps everybody out, this command included.
        folder = stack.enter_context(Folder(arguments.source))
        settings = read_settings(arguments.target, token_key=folder.token_key, environ=os.environ)
        try:
            return _run(_open(stack, folder, settings, progress, arguments), check_only=arguments.check_only)
        except StartupError as error:
            raise CommandFailed(TARGET, str(error)) from None
        except SQLAlchemyError as error:
            raise CommandFailed(TARGET, _again("MySQL", error)) from None
        except PyMongoError as error:
            raise CommandFailed(TARGET, _again("MongoDB", error)) from None


def _open(
    stack: ExitStack, folder: Folder, settings: Settings, progress: Progress, arguments: argparse.Namespace
) -> _Move:
    sql = settings.business.sql
    engine = open_target(sql, make=not arguments.check_only)
    stack.callback(engine.dispose)
    business = BusinessCopy(source=folder.business, target=engine, place=f"{sql.database} on {sql.address}")
    messages = stack.enter_context(open_messages(settings.core.mongo))
    last_seen = stack.enter_context(open_last_seen(settings.core.redis))
    return _Move(folder, settings, business, messages, last_seen, progress)


def _run(move: _Move, *, check_only: bool) -> int:
    folder, settings, say = move.folder, move.settings, move.progress.say
    if check_only:
        say(told_secret(folder.token_key, settings.token_secret_file))
        return _check(move)
    finished = _copy(move)
    code = _check(move)
    if code == OK and not finished:
        say(copy_secret(folder.token_key, settings.token_secret_file))
        move.messages.finish(folder.epoch)
        say("moved: start im-core and im-business, and never again `twistd im` on the folder")
    return code


def _copy(move: _Move) -> bool:
    """Whether an earlier run has finished the move already."""
    folder, business, messages = move.folder, move.business, move.messages
    identity = Identity(folder.epoch, f"{folder.stamp()}/{business.stamp()}")
    # Both are asked before either is touched.
    business.refuse_others(identity)
    messages.refuse_others(identity)
    if messages.done:
        move.progress.say("all of this folder was copied before: only checking")
        return True
    messages.refuse_expired(folder, now_ms=system_wall_clock())
    business.begin(identity)
    messages.begin(identity)
    business.copy(move.progress)
    messages.copy(folder, move.progress)
    move.last_seen.copy(folder, move.progress)
    return False


def _check(move: _Move) -> int:
    say = move.progress.say
    say("checking: every row of both sides")
    wrong = 0
    verdicts: list[Iterable[Verdict]] = [
        move.business.compare(),
        move.messages.compare(move.folder, move.progress),
    ]
    for verdict in (each for some in verdicts for each in some):
        say(f"  {verdict}")
        for difference in verdict.differences:
            say(f"    {difference}")
        if verdict.difference_count > len(verdict.differences):
            say(f"    and {verdict.difference_count - len(verdict.differences):,} more")
        wrong += verdict.difference_count
    say(f"  {move.last_seen.verdict(move.folder)}")
    if wrong:
        say(f"NOT THE SAME: {wrong:,} differences")
        return CHECK_FAILED
    say("the same on both sides")
    return OK


def _again(what: str, error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return (
        f"{what} failed ({cause}); when it is well again, run the same command again: it goes on where it was"
    )
