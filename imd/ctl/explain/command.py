"""``imctl explain``: asks the server, and prints a timeline with the verdict on top."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from imd.ctl.exits import CHECK_FAILED, OK
from imd.ctl.explain.ask import Story, ask

DESCRIPTION = """\
Tell what became of a message for one receiver: when it came in and by which node, who decided what about it, where it is
stored, how it was handed on, and whether the receiver's devices have it - or why not. The content is not shown. It
works for a day back, for what is stored as long as it is stored.
"""
EPILOG = """\
MESSAGE is a server message id, CONVERSATION:SEQ, or CONVERSATION/SENDER_ID/CLIENT_MSG_ID (the one to use for what was
never stored). USER is an id or a handle.

Exit codes: 0 the receiver got it, 1 did not, 2 that is not known (or wrong usage), 3 the server cannot be asked.
"""
#: There is no record of it, or it is not sure.
NOT_KNOWN = 2
_CODES = {"yes": OK, "no": CHECK_FAILED}
DEFAULT_SERVER = "http://127.0.0.1:8080"
DEFAULT_TOKEN_FILE = "imd-data/secrets/operator.token"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe it."""
    command = commands.add_parser(
        "explain",
        help="why did somebody not get a message?",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("message", metavar="MESSAGE")
    command.add_argument("user", metavar="USER")
    environ = os.environ
    command.add_argument(
        "--server",
        default=environ.get("IMCTL_SERVER", DEFAULT_SERVER),
        metavar="URL",
        help="of im-business, or im; $IMCTL_SERVER, else %(default)s",
    )
    command.add_argument(
        "--token-file",
        type=Path,
        default=Path(environ.get("IMCTL_TOKEN_FILE", DEFAULT_TOKEN_FILE)),
        metavar="FILE",
        help="the operators' token; $IMCTL_TOKEN_FILE, else %(default)s",
    )
    command.add_argument(
        "--ca-file", default="", metavar="FILE", help="the authority of its https certificate"
    )
    command.add_argument("--json", action="store_true", help="as REST answers it, for programs")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The exit code."""
    story, raw = ask(
        server=arguments.server,
        token_file=arguments.token_file,
        ca_file=arguments.ca_file,
        message=arguments.message,
        user=arguments.user,
    )
    if arguments.json:
        print(msgspec.json.format(raw).decode())
    else:
        print("\n".join(lines(story)))
    return _CODES.get(story.got, NOT_KNOWN)


def lines(story: Story) -> Iterator[str]:
    """As people read it."""
    yield printable(story.verdict)
    if story.advice:
        yield f"  what to do: {printable(story.advice)}"
    for gap in story.gaps:
        yield f"  nothing recorded here: {printable(gap)}"
    yield ""
    width = max((len(step.what) for step in story.steps), default=0)
    for step in story.steps:
        yield f"{_time(step.at)}  {step.where or '-':10} {step.what:{width}}  {printable(step.text)}"


def printable(text: str) -> str:
    """What people wrote must not move the cursor of who reads about it."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _time(at_ms: int) -> str:
    if not at_ms:
        return " " * 24
    return f"{datetime.fromtimestamp(at_ms / 1000, tz=UTC):%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03}Z"
