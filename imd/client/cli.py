"""``imc``, the terminal client.

This is an executable: besides tap/ the only place that imports the reactor, and only once the
command line has been understood.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import react
from twisted.python.failure import Failure

from imd.client.commands import accounts, chat, groups, people, talk
from imd.client.commands.context import Context
from imd.client.commands.outcome import INTERRUPTED, OK, exit_code, explain

EPILOG = """\
Each profile is one login on one device; a second imc with the same profile ends the first one's
session. Two people at one machine are two profiles: imc --as alice ..., imc --as bob ...

Exit codes: 0 done, 1 refused by the server, 2 wrong usage, 3 server not reachable,
4 login needed (expired, revoked, or taken over by another imc), 70 a fault of imc itself,
130 interrupted.

Environment: IMC_PROFILE, XDG_CONFIG_HOME (profiles are in its folder imc), NO_COLOR.
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="imc",
        description="Talk to people on an imd server.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "--as",
        dest="profile",
        metavar="NAME",
        default=os.environ.get("IMC_PROFILE", ""),
        help="the profile; needed only if there are several",
    )
    top.add_argument(
        "--url",
        default="",
        help="tcp://, tls://, ws:// or wss:// address for messages; default: where the server says",
    )
    top.add_argument("--trust", default="", metavar="PEM", help="certificates to trust, for tls and wss")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    accounts.add(commands)
    chat.add(commands)
    talk.add(commands)
    groups.add(commands)
    people.add(commands)
    _anywhere(commands)
    return top


def _anywhere(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """``--as`` may stand behind the command, too."""
    for command in commands.choices.values():
        command.add_argument("--as", dest="profile", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        for action in command._actions:  # noqa: SLF001 - argparse has no public way to walk its parsers
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
                _anywhere(action)


async def run(context: Context) -> None:
    """The command, with its exit code as SystemExit."""
    try:
        await context.arguments.run(context)
        code = OK
    except CancelledError:
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has had enough; Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OK
    except Exception as error:
        known = exit_code(error)
        if known is None:
            raise
        code = known
        print(f"imc: {explain(error)}", file=sys.stderr)
    finally:
        await context.close()
    raise SystemExit(code)


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script."""
    parsed = parser().parse_args(arguments)

    def begin(reactor: Any) -> Deferred[None]:
        running = Deferred.fromCoroutine(run(Context(parsed, reactor=reactor)))
        ended: Deferred[None] = Deferred()
        running.addErrback(_show_fault).addBoth(_then, ended)

        def interrupted() -> Deferred[None]:
            running.cancel()
            return ended

        # So that ^C and SIGTERM let the command clean up before the connections are torn down.
        reactor.addSystemEventTrigger("before", "shutdown", interrupted)
        return running

    react(begin)


def _then(result: object, ended: Deferred[None]) -> object:
    ended.callback(None)
    return result


def _show_fault(failure: Failure) -> Failure:
    """A fault of ours: say so in one line; the details are what a report needs."""
    if failure.check(SystemExit) is None:
        print(f"imc: internal error: {failure.getTraceback()}", file=sys.stderr)
        return Failure(SystemExit(70))
    return failure
