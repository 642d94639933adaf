"""``imctl migrate``: what is asked for, in which order it is done, and what is said about it."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from pymongo.errors import PyMongoError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from imd.admin.operators.sql import operators
from imd.admin.schema import open_admin_on
from imd.admin.settings.sql import versions
from imd.business.schema import open_business_on
from imd.config.engines import Sql
from imd.ctl.exits import CHECK_FAILED, OK, SOURCE, TARGET, USAGE, CommandFailed
from imd.ctl.migrate.compare import Verdict
from imd.ctl.migrate.last_seen import LastSeenCopy, open_last_seen
from imd.ctl.migrate.messages import MessageCopy, open_messages
from imd.ctl.migrate.record import Identity
from imd.ctl.migrate.role_files import RoleFiles, copy_secret, read_role_files, told_secret
from imd.ctl.migrate.source import Folder
from imd.ctl.migrate.tables import ADMIN, BUSINESS, Part, TableCopy, count_rows, server_of
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
        "--without-admin",
        action="store_true",
        help="leave behind what im-admin keeps: settings made while the server ran, and operators",
    )
    command.set_defaults(run=run)


class _Move(NamedTuple):
    """Everything that is open."""

    folder: Folder
    files: RoleFiles
    business: TableCopy
    #: None: there is nothing to move, or it is to stay behind.
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
        files = read_role_files(
            arguments.target,
            token_key=folder.token_key,
            environ=os.environ,
            with_admin=not arguments.without_admin,
        )
        if not arguments.check_only and not arguments.without_admin:
            _refuse_homeless(folder, files, arguments.target)
        try:
            return _run(_open(stack, folder, files, progress, arguments), check_only=arguments.check_only)
        except StartupError as error:
            raise CommandFailed(TARGET, str(error)) from None
        except SQLAlchemyError as error:
            if isinstance(cause := getattr(error, "orig", None), sqlite3.Error):
                raise CommandFailed(SOURCE, f"{folder.path} cannot be read ({cause})") from None
            raise CommandFailed(TARGET, _again("MySQL", error)) from None
        except sqlite3.Error as error:
            raise CommandFailed(SOURCE, f"{folder.path} cannot be read ({error})") from None
        except PyMongoError as error:
            raise CommandFailed(TARGET, _again("MongoDB", error)) from None


def _refuse_homeless(folder: Folder, files: RoleFiles, etc: Path) -> None:
    """:raises CommandFailed: the folder has settings or operators, and nobody has said where they go."""
    what = _kept_by_admin(folder)
    if what and files.admin is None:
        raise CommandFailed(
            USAGE,
            f"{folder.path} has {what}, which im-admin keeps: put its im-admin.toml into {etc} as well, or leave them behind "
            "with --without-admin",
        )


def _kept_by_admin(folder: Folder) -> str:
    """For the operator; empty: nothing."""
    version_count, operator_count = count_rows(folder.admin, versions), count_rows(folder.admin, operators)
    if not version_count + operator_count:
        return ""
    return f"settings (versions: {version_count:,}) and operators ({operator_count:,})"


def _open(
    stack: ExitStack, folder: Folder, files: RoleFiles, progress: Progress, arguments: argparse.Namespace
) -> _Move:
    def opened(part: Part, source: Engine, sql: Sql, make: Callable[..., Engine]) -> TableCopy:
        target = (open_mysql if arguments.check_only else make)(server_of(sql), connections=1)
        stack.callback(target.dispose)
        copy = TableCopy(part, source=source, target=target, place=f"{sql.database} on {sql.address}")
        # A variable may have led it elsewhere than the file says.
        progress.say(f"{part.title}: in the database {copy.place}")
        return copy

    admin = files.admin if _kept_by_admin(folder) else None
    return _Move(
        folder,
        files,
        opened(BUSINESS, folder.business, files.business.sql, open_business_on),
        opened(ADMIN, folder.admin, admin.sql, open_admin_on) if admin is not None else None,
        stack.enter_context(open_messages(files.core.mongo)),
        stack.enter_context(open_last_seen(files.core.redis)),
        progress,
    )


def _run(move: _Move, *, check_only: bool) -> int:
    folder, files, say = move.folder, move.files, move.progress.say
    if check_only:
        say(told_secret(folder.token_key, files.token_secret_file))
        return _check(move)
    finished = _copy(move)
    code = _check(move)
    if code == OK and not finished:
        say(copy_secret(folder.token_key, files.token_secret_file))
        move.messages.finish(folder.epoch)
        say("moved: start im-core, im-business and im-admin, and never again `twistd im` on the folder")
    return code


def _copy(move: _Move) -> bool:
    """Whether an earlier run has finished the move already; servers may have written since, so nothing is copied."""
    folder, business, admin, messages = move.folder, move.business, move.admin, move.messages
    identity = Identity(folder.epoch, f"{folder.stamp()}/{business.stamp()}")
    messages.refuse_others(identity)
    if messages.done:
        _refuse_lost(business, identity, "im-business.toml")
        move.progress.say("all of this folder was copied before: only checking")
        return True
    business.refuse_others(identity)
    messages.refuse_expired(folder, now_ms=system_wall_clock())
    parts = [(business, identity)]
    if admin is not None:
        whose = _admin_identity(folder, admin)
        admin.refuse_others(whose)
        parts.append((admin, whose))
    elif messages.with_admin:
        raise CommandFailed(
            USAGE,
            "this move began with settings and operators, and a part of them may be there: go on as it began",
        )
    # All were asked before any is written.
    messages.begin(identity, with_admin=admin is not None)
    for copy, whose in parts:
        copy.begin(whose)
        copy.copy(move.progress)
    messages.copy(folder, move.progress)
    move.last_seen.copy(folder, move.progress)
    return False


def _refuse_lost(copy: TableCopy, identity: Identity, file: str) -> None:
    """:raises CommandFailed: what was moved once is not where it is looked for."""
    if not copy.holds(identity):
        raise CommandFailed(
            TARGET,
            f"a move of this folder was finished, and the database {copy.place} does not hold it: look whether [sql] in {file} "
            "names the right one; if it is lost, begin anew with db.dropDatabase() in mongosh",
        )


def _admin_identity(folder: Folder, admin: TableCopy) -> Identity:
    return Identity(folder.epoch, admin.stamp())


def _check(move: _Move) -> int:
    say = move.progress.say
    say("checking: every row of both sides")
    wrong = 0
    verdicts: list[Iterable[Verdict]] = [move.business.compare()]
    if move.admin is not None and move.messages.with_admin:
        if move.messages.done:
            _refuse_lost(move.admin, _admin_identity(move.folder, move.admin), "im-admin.toml")
        verdicts.append(move.admin.compare())
    verdicts.append(move.messages.compare(move.folder, move.progress))
    for verdict in (each for some in verdicts for each in some):
        say(f"  {verdict}")
        for difference in verdict.differences:
            say(f"    {difference}")
        if verdict.difference_count > len(verdict.differences):
            say(f"    and {verdict.difference_count - len(verdict.differences):,} more")
        wrong += verdict.difference_count
    say(f"  {move.last_seen.verdict(move.folder)}")
    if what := _kept_by_admin(move.folder):
        if not move.messages.with_admin:
            say(
                f"  left behind: {what}; they can be set and made anew with imctl settings and imctl operators"
            )
        elif move.admin is None:
            say(f"  not looked at: {what}")
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
