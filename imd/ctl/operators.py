"""``imctl operators``: who may look at and change a running server, each with a token of their own."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from imd.ctl.exits import OK, TARGET, USAGE, CommandFailed
from imd.ctl.server import Server, add_arguments, printable
from imd.ctl.settings.shown import time
from imd.ops.operators import REMEMBER_S

DESCRIPTION = """\
Operators have tokens of their own, and roles: an admin does everything; an operator looks and changes; an auditor
looks, also into the audit, and changes nothing. The first token is made by im-admin (or im) at its first start, which
says where it lies; with that one the others are made.
"""
ROLES = ("admin", "operator", "auditor")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe it."""
    top = commands.add_parser(
        "operators",
        help="who may operate the server: list, add, revoke",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    own = top.add_subparsers(dest="operators_command", metavar="COMMAND", required=True)
    _command(own, "me", "whose token this is", _me)
    _command(own, "list", "all of them", _list)
    new = _command(own, "add", "make one; the token is shown once, or written to a file", _add)
    new.add_argument("name", metavar="NAME", help="as the audit and the history call them")
    new.add_argument("--role", choices=ROLES, required=True)
    new.add_argument("--out", type=Path, metavar="FILE", help="write the token there, mode 0600")
    revoke = _command(own, "revoke", "take a token back; it is refused from then on", _revoke)
    revoke.add_argument("operator", metavar="NAME|ID")


def _command(own: Any, name: str, what: str, run: Any) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = own.add_parser(
        name, help=what, description=f"{what[0].upper()}{what[1:]}.", allow_abbrev=False
    )
    add_arguments(command)
    command.set_defaults(run=lambda arguments: run(Server.of(arguments, os.environ), arguments))
    return command


def _me(server: Server, arguments: argparse.Namespace) -> int:
    me = server.get("/operators/me")
    return _print(arguments, me, [f"{me['name']}, {me['role']} (id {me['id']})"])


def _list(server: Server, arguments: argparse.Namespace) -> int:
    answer = server.get("/operators")
    lines = [f"{'id':>6}  {'name':<32}  {'role':<8}  state"]
    for one in answer["operators"]:
        state = f"since {time(one['createdAt'])}, made by {one['createdBy']}"
        if one["revokedAt"]:
            state = f"REVOKED {time(one['revokedAt'])} by {one['revokedBy']}"
        lines.append(f"{one['id']:>6}  {printable(one['name']):<32}  {one['role']:<8}  {state}")
    if not answer["operators"]:
        lines = ["none yet: only whoever has the bootstrap token"]
    return _print(arguments, answer, lines)


def _add(server: Server, arguments: argparse.Namespace) -> int:
    out: Path | None = arguments.out
    handle = None if out is None else _new_file(out)
    try:
        made = server.call("POST", "/operators", {"name": arguments.name, "role": arguments.role})
    except BaseException:
        if out is not None and handle is not None:
            os.close(handle)
            out.unlink()
        raise
    lines = [f"{made['name']}, {made['role']} (id {made['id']})"]
    if handle is None:
        lines += ["token, shown this once:", made["token"]]
    else:
        with os.fdopen(handle, "w") as file:
            file.write(made.pop("token") + "\n")
        lines.append(f"the token is in {out}")
    return _print(arguments, made, lines)


def _new_file(out: Path) -> int:
    """Before there is a token that could be lost."""
    try:
        return os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise CommandFailed(
            TARGET, f"--out: cannot make {out}: {error.strerror}; no operator was made"
        ) from None


def _revoke(server: Server, arguments: argparse.Namespace) -> int:
    wanted = arguments.operator
    found = [
        one["id"]
        for one in server.get("/operators")["operators"]
        if wanted == str(one["id"]) or (wanted == one["name"] and not one["revokedAt"])
    ]
    if not found:
        raise CommandFailed(USAGE, f"there is no operator {printable(wanted)}; see 'imctl operators list'")
    revoked = server.call("DELETE", f"/operators/{found[0]}")
    lines = [
        f"{revoked['name']} (id {revoked['id']}) is revoked",
        f"a node that is cut off from im-admin, and has just asked, takes the token {REMEMBER_S:.0f} s more",
    ]
    return _print(arguments, revoked, lines)


def _print(arguments: argparse.Namespace, answer: Any, lines: Iterable[str]) -> int:
    print(json.dumps(answer, indent=2, ensure_ascii=False) if arguments.json else "\n".join(lines))
    return OK
