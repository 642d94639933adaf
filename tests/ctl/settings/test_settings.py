"""``imctl settings``: what the command line says, what is asked, and what is told."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl import operators
from imd.ctl.cli import run
from imd.ctl.exits import CHECK_FAILED, OK, TARGET, USAGE, CommandFailed
from imd.ctl.server import Server
from imd.ctl.settings.settle import settle
from imd.ctl.settings.shown import node_lines, settings_lines, whom
from imd.ctl.settings.values import flat, parsed, with_values, without


def options(**given: Any) -> argparse.Namespace:
    """What the command line gives to every command."""
    unsaid = {"server": "", "token_file": "", "ca_file": "", "allow_plaintext": False, "json": False}
    return argparse.Namespace(**{**unsaid, **given})


class Values(SynchronousTestCase):
    """Keys and values as they are written."""

    def test_parsed(self) -> None:
        """Values are as in the configuration; text needs no quotes, and = may stand in it."""
        self.assertEqual(
            parsed(
                [
                    "limits.user_burst=6.5",
                    "accounts.registration=false",
                    "log.level=debug",
                    'log.levels=["a=b"]',
                    "a.b=c=d",
                ]
            ),
            {
                "limits": {"user_burst": 6.5},
                "accounts": {"registration": False},
                "log": {"level": "debug", "levels": ["a=b"]},
                "a": {"b": "c=d"},
            },
        )
        for text in ("limits.user_burst", "user_burst=1", "=1", ".x=1", "limits.=1", ""):
            self.assertRaises(CommandFailed, parsed, [text])

    def test_changed(self) -> None:
        """Some keys change, and the rest stays; neither document is touched."""
        before: dict[str, dict[str, Any]] = {"limits": {"a": 1, "b": 2}, "log": {"level": "info"}}
        self.assertEqual(with_values(before, {"limits": {"b": 3}})["limits"], {"a": 1, "b": 3})
        self.assertEqual(without(before, ["limits.a", "log"]), {"limits": {"b": 2}})
        self.assertEqual(without(before, ["log.level"]), {"limits": {"a": 1, "b": 2}})
        self.assertEqual(flat(before), {"limits.a": 1, "limits.b": 2, "log.level": "info"})
        with self.assertRaises(CommandFailed) as failed:
            without(before, ["log.leve"])
        self.assertIn("did you mean log.level?", str(failed.exception))


class Reaching(SynchronousTestCase):
    """Which server, and as whom."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp()).absolute()
        self.file.write_text("secret\n")
        self.file.chmod(0o600)
        self.environ = {"IMCTL_TOKEN_FILE": str(self.file)}

    def refused(self, *, environ: dict[str, str] | None = None, **given: Any) -> str:
        with self.assertRaises(CommandFailed) as failed:
            Server.of(options(**given), self.environ if environ is None else environ)
        self.assertEqual(failed.exception.code, USAGE)
        return str(failed.exception)

    def test_plaintext(self) -> None:
        """A token goes over http to this machine only, unless that is asked for."""
        for url in ("http://10.0.0.1:7795", "admin.example:7795", "http://127.0.0.1.evil.example"):
            self.assertIn("--allow-plaintext", self.refused(server=url))
            Server.of(options(server=url, allow_plaintext=True), self.environ)
        for url in ("127.0.0.1:7795", "localhost:1", "http://[::1]:7795", "https://admin.example"):
            Server.of(options(server=url), self.environ)

    def test_bad_server(self) -> None:
        """What is no server is said so."""
        for url in ("ftp://127.0.0.1", "http://", "https:///x"):
            self.assertIn("--server", self.refused(server=url))

    def test_token(self) -> None:
        """It is in a file that others cannot read, or in the environment; never on the command line."""
        self.assertIn("no token", self.refused(environ={}))
        self.assertIn("cannot read", self.refused(token_file="/nowhere"))
        self.file.chmod(0o644)
        self.assertIn("chmod 0600", self.refused())
        Server.of(options(), {"IMCTL_TOKEN": "secret"})

    def test_nobody_there(self) -> None:
        """A server that is not there is named, with what to look at."""
        server = Server.of(options(server="http://127.0.0.1:1"), self.environ)
        with self.assertRaises(CommandFailed) as failed:
            server.get("/settings")
        self.assertEqual(failed.exception.code, TARGET)
        self.assertIn("does im-admin (or im) run there?", str(failed.exception))


def node(name: str, version: int, **more: Any) -> dict[str, Any]:
    """As /settings/nodes tells it."""
    return {
        "node": name,
        "zone": "",
        "version": version,
        "isCurrent": True,
        "appliedAt": 0,
        "tookMs": None,
        "refused": None,
        "notKept": "",
        "grayId": 0,
        "grayUsers": 0,
        "heardSAgo": 0.1,
        "isSilent": False,
        **more,
    }


class Boards(Server):
    """A server that answers with one board after the other, the last one for ever."""

    def __init__(self, *boards: list[dict[str, Any]]) -> None:
        super().__init__(url="http://127.0.0.1:1", token="", token_from="", ca_file="")
        self.boards = list(boards)
        self.is_complete = True

    def get(self, path: str, **query: object) -> dict[str, Any]:
        nodes = self.boards.pop(0) if len(self.boards) > 1 else self.boards[0]
        return {"version": 0, "published": True, "isComplete": self.is_complete, "nodes": nodes}


class Settling(SynchronousTestCase):
    """What is said after a change."""

    def settle(
        self, *boards: list[dict[str, Any]], published: bool = True, is_complete: bool = True
    ) -> tuple[int, str]:
        now_s = [0.0]
        server = Boards(*boards)
        server.is_complete = is_complete

        def sleep(seconds: float) -> None:
            now_s[0] += seconds

        code, lines = settle(
            server,
            {"version": 7, "published": published},
            patience_s=1.0,
            seconds=lambda: now_s[0],
            sleep=sleep,
        )
        return code, "\n".join(lines)

    def test_all(self) -> None:
        """Once every node runs it, how long the last one took is told; who is silent is waited for by nobody."""
        later = [node("core-1", 7, tookMs=9), node("core-2", 7, tookMs=43), node("core-3", 2, isSilent=True)]
        code, told = self.settle([node("core-1", 6), node("core-2", 6)], later)
        self.assertEqual(code, OK)
        self.assertIn("runs on 2 of 2 nodes, the last one (core-2) after 43 ms", told)

    def test_refused(self) -> None:
        """A node that refuses is told with its reasons, and is a failure."""
        refused = {"version": 7, "reasons": ["content.words: odd\x1b[2J"]}
        code, told = self.settle([node("core-1", 6, refused=refused), node("core-2", 7)])
        self.assertEqual(code, CHECK_FAILED)
        self.assertIn("runs on 1 of 2", told)
        self.assertIn("core-1 REFUSED it and stays at version 6:\n    content.words: odd?[2J", told)

    def test_behind(self) -> None:
        """A node that does not follow in time is named."""
        code, told = self.settle([node("core-1", 6), node("core-2", 7)])
        self.assertEqual(code, CHECK_FAILED)
        self.assertIn("core-1 is still at version 6", told)

    def test_just_started(self) -> None:
        """An im-admin that does not know all nodes yet is waited for, and that it does not is told."""
        code, told = self.settle([node("core-1", 7)], is_complete=False)
        self.assertEqual(code, OK)
        self.assertIn("runs on 1 of 1", told)
        self.assertIn("has just started", told)

    def test_not_published(self) -> None:
        """That nobody runs it yet is no success."""
        code, told = self.settle([], published=False)
        self.assertEqual(code, CHECK_FAILED)
        self.assertIn("no node runs it yet", told)


class Shown(SynchronousTestCase):
    """What people read."""

    def test_settings(self) -> None:
        """Who, when, why, and every key; a gray release with whom it is for."""
        gray = {
            "id": 3,
            "settings": {"limits": {"user_burst": 5}},
            "percent": 5.0,
            "users": ["7"],
            "zones": ["north"],
            "clientVersions": ["2.*"],
        }
        shown = list(
            settings_lines(
                {
                    "version": 3,
                    "settings": {"log": {"levels": ["a=b"]}},
                    "gray": gray,
                    "comment": "try\x1b[2J",
                    "changedAt": 1_764_000_000_123,
                    "act": "gray",
                    "author": "anna",
                }
            )
        )
        self.assertEqual(
            shown,
            [
                "version 3, gray release by anna, 2025-11-24 16:00:00.123: try?[2J",
                '  log.levels = ["a=b"]',
                "gray release 3, for 5 % of users and 1 named user with a client of 2.* at nodes in north",
                "  limits.user_burst = 5",
            ],
        )
        self.assertEqual(
            whom({**gray, "percent": 0, "users": [], "clientVersions": []}), "everybody at nodes in north"
        )

    def test_nodes(self) -> None:
        """Whatever is not as it should be stands out."""
        nodes = [
            node("core-1", 7, tookMs=12, grayUsers=4, grayId=3),
            node("core-2", 6, isCurrent=False),
            node("core-3", 7, notKept="/x: Read-only file system"),
            node("core-4", 7, isSilent=True, heardSAgo=40.0),
        ]
        told = "\n".join(node_lines({"version": 7, "published": False, "isComplete": True, "nodes": nodes}))
        for words in (
            "NOT PUBLISHED",
            "12 ms",
            "4 users have gray release 3",
            "BEHIND",
            "NOT KEPT",
            "SILENT for 40 s",
        ):
            self.assertIn(words, told)
        self.assertIn(
            "no node has reported",
            "\n".join(node_lines({"version": 0, "published": True, "isComplete": False, "nodes": []})),
        )


class NewOperators(SynchronousTestCase):
    """``imctl operators add --out``."""

    def add(self, out: Path, call: Callable[..., dict[str, Any]]) -> tuple[int, str]:
        server = Boards([])
        self.patch(server, "call", call)
        printed = StringIO()
        with redirect_stdout(printed):
            code = operators._add(server, options(name="anna", role="admin", out=out))
        return code, printed.getvalue()

    def test_out(self) -> None:
        """The token is in the file, readable by its owner alone, and nowhere else."""
        out = Path(self.mktemp())
        made = {"id": 2, "name": "anna", "role": "admin", "token": "imo_secret"}
        code, printed = self.add(out, lambda *_: made)
        self.assertEqual((code, out.read_text(), out.stat().st_mode & 0o777), (OK, "imo_secret\n", 0o600))
        self.assertNotIn("secret", printed)

    def test_not_made(self) -> None:
        """Where no operator was made no file is left; where no file can be made no operator is."""

        def refuse(*_: object) -> dict[str, Any]:
            raise CommandFailed(CHECK_FAILED, "no")

        out = Path(self.mktemp())
        self.assertRaises(CommandFailed, self.add, out, refuse)
        self.assertFalse(out.exists())
        out.write_text("x")
        self.assertRaises(CommandFailed, self.add, out, lambda *_: self.fail("an operator was made"))


class Script(Server):
    """A server that knows one version and one node, and remembers what it was asked to do."""

    def __init__(self) -> None:
        super().__init__(url="http://127.0.0.1:1", token="", token_from="", ca_file="")
        self.done: list[tuple[str, str, Any]] = []

    def get(self, path: str, **query: object) -> dict[str, Any]:
        if path == "/settings/nodes":
            return {"version": 5, "published": True, "isComplete": True, "nodes": [node("im", 5)]}
        if path == "/settings/versions":
            return {"versions": [self.version(3)], "next": 0}
        return self.version(4)

    def version(self, number: int) -> dict[str, Any]:
        return {
            "version": number,
            "settings": {"limits": {"user_burst": 9}},
            "gray": None,
            "comment": "",
            "changedAt": 0,
            "act": "set",
            "author": "anna",
            "published": True,
        }

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        self.done.append((method, path, body))
        return self.version(5)


class Asked(SynchronousTestCase):
    """What comes of a command line."""

    def run_(self, *arguments: str) -> tuple[str, str, Any]:
        script = Script()
        self.patch(Server, "of", lambda *_: script)
        with redirect_stdout(StringIO()):
            self.assertEqual(run(["settings", *arguments]), OK)
        (done,) = script.done
        return done

    def test_changes(self) -> None:
        """Every change is based on what is current, unless it is said on what; what is not named stays."""
        changed = {
            "settings": {"limits": {"user_burst": 9, "user_text_per_min": 5}},
            "basedOn": 4,
            "comment": "why",
        }
        for arguments, method, path, body in (
            (("set", "limits.user_text_per_min=5", "-m", "why"), "PUT", "", changed),
            (("unset", "limits.user_burst"), "PUT", "", {"settings": {}, "basedOn": 4, "comment": ""}),
            (("rollback",), "POST", "/rollback", {"version": 3, "basedOn": 4, "comment": ""}),
            (
                ("rollback", "1", "--based-on", "2"),
                "POST",
                "/rollback",
                {"version": 1, "basedOn": 2, "comment": ""},
            ),
            (("gray", "promote"), "POST", "/gray/promote", {"basedOn": 4, "comment": ""}),
            (("gray", "withdraw"), "POST", "/gray/withdraw", {"basedOn": 4, "comment": ""}),
        ):
            self.assertEqual(self.run_(*arguments), (method, f"/settings{path}", body), arguments)

    def test_gray(self) -> None:
        """Whom a release is for."""
        _, path, body = self.run_(
            "gray", "release", "limits.user_burst=3", "--percent", "2.5", "--user", "7", "--user", "8",
            "--zone", "north", "--client-version", "2.*",
        )  # fmt: skip
        self.assertEqual(path, "/settings/gray")
        self.assertEqual(
            body,
            {
                "settings": {"limits": {"user_burst": 3}},
                "percent": 2.5,
                "users": ["7", "8"],
                "zones": ["north"],
                "clientVersions": ["2.*"],
                "basedOn": 4,
                "comment": "",
            },
        )

    def test_dry_run(self) -> None:
        """Only looked at, with all that would hold."""
        method, path, body = self.run_("set", "log.level=debug", "--dry-run")
        self.assertEqual((method, path), ("POST", "/settings/check"))
        self.assertEqual(body, {"settings": {"limits": {"user_burst": 9}, "log": {"level": "debug"}}})


class CommandLine(SynchronousTestCase):
    """From the shell's side."""

    def test_wrong_usage(self) -> None:
        """What is wrong is said in a line, and the exit code says so, too."""
        file = Path(self.mktemp()).absolute()
        file.write_text("secret\n")
        file.chmod(0o600)
        self.patch(
            os, "environ", {**os.environ, "IMCTL_TOKEN_FILE": str(file), "IMCTL_ADMIN_SERVER": "127.0.0.1:1"}
        )
        for arguments, code in (
            (["settings", "set", "user_burst=1"], USAGE),
            (["settings", "get"], TARGET),
            (["settings", "nodes", "--server", "http://10.0.0.1"], USAGE),
            (["operators", "list"], TARGET),
        ):
            said = StringIO()
            with redirect_stderr(said):
                self.assertEqual(run(arguments), code, arguments)
            self.assertTrue(said.getvalue().startswith("imctl: "), said.getvalue())

    def test_no_token_argument(self) -> None:
        """A token on a command line would be in the process list, so there is no such option."""
        said = StringIO()
        with redirect_stderr(said), self.assertRaises(SystemExit):
            run(["settings", "get", "--token", json.dumps("x")])
