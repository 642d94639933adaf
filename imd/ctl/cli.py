"""``imctl``, the operator's command line: one file or folder a subcommand, each with ``add(commands)``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from imd.ctl.backup.command import add as add_backup
from imd.ctl.doctor.command import add as add_doctor
from imd.ctl.exits import INTERRUPTED, OK, CommandFailed
from imd.ctl.explain.command import add as add_explain
from imd.ctl.migrate.command import add as add_migrate
from imd.ctl.new_epoch import add as add_new_epoch
from imd.ctl.operators import add as add_operators
from imd.ctl.settings.command import add as add_settings
from imd.ctl.top.command import add as add_top
from imd.ctl.trace.command import add as add_trace

EPILOG = """\
Exit codes: 0 done, 1 a check found something wrong, 2 wrong usage or configuration, 3 the source
cannot be used, 4 the target cannot be used, 130 interrupted. 'imctl COMMAND --help' tells more.
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="imctl",
        description="What operators of imd do beside running it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    add_backup(commands)
    add_doctor(commands)
    add_explain(commands)
    add_migrate(commands)
    add_new_epoch(commands)
    add_operators(commands)
    add_settings(commands)
    add_top(commands)
    add_trace(commands)
    return top


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parsed = parser().parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
    except CommandFailed as failed:
        print(f"imctl: {failed}", file=sys.stderr)
        return failed.code
    except KeyboardInterrupt:
        print("imctl: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has had enough; Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return code


def main() -> None:
    """The console script."""
    raise SystemExit(run())
