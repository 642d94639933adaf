"""The printed reference."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.config.load import keys, load
from imd.config.reference import reference
from imd.config.sections import Config

SAMPLE = Path(__file__).resolve().parent.parent.parent / "etc" / "im.toml"


class Reference(SynchronousTestCase):
    """``python -m imd.config.reference`` and etc/im.toml."""

    def test_sample(self) -> None:
        """etc/im.toml is what the reference prints; if not: python -m imd.config.reference > etc/im.toml."""
        self.assertEqual(SAMPLE.read_text(encoding="utf-8"), reference())

    def test_as_it_is(self) -> None:
        """The sample changes nothing."""
        self.assertEqual(load(str(SAMPLE), {}), Config())

    def test_uncommented(self) -> None:
        """Each key can be switched on by removing the #, and then says its default."""
        path = Path(self.mktemp())
        path.write_text(re.sub(r"(?m)^#(?! )", "", reference()), encoding="utf-8")
        self.assertEqual(load(str(path), {}), Config())

    def test_complete(self) -> None:
        """Every key is there once, and every docstring below an attribute is above its key."""
        text = reference()
        for path, _ in keys():
            name = path.rpartition(".")[2]
            self.assertRegex(text, rf"(?m)^#{name} = ")
        self.assertIn("# Native clients: length-prefixed protobuf.\n#tcp = ", text)
        self.assertIn("# Certificate for tls and https; TLS 1.2 and newer.\n[tls]\n", text)

    def test_width(self) -> None:
        """It fits on a terminal."""
        self.assertLessEqual(max(map(len, reference().splitlines())), 100)
