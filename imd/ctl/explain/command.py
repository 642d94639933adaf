"""``imctl explain``: asks the server, and prints a timeline with the verdict on top."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from imd.ctl.exits import CHECK_FAILED, OK, TARGET, CommandFailed
from imd.ctl.server import BUSINESS, Server, add_arguments, printable

DESCRIPTION = """\
Tell what became of a message for one receiver: when it came in and by which node, who decided what about it, where it is
stored, how it was handed on, and whether the receiver's devices have it - or why not. The content is not shown. It
works for a day back, for what is stored as long as it is stored.
"""
EPILOG = """\
MESSAGE is a server message id, CONVERSATION:SEQ, or CONVERSATION/SENDER_ID/CLIENT_MSG_ID (the one to use for what was
never stored). USER is an id or a handle.

Exit codes: 0 the receiver got it, 1 did not, 2 that is not known (or wrong usage), 4 the server cannot be asked.
"""
#: There is no record of it, or it is not sure.
NOT_KNOWN = 2
_CODES = {"yes": OK, "no": CHECK_FAILED}


class Step(Struct):
    """As REST tells it."""

    at: int
    where: str
    what: str
    text: str


class Story(Struct):
    """As REST tells it, so far as it is printed."""

    got: str
    reason: str
    verdict: str
    advice: str
    steps: list[Step]
    gaps: list[str]


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
    add_arguments(command, BUSINESS)
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The exit code."""
    server = Server.of(arguments, os.environ, BUSINESS)
    answer = server.get("/operator/explain", message=arguments.message, user=arguments.user)
    try:
        story = msgspec.convert(answer, type=Story)
    except msgspec.ValidationError as error:
        raise CommandFailed(TARGET, f"the server does not answer as this imctl expects: {error}") from None
    if arguments.json:
        print(json.dumps(answer, indent=2))
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


def _time(at_ms: int) -> str:
    if not at_ms:
        return " " * 24
    return f"{datetime.fromtimestamp(at_ms / 1000, tz=UTC):%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03}Z"
