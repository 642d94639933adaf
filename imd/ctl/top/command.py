"""``imctl top``: which nodes are looked at, how often, and for how long."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import msgspec

from imd.ctl.exits import CHECK_FAILED, OK, TARGET, CommandFailed
from imd.ctl.top.figures import Figures
from imd.ctl.top.judging import findings
from imd.ctl.top.nodes import Target, defaults, named
from imd.ctl.top.table import lines
from imd.ctl.top.terminal import whole_terminal
from imd.ctl.top.watch import Watch

DESCRIPTION = """\
What the nodes do right now, as they say it on their metrics ports: connections, messages a second, latencies,
queues, shards, how late the reactor is, and which version of the settings they run. Latencies are those of what
happened since the look before, in ms.

On a terminal it is refreshed until q or ^C. Elsewhere, and with --once or --json, it is one picture of one interval.
"""

EPILOG = """\
Exit codes: 0 all nodes answered; 1 a node was down or not ready (--once, --json); 2 wrong usage or configuration;
4 none was named, and none answers at the default ports.
"""

DEFAULT_INTERVAL_S = 2.0
MIN_INTERVAL_S, MAX_INTERVAL_S = 0.2, 3600.0
#: A node that needs longer for its metrics is too busy to be called well.
MIN_TIMEOUT_S, MAX_TIMEOUT_S = 1.0, 5.0
#: Nodes asked at a time; more wait for a moment.
_THREADS = 32
#: How soon a key is heeded while nodes are still being asked.
_KEY_PAUSE_S = 0.05
#: A file or a pipe is as wide as the lines are.
_NO_WIDTH = 1000
_FOOT = ("", "q quits")
_QUIT = frozenset("qQ\x03\x04")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe it."""
    command = commands.add_parser(
        "top",
        help="a live view of the nodes",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--metrics",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="a node's metrics port; may be repeated; default: those default ports of the roles that answer",
    )
    command.add_argument(
        "--config",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a node's configuration, which names its metrics port; of --workers N the first one's, and --metrics "
        "names the others; may be repeated",
    )
    command.add_argument(
        "--cluster", type=Path, metavar="FOLDER", help="all nodes of a folder of tools/cluster"
    )
    command.add_argument(
        "--interval",
        type=_interval,
        default=DEFAULT_INTERVAL_S,
        metavar="SECONDS",
        help=f"between two looks; default: {DEFAULT_INTERVAL_S:g}",
    )
    command.add_argument("--once", action="store_true", help="one picture, and the end")
    command.add_argument("--json", action="store_true", help="one picture as JSON, times in seconds")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The exit code."""
    asked = named(metrics=arguments.metrics, configs=arguments.config, cluster=arguments.cluster)
    live = all(map(_is_terminal, (sys.stdin, sys.stdout))) and os.environ.get("TERM", "dumb") != "dumb"
    timeout_s = min(max(arguments.interval, MIN_TIMEOUT_S), MAX_TIMEOUT_S)
    with _looking(asked or defaults(), timeout_s) as look:
        if not asked:
            look.keep_those_that_answer()
        if live and not (arguments.once or arguments.json):
            return _live(look, arguments.interval)
        return _picture(look, arguments.interval, as_json=arguments.json)


def _is_terminal(stream: TextIO | None) -> bool:
    """A stream may have been closed, by ``<&-`` for one."""
    return stream is not None and not stream.closed and stream.isatty()


class _Look:
    """All nodes, asked side by side."""

    def __init__(self, asked: Sequence[Target], *, timeout_s: float, pool: ThreadPoolExecutor) -> None:
        self._watches = [
            Watch(target, timeout_s=timeout_s, seconds=time.monotonic, wall_seconds=time.time)
            for target in asked
        ]
        self._pool = pool

    def begin(self) -> list[Future[Figures]]:
        """Ask; the answers, in the nodes' order, when they are there."""
        return [self._pool.submit(watch.look) for watch in self._watches]

    def keep_those_that_answer(self) -> None:
        """For nodes that nobody has named: which of the roles run here is not known.

        :raises CommandFailed: none does.
        """
        seen = [answer.result() for answer in self.begin()]
        if all(node.down for node in seen):
            tried = ", ".join(node.address for node in seen)
            raise CommandFailed(
                TARGET, f"no node answers at {tried}; --metrics, --config or --cluster says where they are"
            )
        self._watches = [watch for watch, node in zip(self._watches, seen, strict=True) if not node.down]


@contextmanager
def _looking(asked: Sequence[Target], timeout_s: float) -> Iterator[_Look]:
    pool = ThreadPoolExecutor(max_workers=min(len(asked), _THREADS))
    try:
        yield _Look(asked, timeout_s=timeout_s, pool=pool)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _picture(look: _Look, interval_s: float, *, as_json: bool) -> int:
    wait(look.begin())
    time.sleep(interval_s)
    nodes = [answer.result() for answer in look.begin()]
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode({"nodes": nodes})).decode() + "\n")
    else:
        columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else _NO_WIDTH
        print("\n".join(lines(nodes, when=_now(), columns=columns, colours=False)).rstrip())
    return CHECK_FAILED if any(finding.severe for finding in findings(nodes)) else OK


def _live(look: _Look, interval_s: float) -> int:
    colours = not os.environ.get("NO_COLOR")
    with whole_terminal(keys_fd=sys.stdin.fileno(), screen_fd=sys.stdout.fileno()) as terminal:
        terminal.show(["imctl top: asking"])
        while True:
            due_s = time.monotonic() + interval_s
            answers = look.begin()
            while wait(answers, timeout=0).not_done:
                if _quit(terminal.wait(_KEY_PAUSE_S)):
                    return OK
            nodes = [answer.result() for answer in answers]
            when = _now()
            while True:
                columns, rows = terminal.size()
                shown = lines(nodes, when=when, columns=columns, colours=colours, rows=rows - len(_FOOT))
                terminal.show([*shown, *_FOOT])
                pressed = terminal.wait(due_s - time.monotonic())
                if _quit(pressed):
                    return OK
                if pressed is None:
                    break


def _quit(pressed: str | None) -> bool:
    # F2 is an escape sequence with a Q in it.
    return pressed is not None and not pressed.startswith("\x1b") and not _QUIT.isdisjoint(pressed)


def _now() -> str:
    return dt.datetime.now().astimezone().strftime("%H:%M:%S")


def _interval(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not MIN_INTERVAL_S <= value <= MAX_INTERVAL_S:
        raise argparse.ArgumentTypeError(
            f"{text!r}; expected seconds from {MIN_INTERVAL_S:g} to {MAX_INTERVAL_S:g}"
        )
    return value
