"""``tools/bench``: parse, run, print, and an exit code that says whether anything went wrong."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from imd.client.load.against import Comparison, compare
from imd.client.load.options import Options, parse
from imd.client.load.result import Result
from imd.client.load.run import run
from imd.client.load.server import environment
from imd.client.load.worker import raise_file_limit
from imd.kernel.errors import StartupError

EXIT_WRONG: Final = 1
EXIT_COULD_NOT_RUN: Final = 3
_QUIET_EVERY_S: Final = 5.0
_COLUMNS: Final = ("connected", "sent", "stored", "delivered", "duplicated", "reordered", "errors")


class ProgressTable:
    """A line a second on a terminal, one every few seconds elsewhere; on stderr."""

    def __init__(self, *, every_s: float) -> None:
        self._every_s = every_s
        self._shown_ns = 0
        self._before: Mapping[str, int] = {}
        self._lines = 0

    def __call__(self, counts: Mapping[str, int], at_ns: int) -> None:
        elapsed_s = (at_ns - self._shown_ns) / 1e9
        if elapsed_s < self._every_s * 0.9:
            return
        if self._lines % 20 == 0:
            print("".join(f"{name:>12}" for name in (*_COLUMNS, "stored/s", "deliv./s")), file=sys.stderr)
        rates = [
            (counts[name] - self._before[name]) / elapsed_s if self._before else 0.0
            for name in ("stored", "delivered")
        ]
        cells = [f"{counts[name]:>12,}" for name in _COLUMNS] + [f"{rate:>12,.0f}" for rate in rates]
        print("".join(cells), file=sys.stderr, flush=True)
        self._lines += 1
        self._shown_ns = at_ns
        self._before = counts


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _inside(arguments: Sequence[str]) -> int:
    """What no client can see is measured in the role itself."""
    command = [sys.executable, "-m", "imd.roles.measure", *arguments]
    return subprocess.run(command, env=environment(), check=False).returncode  # noqa: S603 - our own


def _result(options: Options, once: Callable[[Options], Result]) -> Result | Comparison:
    if not options.against:
        return once(options)
    return compare(options, options.against, rounds=options.rounds, run=once, say=_say)


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    if arguments[:1] == ["permission"]:
        return _inside(arguments[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    started_s = time.monotonic()
    try:
        options = parse(arguments)
        raise_file_limit()
        table = ProgressTable(every_s=1.0 if sys.stderr.isatty() else _QUIET_EVERY_S)
        result = _result(options, partial(run, say=_say, on_progress=table))
    except StartupError as error:
        _say(f"cannot run: {error}")
        return EXIT_COULD_NOT_RUN
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    print(result.as_json() if options.json else result.as_table(), flush=True)
    if result.wrong:
        _say(f"WRONG: {', '.join(result.wrong)}; {'; '.join(result.findings) or 'see the counts'}")
        return EXIT_WRONG
    _say(f"nothing lost, doubled or reordered; {time.monotonic() - started_s:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
