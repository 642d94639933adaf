"""The printed reference."""

from __future__ import annotations

import re
import sys
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.config.load import ConfigError, keys, load
from imd.config.reference import ROLES, main, reference
from imd.config.section import Section

ETC = Path(__file__).resolve().parent.parent.parent / "etc"


class Reference(SynchronousTestCase):
    """``python -m imd.config.reference ROLE`` and etc/*.toml."""

    def assertDefaults(self, file: Path, kind: type[Section]) -> None:
        """The file changes nothing; what has no default is asked for, and nothing else is."""
        if kind is ROLES["business"][0]:
            error: ConfigError = self.assertRaises(ConfigError, load, str(file), {}, kind)
            (problem,) = error.problems
            self.assertTrue(problem.startswith("token_secret_file: is empty; "), problem)
        else:
            self.assertEqual(load(str(file), {}, kind), kind())

    def test_samples(self) -> None:
        """Each sample in etc/ is what the reference prints; if not: python -m imd.config.reference ROLE > it."""
        for role, (_, name) in ROLES.items():
            self.assertEqual((ETC / f"{name}.toml").read_text(encoding="utf-8"), reference(role), name)

    def test_as_they_are(self) -> None:
        """The samples change nothing."""
        for kind, name in ROLES.values():
            self.assertDefaults(ETC / f"{name}.toml", kind)

    def test_uncommented(self) -> None:
        """Each key can be switched on by removing the #, and then says its default."""
        for role, (kind, _) in ROLES.items():
            path = Path(self.mktemp())
            path.write_text(re.sub(r"(?m)^#(?! )", "", reference(role)), encoding="utf-8")
            self.assertDefaults(path, kind)

    def test_complete(self) -> None:
        """Every key is there once in its section, and every docstring below an attribute is above its key."""
        for role, (kind, _) in ROLES.items():
            sections = re.split(r"(?m)^\[(\w+)\]$", reference(role))
            texts = {"": sections[0], **dict(zip(sections[1::2], sections[2::2], strict=True))}
            for path, _field in keys(kind):
                section, _, name = path.rpartition(".")
                self.assertEqual(texts[section].count(f"\n#{name} = "), 1, path)
        text = reference()
        self.assertIn("# Native clients: length-prefixed protobuf.\n#tcp = ", text)
        self.assertIn("# Certificate for tls and https; TLS 1.2 and newer.\n[tls]\n", text)

    def test_inherited(self) -> None:
        """A key that two roles share has its reason in both files."""
        for role in ("im", "core", "business"):
            self.assertRegex(reference(role), r"# from this very host\.\n#origins = ")

    def test_every_text_is_explained(self) -> None:
        """No key of the cluster's sections stands there without a word of its own, but for plain numbers."""
        bare = [
            line
            for role in ("core", "business", "admin")
            for above, line in zip(
                ["", *reference(role).splitlines()], reference(role).splitlines(), strict=False
            )
            if line.startswith("#")
            and " = " in line
            and not above.startswith("# ")
            and line != '#user = "imd"'
        ]
        self.assertEqual(bare, [])

    def test_width(self) -> None:
        """It fits on a terminal."""
        for role in ROLES:
            self.assertLessEqual(max(map(len, reference(role).splitlines())), 100)

    def test_roles_differ(self) -> None:
        """Nobody is offered a key that the role does not use."""
        sections = {
            role: {field.partition(".")[0] for field, _ in keys(kind) if "." in field}
            for role, (kind, _) in ROLES.items()
        }
        self.assertEqual(sections["core"] & {"sql", "accounts"}, set())
        self.assertEqual(sections["business"] & {"mongo", "messages", "presence", "node"}, set())
        self.assertEqual(sections["admin"], {"listen", "tls", "nats", "sql", "log", "metrics", "manhole"})
        self.assertNotIn("logins_per_min", reference("core"))
        self.assertNotIn("user_text_per_min", reference("business"))

    def test_unknown_role(self) -> None:
        """A role that is none is told which there are."""
        said = StringIO()
        self.patch(sys, "stderr", said)
        self.assertEqual(main(["cor"]), 2)
        self.assertEqual(main(["core", "admin"]), 2)
        self.assertIn("im|core|business|admin", said.getvalue())
