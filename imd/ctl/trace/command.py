"""``imctl trace``: reads the files that nodes with ``exporter = "file"`` write, and draws what is in them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from imd.ctl.exits import CHECK_FAILED, OK, SOURCE, CommandFailed
from imd.ctl.server import printable
from imd.ctl.trace.reading import Folder, Line, Trace

DESCRIPTION = """\
Show where the time of sampled messages went: each hop, when it began, how long it was, and on which node. Reads the
folder that the nodes write with exporter = "file" in [tracing]; of several machines, copy the files together.
"""
EPILOG = """\
WHAT is a trace id or its beginning, the id of a message (server's or client's), or a conversation. Without it the newest
traces are listed, a line each.

Exit codes: 0 shown, 1 there is none like that, 3 the folder cannot be read.
"""
DEFAULT_FOLDER = "imd-traces"
DEFAULT_COUNT = 20
#: More of one conversation are listed, not drawn.
MOST_DRAWN = 5


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe it."""
    command = commands.add_parser(
        "trace",
        help="where did the time of a message go?",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("what", metavar="WHAT", nargs="?", default="")
    command.add_argument(
        "--folder", type=Path, default=Path(DEFAULT_FOLDER), help=f"default {DEFAULT_FOLDER}"
    )
    command.add_argument("--slowest", action="store_true", help="list the slowest instead of the newest")
    command.add_argument("--failed", action="store_true", help="list only those in which something failed")
    command.add_argument(
        "--count", type=int, default=DEFAULT_COUNT, help=f"list so many (default {DEFAULT_COUNT})"
    )
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The exit code."""
    folder = Folder(arguments.folder)
    try:
        traces = folder.traces(arguments.what)
    except OSError as error:
        raise CommandFailed(
            SOURCE,
            f"{arguments.folder} cannot be read ({error.strerror}); --folder names what folder in [tracing] says",
        ) from None
    if folder.damaged:
        print(f"{folder.damaged} lines are damaged, and left out", file=sys.stderr)
    if arguments.failed:
        traces = [trace for trace in traces if trace.failed is not None]
    if not traces:
        raise CommandFailed(
            CHECK_FAILED, "no such trace; only sampled messages have one (sample_ratio in [tracing])"
        )
    if arguments.slowest:
        traces.sort(key=lambda trace: trace.first.took_ms)
    if arguments.what and len(traces) <= MOST_DRAWN:
        print("\n\n".join("\n".join(drawn(trace)) for trace in traces))
    else:
        print("\n".join(listed(trace) for trace in traces[-max(1, arguments.count) :]))
    return OK


def drawn(trace: Trace) -> Iterator[str]:
    """Its hops, numbered, one below the other."""
    first = trace.first
    yield printable(f"trace {trace.trace_id}, {first.time}")
    yield printable(f"    {_said(first)}")
    began_ms = first.began_ms
    for number, (depth, span) in enumerate(trace.placed(), 1):
        name = "  " * depth + span.name
        said = "" if span is first else _said(span)
        if span.error:
            said += f" FAILED: {span.error}"
        yield printable(
            f"{number:3} {span.began_ms - began_ms:+10.3f} ms {span.took_ms:10.3f} ms  {span.node:<11} {name:<24} {said}"
        ).rstrip()


def _said(span: Line) -> str:
    return " ".join(f"{key.rpartition('im.')[2]}={value}" for key, value in span.attributes.items())


def listed(trace: Trace) -> str:
    """All of it in a line."""
    first, failed = trace.first, trace.failed
    nodes = ",".join(dict.fromkeys(span.node for span in trace.spans))
    end = f"FAILED: {failed.error}" if failed is not None else str(first.attributes.get("im.status", ""))
    return printable(
        f"{first.time} {first.trace_id} {first.took_ms:10.3f} ms {len(trace.spans):3} hops {nodes} "
        f"{first.attributes.get('im.conversation_id', '')} {end}"
    ).rstrip()
