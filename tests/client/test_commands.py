"""imc's parts: the command line, profiles, texts, keys, exit codes."""

from __future__ import annotations

import io
import stat
from contextlib import redirect_stderr
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.client.cli import parser
from imd.client.commands import outcome
from imd.client.commands.line_editor import Done, LineEditor
from imd.client.commands.outcome import Usage, WrongPassword, exit_code, explain
from imd.client.commands.profile import Profile, Profiles
from imd.client.commands.render import Painter, as_json, harmless, rows_of, width
from imd.client.cursors import FileCursors
from imd.client.discovery import native_url
from imd.client.errors import SessionOver, Unreachable
from imd.client.events import chat_message
from imd.client.rest import Login
from imd.kernel.errors import AuthFailed, Forbidden, RateLimited
from imd.pb.message_pb2 import SYSTEM
from tests.client.scripted import BOB, text

LOGIN = Login(7, "alice", "Alice", "imc-1", "token", 2, 1, 3)


class CommandLineTests(SynchronousTestCase):
    """What may be typed."""

    def test_profile(self) -> None:
        """--as names the profile."""
        parsed = parser().parse_args(["--as", "alice", "send", "bob", "hi"])
        self.assertEqual((parsed.profile, parsed.who, parsed.text), ("alice", "bob", "hi"))

    def test_group(self) -> None:
        """Group verbs take their people."""
        parsed = parser().parse_args(["group", "invite", "lunch", "bob", "carol"])
        self.assertEqual((parsed.group, parsed.handles), ("lunch", ["bob", "carol"]))

    def test_people(self) -> None:
        """Whoever is meant is named by handle; a request may say something."""
        parsed = parser().parse_args(["friend", "add", "bob", "it is me", "--as", "alice"])
        self.assertEqual((parsed.handle, parsed.message, parsed.profile), ("bob", "it is me", "alice"))
        self.assertEqual(parser().parse_args(["block", "bob"]).handle, "bob")
        self.assertEqual(parser().parse_args(["signout", "others"]).device, "others")

    def test_wrong_usage(self) -> None:
        """Nonsense ends with code 2."""
        for words in (
            [],
            ["frob"],
            ["send", "bob"],
            ["history", "bob", "-n", "0"],
            ["group", "role", "g", "h", "x"],
            ["friend", "bob"],
            ["block"],
        ):
            with redirect_stderr(io.StringIO()):
                code = self.assertRaises(SystemExit, parser().parse_args, words).code
            self.assertEqual(code, outcome.USAGE)

    def test_addresses(self) -> None:
        """Where messages go follows from the server's address, unless it is said."""
        self.assertEqual(native_url("http://127.0.0.1:7780"), "tcp://127.0.0.1:7700")
        self.assertEqual(native_url("http://[::1]:7780"), "tcp://[::1]:7700")
        self.assertEqual(native_url("http://chat.example:8080"), "ws://chat.example:8080/ws")
        self.assertEqual(native_url("https://chat.example"), "wss://chat.example/ws")


class ProfileTests(SynchronousTestCase):
    """Who this terminal is."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.profiles = Profiles(self.folder)

    def test_kept(self) -> None:
        """A profile comes back as it was, from a file that only its owner can read."""
        profile = Profile("a", "http://h:1", "tcp://h:2", LOGIN)
        self.profiles.save(profile)
        self.assertEqual(self.profiles.load("a"), profile)
        self.assertEqual(stat.S_IMODE((self.folder / "a.json").stat().st_mode), 0o600)
        self.profiles.forget("a")
        self.assertRaises(Usage, self.profiles.load, "a")

    def test_choice(self) -> None:
        """The only profile is the one; of several one has to be named; no name leaves the folder."""
        self.assertRaises(Usage, self.profiles.choose, "")
        self.profiles.save(Profile("a", "http://h:1", "tcp://h:2", LOGIN))
        self.assertEqual(self.profiles.choose(""), "a")
        self.profiles.save(Profile("b", "http://h:1", "tcp://h:2", LOGIN))
        self.assertIn("a, b", str(self.assertRaises(Usage, self.profiles.choose, "")))
        self.assertEqual(self.profiles.choose("b"), "b")
        self.assertRaises(Usage, self.profiles.choose, "../../etc/passwd")

    def test_broken(self) -> None:
        """A broken file is named, not a traceback."""
        self.folder.mkdir()
        (self.folder / "a.json").write_text("{")
        self.assertRaises(Usage, self.profiles.load, "a")

    def test_cursors(self) -> None:
        """Cursors survive a restart; a broken file counts as none."""
        self.folder.mkdir()
        path = self.folder / "a.cursors"
        cursors = FileCursors(path)
        cursors.reset("e")
        cursors.put("c", 5)
        cursors.save()
        again = FileCursors(path)
        self.assertEqual((again.epoch(), again.get("c")), ("e", 5))
        path.write_text("[]")
        self.assertEqual(dict(FileCursors(path).all()), {})


class OutcomeTests(SynchronousTestCase):
    """Exit codes and the one line."""

    def test_codes(self) -> None:
        """Each kind of failure has its code; what is a fault of ours has none."""
        expected = {
            Usage("x"): outcome.USAGE,
            Unreachable("x"): outcome.UNREACHABLE,
            AuthFailed("x"): outcome.LOGIN_NEEDED,
            SessionOver("x"): outcome.LOGIN_NEEDED,
            Forbidden("x"): outcome.REFUSED,
            RateLimited("x"): outcome.REFUSED,
            KeyError("x"): None,
        }
        for error, code in expected.items():
            self.assertEqual(exit_code(error), code)

    def test_explained(self) -> None:
        """The line says when to try again, or what to do."""
        self.assertEqual(explain(RateLimited("too fast", retry_after_ms=2100)), "too fast (try again in 2 s)")
        self.assertIn("imc login", explain(AuthFailed("expired")))
        self.assertEqual(explain(WrongPassword("wrong")), "wrong")


class RenderTests(SynchronousTestCase):
    """Texts of others are shown, never obeyed."""

    def setUp(self) -> None:
        self.painter = Painter(colours=False, names={7: "alice", BOB: "bob"}, own_id=7)

    @given(st.text())
    def test_harmless(self, anything: str) -> None:
        """No control or direction character gets through, and text without them is unchanged."""
        shown = harmless(anything)
        self.assertFalse(any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066" for c in shown))
        if anything.isascii() and anything.isprintable():
            self.assertEqual(shown, anything)

    def test_width(self) -> None:
        """Wide characters take two columns, combining ones none."""
        self.assertEqual((width("abc"), width("你好"), width("e\u0301")), (3, 4, 1))

    def test_kinds(self) -> None:
        """Every kind of message has a line, unknown ones too."""
        unknown = text(1)
        unknown.type = 99  # type: ignore[assignment]
        notice = text(2, sender=0)
        notice.type = SYSTEM
        notice.system.event = "group.joined"
        notice.system.actorId = 7
        notice.system.subjectIds.append(BOB)
        strange = text(3, sender=0)
        strange.type = SYSTEM
        strange.system.event = "group.{exploded}"
        joined = text(5, sender=0)
        joined.CopyFrom(notice)
        joined.system.actorId = BOB
        crowd = text(6, sender=0)
        crowd.CopyFrom(notice)
        crowd.system.actorId = 0
        crowd.system.subjectCount = 10_000
        lines = [
            self.painter.message(chat_message(message))
            for message in (text(4), unknown, notice, strange, joined, crowd)
        ]
        self.assertTrue(lines[0].endswith("bob: text 4"))
        self.assertTrue(lines[1].endswith("[unsupported message]"))
        self.assertTrue(lines[2].endswith("-- alice added bob"))
        self.assertIn("group.{exploded}", lines[3])
        self.assertTrue(lines[4].endswith("-- bob joined"))
        self.assertTrue(lines[5].endswith("-- an operator added bob and 9999 more"))

    def test_json(self) -> None:
        """In JSON 64-bit numbers are strings, and types have their names, if they have one."""
        line = as_json(chat_message(text(3)))
        self.assertEqual((line["seq"], line["type"]), ("3", "TEXT"))
        unknown = text(1)
        unknown.type = 99  # type: ignore[assignment]
        self.assertEqual(as_json(chat_message(unknown))["type"], 99)

    def test_rows(self) -> None:
        """A wide character is not cut in two at the end of a row."""
        self.assertEqual([rows_of(line, 5) for line in ("", "abcde", "abcdef", "abcd你")], [1, 1, 2, 2])


class LineEditorTests(SynchronousTestCase):
    """Keys."""

    def test_editing(self) -> None:
        """Arrows, deletion and insertion work where the cursor is."""
        editor = LineEditor()
        editor.feed("helo\x1b[D")
        self.assertEqual(editor.feed("l\x1b[F!\r"), ["hello!"])
        self.assertEqual(editor.feed("one two\x17three\r"), ["one three"])
        self.assertEqual(editor.feed("abc\x01\x1b[3~\x0b\x7f\r"), [""])

    def test_remembered(self) -> None:
        """Up brings earlier lines back."""
        editor = LineEditor()
        editor.feed("first\rsecond\r")
        self.assertEqual(editor.feed("\x1b[A\x1b[A\r"), ["first"])

    def test_paste(self) -> None:
        """A paste longer than any message is kept at such a length that it is refused, and is drawn at once."""
        editor = LineEditor()
        editor.feed("x" * 400_000)
        self.assertEqual(editor.visible(40), ("x" * 39, 39))
        [line] = editor.feed("\r")
        self.assertGreater(len(str(line)), 256 * 1024 + 4 * 1024)

    def test_leaving(self) -> None:
        """^C leaves, ^D on an empty line too."""
        editor = LineEditor()
        self.assertEqual(editor.feed("x\x04\x03"), [Done.END])
        self.assertEqual(LineEditor().feed("\x04"), [Done.END])

    @given(st.text(max_size=60), st.integers(4, 30))
    def test_any_keys(self, keys: str, columns: int) -> None:
        """No keys break it, and what is visible fits, with the cursor in it."""
        editor = LineEditor()
        editor.feed(keys)
        shown, cursor = editor.visible(columns)
        self.assertLessEqual(width(shown), columns)
        self.assertLessEqual(cursor, columns)
