"""``imctl doctor``: what is asked for, what is looked at, how it ends."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from imd.ctl.doctor.examinations import examinations_of
from imd.ctl.doctor.finding import Level, worst_of
from imd.ctl.doctor.report import as_json, lines, stderr_waiting
from imd.ctl.doctor.running import findings_of
from imd.ctl.doctor.targets import targets_of
from imd.ctl.doctor.world import World
from imd.ctl.exits import OK
from imd.kernel.clocks import system_wall_clock

DESCRIPTION = """\
Look for what is wrong with an installation: configuration, versions, secrets, certificates, the data folder, NATS,
MongoDB, MySQL, Redis, open ports, limits, clocks. It may run beside a running server, and disturbs nothing. Run it
as the server's user, or as root, where the server is started. docs/doctor.rst says what each check means.
"""

EPILOG = """\
Exit codes: 0 nothing to do (there may be notes); 1 warnings; 2 failures, or wrong usage; 130 interrupted.
"""

_CODES = {Level.OK: OK, Level.NOTE: OK, Level.WARN: 1, Level.FAIL: 2}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe it."""
    command = commands.add_parser(
        "doctor",
        help="look for what is wrong with an installation",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="[ROLE=]FILE",
        help="a role's file, such as etc/im-core.toml; again for each role or node; without, `twistd im` with its "
        "defaults. Variables IM__... count as for the roles",
    )
    command.add_argument(
        "--nats-monitor",
        action="append",
        default=[],
        metavar="URL",
        help="of a NATS server that has a monitoring port, such as http://127.0.0.1:8222: what a client cannot see; "
        "again for each server",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object with all findings")
    command.add_argument("--verbose", "-v", action="store_true", help="also show notes and what is right")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The exit code."""
    world = World(
        environ=os.environ, wall_clock=system_wall_clock, seconds=time.monotonic, proc=Path("/proc")
    )
    targets = list(targets_of(arguments.config, world.environ))
    waiting = stderr_waiting(time.monotonic)
    found = findings_of(
        examinations_of(targets, world, nats_monitors=arguments.nats_monitor),
        seconds=time.monotonic,
        progress=waiting,
    )
    waiting.clear()
    if arguments.json:
        print(as_json(found))
    else:
        for line in lines(found, verbose=arguments.verbose):
            print(line)
    return _CODES[worst_of(found)]
