"""Word lists in files and settings: loaded, watched, and refused when they are wrong."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.core.screening.word_files import MAX_TOLD
from imd.core.screening.word_lists import WordLists
from imd.core.screening.words import Words
from imd.kernel.errors import StartupError
from imd.kernel.tasks import Tasks

POLL_S = 5.0


class WordListCase(SynchronousTestCase):
    """A list in a file, and the filter that is kept at it."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.file = folder / "words.txt"
        self.clock = Clock()
        self.words = Words(())
        self.written = 0

    def write(self, content: str | bytes) -> None:
        self.file.write_bytes(content.encode() if isinstance(content, str) else content)
        # Two writings within one tick of the file system's clock.
        self.written += 1
        os.utime(self.file, ns=(self.written, self.written))

    def take(self, words: Words) -> None:
        self.words = words

    def lists(self) -> WordLists:
        return WordLists(
            take=self.take,
            files=[str(self.file)],
            extra=[],
            threads=execute,
            clock=self.clock,
            tasks=Tasks(),
            poll_s=POLL_S,
        )

    def started(self) -> WordLists:
        lists = self.lists()
        self.successResultOf(Deferred.fromCoroutine(lists.start()))
        return lists

    def action(self, text: str) -> str:
        return self.words.verdict(text).action.name


class WordListTests(WordListCase):
    """From lines to verdicts."""

    def test_loaded(self) -> None:
        """Comments, empty lines, a byte order mark and either line end are no words."""
        self.write("\ufeff# a list\r\n\r\nheck\treplace\r\nbad luck\trefuse\n坏词\treview\nScunthorpe\tallow")
        self.started()
        self.assertEqual(len(self.words), 4)
        for text, action in {"heck": "REPLACE", "bad  luck": "REFUSE", "坏词": "REVIEW"}.items():
            self.assertEqual(self.action(text), action)

    def test_wrong_at_start(self) -> None:
        """A server does not start with wrong lists, and tells each line that is wrong."""
        self.write(b"heck\nheck\tmaybe\n\trefuse\n .\trefuse\n\xff\xfe\tallow\nfine\tallow\n")
        failure = self.failureResultOf(Deferred.fromCoroutine(self.lists().start()), StartupError)
        told = str(failure.value)
        for line in range(1, 6):
            self.assertIn(f"{self.file}:{line}: ", told)
        self.assertNotIn(f"{self.file}:6", told)

    def test_of_another_kind(self) -> None:
        """Of a file that is wrong in every line not all are told."""
        self.write("nonsense\n" * 1000)
        failure = self.failureResultOf(Deferred.fromCoroutine(self.lists().start()), StartupError)
        self.assertEqual(str(failure.value).count("\n"), MAX_TOLD + 1)

    def test_missing_at_start(self) -> None:
        """A file that is not there stops the start."""
        failure = self.failureResultOf(Deferred.fromCoroutine(self.lists().start()), StartupError)
        self.assertIn("cannot be read", str(failure.value))

    def test_changed(self) -> None:
        """What is written into the file counts after the next look."""
        self.write("heck\treplace\n")
        self.started()
        self.write("heck\trefuse\n")
        self.assertEqual(self.action("heck"), "REPLACE")
        self.clock.advance(POLL_S)
        self.assertEqual(self.action("heck"), "REFUSE")

    def test_changed_wrongly(self) -> None:
        """A wrong line is told once, with its place; the old list stays, until the file is right again."""
        self.write("heck\treplace\n")
        self.started()
        self.write("heck\trefuse\ndarn\n")
        self.clock.pump([POLL_S] * 3)
        self.assertEqual(self.action("heck"), "REPLACE")
        self.file.unlink()
        self.clock.advance(POLL_S)
        self.assertEqual(self.action("heck"), "REPLACE")
        self.write("heck\treview\n")
        self.clock.advance(POLL_S)
        self.assertEqual(self.action("heck"), "REVIEW")

    def test_settings(self) -> None:
        """Lines from settings count beside the files, at once, and go again; wrong ones change nothing."""
        self.write("heck\treplace\n")
        lists = self.started()
        lists.take_lines(["darn\trefuse"])
        self.assertEqual(self.action("darn"), "REFUSE")
        self.assertEqual(self.action("heck"), "REPLACE")
        lists.take_lines(["darn"])
        self.assertEqual(self.action("darn"), "REFUSE")
        lists.take_lines([])
        self.assertEqual(self.action("darn"), "ALLOW")

    def test_made_in_a_thread(self) -> None:
        """Until the new list is made, the old one counts; what changes meanwhile is made next."""
        waiting: list[tuple[object, Deferred[object]]] = []

        def threads(work):  # type: ignore[no-untyped-def]
            done: Deferred[object] = Deferred()
            waiting.append((work, done))
            return done

        def run() -> None:
            while waiting:
                work, done = waiting.pop(0)
                done.callback(work())  # type: ignore[operator]

        lists = WordLists(
            take=self.take,
            files=[],
            extra=[],
            threads=threads,
            clock=self.clock,
            tasks=Tasks(),
            poll_s=POLL_S,
        )
        Deferred.fromCoroutine(lists.start())
        run()
        lists.take_lines(["heck\treplace"])
        lists.take_lines(["heck\trefuse"])
        self.assertEqual(self.action("heck"), "ALLOW")
        run()
        self.assertEqual(self.action("heck"), "REFUSE")
