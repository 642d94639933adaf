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
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from imd.admin.schema import open_admin_on
from imd.business.schema import open_business_on
from imd.config.engines import Sql
from imd.config.sections import AdminConfig
from imd.ctl.exits import CHECK_FAILED, OK, TARGET, USAGE, CommandFailed
from imd.ctl.migrate.compare import Verdict
from imd.ctl.migrate.last_seen import LastSeenCopy, open_last_seen
from imd.ctl.migrate.messages import MessageCopy, open_messages
from imd.ctl.migrate.record import Identity
from imd.ctl.migrate.settings import Settings, copy_secret, read_settings, told_secret
from imd.ctl.migrate.source import Folder
from imd.ctl.migrate.tables import ADMIN, BUSINESS, Opened, Part, TableCopy, count_rows, open_target
from imd.ctl.progress import Progress
from imd.kernel.clocks import system_wall_clock
from imd.kernel.errors import StartupError
from imd.storage.sql_mysql import open_mysql

DESCRIPTION = """\
Copy the data folder of `twistd im` into MongoDB and MySQL or MariaDB (and into Redis when people were last seen), so
that its users and operators find everything as it was when im-core, im-business and im-admin start on those. The
folder is only read.

Before: stop `twistd im`; write im-core.toml, im-business.toml and im-admin.toml; start the databases, and none of these
three. After: start them, and never again `twistd im` on that folder.

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
        help="the folder of im-core.toml, im-business.toml and im-admin.toml; variables IM__... count as for the roles",
    )
    command.add_argument("--check-only", action="store_true", help="copy nothing; compare what was copied")
    command.add_argument(
        "--without-settings",
        action="store_true",
        help="leave behind what im-admin keeps: settings made while the server ran, and operators",
    )
    command.set_defaults(run=run)


class _Move(NamedTuple):
    """Everything that is open."""

    folder: Folder
    settings: Settings
    business: TableCopy
    #: None: there is nothing to move.
    admin: TableCopy | None
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
    only_looks = arguments.check_only

    def tables(part: Part, source: Engine, sql: Sql, opened: Opened) -> TableCopy:
        target = open_target(sql, open_mysql if only_looks else opened)
        stack.callback(target.dispose)
        return TableCopy(part, source=source, target=target, place=f"{sql.database} on {sql.address}")

    admin_config = None if arguments.without_settings else _admin_config(folder, settings, arguments.target)
    return _Move(
        folder,
        settings,
        tables(BUSINESS, folder.business, settings.business.sql, open_business_on),
        tables(ADMIN, folder.admin, admin_config.sql, open_admin_on) if admin_config is not None else None,
        stack.enter_context(open_messages(settings.core.mongo)),
        stack.enter_context(open_last_seen(settings.core.redis)),
        progress,
    )


def _admin_config(folder: Folder, settings: Settings, etc: Path) -> AdminConfig | None:
    """Where settings and operators go; None: the folder has none.

    :raises CommandFailed: nobody has said where.
    """
    count = count_rows(folder.admin, ADMIN)
    if count and settings.admin is None:
        raise CommandFailed(
            USAGE,
            f"{folder.path} has settings and operators ({count:,} rows), which im-admin keeps: put its im-admin.toml into "
            f"{etc} as well, or leave them behind with --without-settings",
        )
    return settings.admin if count else None


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
        say("moved: start im-core, im-business and im-admin, and never again `twistd im` on the folder")
    return code


def _copy(move: _Move) -> bool:
    """Whether an earlier run has finished the move already; settings and operators may still come later."""
    folder, business, admin, messages = move.folder, move.business, move.admin, move.messages
    identity = Identity(folder.epoch, f"{folder.stamp()}/{business.stamp()}")
    # All are asked before any is touched.
    business.refuse_others(identity)
    messages.refuse_others(identity)
    if admin is not None:
        admin_identity = Identity(folder.epoch, admin.stamp())
        admin.refuse_others(admin_identity)
    done = messages.done
    if done:
        move.progress.say("people and messages of this folder were copied before: only checking them")
    else:
        messages.refuse_expired(folder, now_ms=system_wall_clock())
        business.begin(identity)
        messages.begin(identity)
        business.copy(move.progress)
        messages.copy(folder, move.progress)
        move.last_seen.copy(folder, move.progress)
    if admin is not None:
        admin.begin(admin_identity)
        admin.copy(move.progress)
    return done


def _check(move: _Move) -> int:
    say = move.progress.say
    say("checking: every row of both sides")
    wrong = 0
    verdicts: list[Iterable[Verdict]] = [
        move.business.compare(),
        *([move.admin.compare()] if move.admin is not None else []),
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
