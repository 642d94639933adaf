"""``tools/bench permission``: what a permission check costs a core node, cached and not."""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet import asyncioreactor


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="tools/bench permission", description=__doc__)
    add = made.add_argument
    add("--nats", action="store_true", help="business in a process of its own, behind a nats-server")
    add(
        "--rate", type=float, metavar="R", help="checks a second that miss (default 2000, in one process 500)"
    )
    add("--seconds", type=float, default=10, metavar="S", help="of them (default 10)")
    add("--json", action="store_true", help="print one JSON object")
    add("--serve", default="", metavar="ADDRESS", help=argparse.SUPPRESS)
    add("--folder", default="", help=argparse.SUPPRESS)
    return made


def main(arguments: Sequence[str]) -> None:
    """Ends the process: 0 as promised, 1 not, 3 it could not be measured."""
    given = parser().parse_args(arguments)
    # Before anything imports another one; as the roles have it.
    try:
        import uvloop
    except ImportError:
        asyncioreactor.install()
    else:
        asyncioreactor.install(uvloop.new_event_loop())
    from twisted.internet.defer import Deferred
    from twisted.internet.task import react

    react(lambda reactor: Deferred.fromCoroutine(_run(reactor, given)))


async def _run(reactor: Any, given: argparse.Namespace) -> None:
    from imd.kernel.errors import StartupError
    from imd.roles.measure.authority import serve
    from imd.roles.measure.permission import MOST, in_one_process, over_nats

    # As the roles have it.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    if given.serve:
        await serve(reactor, Path(given.folder), given.serve)
        return
    try:
        with tempfile.TemporaryDirectory(prefix="imd-bench-") as made:
            way, rate_per_s = (over_nats, 2_000.0) if given.nats else (in_one_process, 500.0)
            result = await way(
                reactor, Path(made), rate_per_s=given.rate or rate_per_s, seconds=given.seconds
            )
    except StartupError as error:
        sys.stderr.write(f"bench: cannot run: {error}\n")
        raise SystemExit(3) from None
    sys.stdout.write(json.dumps(result) + "\n" if given.json else shown(result, MOST))
    missed = [name for name, most in MOST.items() if result[name] > most]
    if missed:
        sys.stderr.write(f"bench: WRONG: more than promised: {', '.join(missed)}\n")
        raise SystemExit(1)


def shown(result: Mapping[str, Any], most: Mapping[str, float]) -> str:
    """A line a figure, with what is promised of it."""
    lines = []
    for name, value in result.items():
        figure = f"{value:,}" if isinstance(value, int) else str(value)
        promised = f"at most {most[name]:,}" if name in most else ""
        lines.append(f"{name:<28}{figure:<12}{promised}".rstrip())
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
