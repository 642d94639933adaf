"""``imctl settings``: its command line, and what each of its commands asks."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

from imd.ctl.exits import OK, USAGE, CommandFailed
from imd.ctl.server import Server, add_arguments
from imd.ctl.settings import shown
from imd.ctl.settings.settle import settle
from imd.ctl.settings.values import Document, flat, parsed, with_values, without

DESCRIPTION = """\
Limits, thresholds, policies, log levels and words that all nodes take while they run (docs/settings.rst). What is
set stands above the nodes' own files; each change is a version, and can be taken back.
"""
EPILOG = """\
Exit codes: 0 done, and every node runs it; 1 done, but not every node runs it (yet), or somebody else was first; 2
wrong usage, a wrong value, or not for this operator; 4 im-admin does not answer, or not now.
"""
#: Nodes run a change within half a second, and one that is busy somewhat later.
WAIT_S = 5.0

#: What ``add_subparsers`` returns has no public name.
Add = Any


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe it."""
    top = commands.add_parser(
        "settings",
        help="change limits, policies and words of running nodes",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    own = top.add_subparsers(dest="settings_command", metavar="COMMAND", required=True)
    get = _command(own, "get", "what is set", _get)
    get.add_argument("keys", nargs="*", metavar="KEY", help="only these")
    get.add_argument("--version", type=int, metavar="N", help="as it was in that version")
    keys = _command(own, "keys", "what can be set, with range and default", _keys)
    keys.add_argument("prefix", nargs="?", default="", metavar="PREFIX", help="such as limits.")
    change = _change(own, "set", "set keys, and leave all others as they are", _set)
    change.add_argument("assignments", nargs="+", metavar="KEY=VALUE", help="such as limits.user_burst=60")
    change.add_argument("--dry-run", action="store_true", help="only check it")
    unset = _change(own, "unset", "have keys as in the nodes' own files again", _unset)
    unset.add_argument("keys", nargs="+", metavar="KEY", help="a key, or a whole section")
    diff = _command(own, "diff", "what changed between two versions", _diff)
    diff.add_argument("before", nargs="?", type=int, metavar="FROM", help="default: the one before TO")
    diff.add_argument("after", nargs="?", type=int, metavar="TO", help="default: the current one")
    history = _command(own, "history", "all versions: who, when, why", _history)
    history.add_argument("-n", dest="limit", type=int, default=20, metavar="N", help="default: 20")
    back = _change(own, "rollback", "set everything as it was in a version; ends a gray release", _roll_back)
    back.add_argument("version", nargs="?", type=int, metavar="VERSION", help="default: the one before")
    _command(own, "nodes", "which node runs which version", _nodes)
    _add_gray(own)


def _add_gray(own: Add) -> None:
    gray = own.add_parser("gray", help="have some users or zones try something before all have it")
    commands = gray.add_subparsers(dest="gray_command", metavar="COMMAND", required=True)
    release = _change(commands, "release", "give it to some; the same again with more widens it", _release)
    release.add_argument("assignments", nargs="+", metavar="KEY=VALUE")
    release.add_argument("--percent", type=float, default=0.0, help="of all users, always the same ones")
    for name, what in (
        ("--user", "a user's id; may be repeated"),
        ("--zone", "only at nodes of this zone; alone, all of these nodes; may be repeated"),
        ("--client-version", "only with such a client: 2.4.1, or 2.4.*; may be repeated"),
    ):
        release.add_argument(name, action="append", default=[], help=what)
    _change(commands, "promote", "give it to all", lambda server, _: _end(server, _, "promote"))
    _change(commands, "withdraw", "take it back", lambda server, _: _end(server, _, "withdraw"))


def _command(own: Add, name: str, what: str, run: Any) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = own.add_parser(
        name, help=what, description=f"{what[0].upper()}{what[1:]}.", epilog=EPILOG, allow_abbrev=False
    )
    add_arguments(command)
    command.set_defaults(run=lambda arguments: run(Server.of(arguments, os.environ), arguments))
    return command


def _change(own: Add, name: str, what: str, run: Any) -> argparse.ArgumentParser:
    command = _command(own, name, what, run)
    command.add_argument(
        "-m", "--comment", default="", metavar="WHY", help="why, for whoever reads the history"
    )
    command.add_argument(
        "--based-on", type=int, metavar="N", help="refuse unless this is still the current version"
    )
    command.add_argument(
        "--wait",
        type=float,
        default=WAIT_S,
        metavar="SECONDS",
        help="for all nodes to run it; default: %(default)g",
    )
    return command


# What each does


def _get(server: Server, arguments: argparse.Namespace) -> int:
    path = "/settings" if arguments.version is None else f"/settings/versions/{arguments.version}"
    settings = server.get(path)
    if not arguments.keys:
        return _print(arguments, settings, shown.settings_lines(settings))
    given = flat(settings["settings"])
    known = {key["key"]: key["default"] for key in server.get("/settings/keys")["keys"]}
    unknown = [key for key in arguments.keys if key not in known]
    if unknown:
        # The server says it best, with the nearest key.
        server.call("POST", "/settings/check", {"settings": parsed(f"{key}=0" for key in unknown)})
        raise CommandFailed(USAGE, f"{', '.join(unknown)}: is not a key; see 'imctl settings keys'")
    lines = [
        f"{key} = {shown.value(given[key])}"
        if key in given
        else f"{key} is not set: as in each node's file, else {shown.value(known[key])}"
        for key in arguments.keys
    ]
    return _print(arguments, {key: given.get(key) for key in arguments.keys}, lines)


def _keys(server: Server, arguments: argparse.Namespace) -> int:
    keys = [key for key in server.get("/settings/keys")["keys"] if key["key"].startswith(arguments.prefix)]
    return _print(arguments, {"keys": keys}, shown.key_lines(keys))


def _set(server: Server, arguments: argparse.Namespace) -> int:
    changes = parsed(arguments.assignments)
    current = server.get("/settings")
    document = with_values(current["settings"], changes)
    if arguments.dry_run:
        answer = server.call("POST", "/settings/check", {"settings": document})
        return _print(arguments, answer, ["this can be set"])
    return _put(server, arguments, current, document)


def _unset(server: Server, arguments: argparse.Namespace) -> int:
    current = server.get("/settings")
    return _put(server, arguments, current, without(current["settings"], arguments.keys))


def _put(
    server: Server, arguments: argparse.Namespace, current: Mapping[str, Any], document: Document
) -> int:
    return _changed(server, arguments, current, "PUT", "/settings", {"settings": document})


def _diff(server: Server, arguments: argparse.Namespace) -> int:
    after = arguments.after if arguments.after is not None else server.get("/settings")["version"]
    before = arguments.before if arguments.before is not None else _before(server, after)
    diff = server.get("/settings/diff", **{"from": before, "to": after})
    return _print(arguments, diff, shown.difference_lines(diff))


def _history(server: Server, arguments: argparse.Namespace) -> int:
    versions: list[dict[str, Any]] = []
    before = 0
    while len(versions) < arguments.limit:
        page = server.get("/settings/versions", before=before, limit=min(50, arguments.limit - len(versions)))
        versions += page["versions"]
        before = page["next"]
        if not before:
            break
    lines = [shown.version_line(each) for each in versions] or ["nothing was ever set"]
    return _print(arguments, {"versions": versions}, lines)


def _roll_back(server: Server, arguments: argparse.Namespace) -> int:
    current = server.get("/settings")
    version = arguments.version
    if version is None:
        if not current["version"]:
            raise CommandFailed(USAGE, "nothing was ever set, so there is nothing to go back to")
        version = _before(server, current["version"])
    return _changed(server, arguments, current, "POST", "/settings/rollback", {"version": version})


def _before(server: Server, version: int) -> int:
    """The version before one; 0: it is the first."""
    found = server.get("/settings/versions", before=version, limit=1)["versions"] if version else []
    return int(found[0]["version"]) if found else 0


def _nodes(server: Server, arguments: argparse.Namespace) -> int:
    board = server.get("/settings/nodes")
    return _print(arguments, board, shown.node_lines(board))


def _release(server: Server, arguments: argparse.Namespace) -> int:
    body = {
        "settings": parsed(arguments.assignments),
        "percent": arguments.percent,
        "users": arguments.user,
        "zones": arguments.zone,
        "clientVersions": arguments.client_version,
    }
    return _changed(server, arguments, server.get("/settings"), "PUT", "/settings/gray", body)


def _end(server: Server, arguments: argparse.Namespace, how: str) -> int:
    return _changed(server, arguments, server.get("/settings"), "POST", f"/settings/gray/{how}", {})


def _changed(
    server: Server,
    arguments: argparse.Namespace,
    current: Mapping[str, Any],
    method: str,
    path: str,
    body: Mapping[str, Any],
) -> int:
    based_on = current["version"] if arguments.based_on is None else arguments.based_on
    settings = server.call(method, path, {**body, "basedOn": based_on, "comment": arguments.comment})
    code, lines = settle(
        server, settings, patience_s=arguments.wait, seconds=time.monotonic, sleep=time.sleep
    )
    return _print(arguments, settings, [*shown.settings_lines(settings), *lines], code)


def _print(arguments: argparse.Namespace, answer: Any, lines: Iterable[str], code: int = OK) -> int:
    if arguments.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        print("\n".join(lines))
    return code
