"""``tools/cluster``: up, down, status, logs."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from imd.config.load import keys
from imd.config.sections import BusinessLimits, CoreLimits
from imd.ctl.cluster.cluster import LOCK, Cluster
from imd.ctl.cluster.layout import DEFAULT_BASE_PORT, Layout, Settings, read_layout
from imd.ctl.cluster.process import EngineError

EXIT_OK: Final = 0
EXIT_NOT_READY: Final = 1
EXIT_FAILED: Final = 3
DEFAULT_FOLDER: Final = "imd-cluster"
#: A rate of 0 switches the limit off; a burst cannot be 0.
_NO_LIMITS = {
    path: 0 for kind in (CoreLimits, BusinessLimits) for path, _ in keys(kind) if "burst" not in path
}

_DESCRIPTION = """\
A cluster on this machine, for trying things out and for development: NATS, MongoDB, Redis and
MariaDB, 2 im-core, 2 im-business and 1 im-admin, all on loopback, with generated passwords, data
and logs in one folder.
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(prog="tools/cluster", description=_DESCRIPTION)
    top.add_argument("--folder", type=Path, default=Path(DEFAULT_FOLDER), help=f"default: ./{DEFAULT_FOLDER}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_up(commands)
    down = commands.add_parser("down", help="stop all; im-core first, which lets its clients go")
    down.add_argument("--wipe", action="store_true", help="delete the folder, with all data")
    down.set_defaults(run=_down)
    commands.add_parser("status", help="every process: is it ready? Exit code 1 if one is not").set_defaults(
        run=_status
    )
    logs = commands.add_parser("logs", help="the end of the logs")
    logs.add_argument("names", nargs="*", metavar="NAME", help="as status calls them; default: the nodes")
    logs.add_argument("-n", dest="lines", type=int, default=20, metavar="LINES", help="of each; default: 20")
    logs.add_argument("-f", dest="follow", action="store_true", help="go on with what is added")
    logs.set_defaults(run=_logs)
    for command in commands.choices.values():
        # Also after the command, where one looks for it first.
        command.add_argument("--folder", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return top


def _add_up(commands: Any) -> None:
    up = commands.add_parser(
        "up",
        help="start what does not run, and wait until all is ready",
        description="Start what does not run, and wait until all is ready. What is said here is remembered.",
    )
    up.add_argument("--cores", type=int, help="im-core nodes; default: 2")
    up.add_argument("--business", type=int, help="im-business nodes; default: 2")
    up.add_argument(
        "--mongo-members", type=int, choices=(1, 3), help="members of the replica set; default: 1"
    )
    up.add_argument(
        "--base-port",
        type=int,
        metavar="PORT",
        help=f"first port of the nodes; 0: any free ones; default: {DEFAULT_BASE_PORT}",
    )
    up.add_argument("--no-limits", action="store_true", help="switch all rate limits off, for load tests")
    up.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        type=_setting,
        metavar="SECTION.KEY=VALUE",
        help="a key of etc/im-*.toml, for all roles that have it; may be repeated; counts from a node's next start on",
    )
    up.set_defaults(run=_up)


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    parsed = parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except EngineError as error:
        print(f"tools/cluster: {error}", file=sys.stderr)
        return EXIT_FAILED
    except OSError as error:
        print(f"tools/cluster: {error}; --folder names another place", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("tools/cluster: interrupted; what runs goes on: tools/cluster status", file=sys.stderr)
        return 130


def _setting(text: str) -> tuple[str, str, object]:
    path, equals, value = text.partition("=")
    section, _, key = path.strip().rpartition(".")
    if not equals or not section or not key:
        raise argparse.ArgumentTypeError(f"{text!r}; expected such as limits.user_text_per_min=0")
    try:
        return section, key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return section, key, value


def _up(arguments: argparse.Namespace) -> int:
    folder = arguments.folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder):
        cluster = Cluster(
            folder=folder, layout=_layout(arguments), settings=_settings(arguments), outlives=True
        )
        cluster.up(say=_say)
    _say_where(cluster, folder)
    return EXIT_OK


def _layout(arguments: argparse.Namespace) -> Layout:
    layout = read_layout(arguments.folder) or Layout()
    wanted: dict[str, Any] = {
        name: getattr(arguments, name)
        for name in ("cores", "business", "mongo_members", "base_port")
        if getattr(arguments, name) is not None
    }
    return replace(layout, **wanted)


def _settings(arguments: argparse.Namespace) -> Settings:
    settings: dict[str, dict[str, object]] = {"limits": dict(_NO_LIMITS)} if arguments.no_limits else {}
    for section, key, value in arguments.settings:
        settings.setdefault(section, {})[key] = value
    return settings


def _say_where(cluster: Cluster, folder: Path) -> None:
    cores, business = cluster.of_role("core"), cluster.of_role("business")
    print(f"\nimd's cluster is ready; its data, logs and passwords are in {folder}")
    for what, addresses in (
        ("native clients", [node.tcp_url for node in cores]),
        ("web clients", [node.ws_url for node in cores]),
        ("REST", [f"{node.http_url}/api/v1" for node in business]),
        ("operators", [f"{node.http_url}/api/v1" for node in cluster.of_role("admin")]),
        ("metrics", [node.metrics_url for node in cluster.nodes.values()]),
    ):
        if addresses:
            print(f"  {what + ':':<16}{'  '.join(addresses)}")
    if cluster.of_role("admin"):
        print(
            f"  {'':<16}with the token in {folder / 'secrets' / cluster.configuration.operator_token_file.name}"
        )
    servers = [node.http_url for node in business]
    print(
        f"next: .venv/bin/imc --as alice register --server {servers[0]}; "
        f".venv/bin/imc --as bob register --server {servers[-1]}; .venv/bin/imc --as alice chat bob"
    )
    own = "tools/cluster" if folder == Path(DEFAULT_FOLDER) else f"tools/cluster --folder {folder}"
    print(f"      {own} status; {own} logs -f; {own} down")


def _down(arguments: argparse.Namespace) -> int:
    cluster = _existing(arguments.folder)
    with _alone(arguments.folder):
        cluster.down(say=_say)
        if arguments.wipe:
            cluster.wipe()
            _say(f"{arguments.folder} is deleted")
        else:
            _say(f"all is down; the data stays in {arguments.folder} (--wipe deletes it)")
    return EXIT_OK


def _status(arguments: argparse.Namespace) -> int:
    states = _existing(arguments.folder).status()
    print(f"{'name':<12}{'address':<18}{'process':>8}  state")
    for state in states:
        print(f"{state.name:<12}{state.address:<18}{state.pid or '-':>8}  {state.missing or 'ready'}")
    return EXIT_NOT_READY if any(state.missing for state in states) else EXIT_OK


def _logs(arguments: argparse.Namespace) -> int:
    cluster = _existing(arguments.folder)
    processes = cluster.processes()
    unknown = [name for name in arguments.names if name not in processes]
    if unknown:
        raise EngineError(f"nothing is named {', '.join(unknown)}; there are {', '.join(processes)}")
    files = [processes[name].log_file for name in arguments.names or cluster.nodes]
    there = [str(file) for file in files if file.exists()]
    if not there:
        raise EngineError("there are no logs yet")
    sys.stdout.flush()
    os.execvp("tail", ["tail", "-n", str(arguments.lines), *(["-F"] if arguments.follow else []), *there])  # noqa: S606, S607


def _existing(folder: Path) -> Cluster:
    if read_layout(folder) is None:
        raise EngineError(f"there is no cluster in {folder}; tools/cluster up makes one")
    return Cluster(folder=folder, outlives=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else starts or stops the cluster meanwhile."""
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EngineError(f"another tools/cluster is at work in {folder}; wait for it") from None
        yield


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
