"""What setup.cfg, the plugin and the licence promise to whoever installs imd."""

from __future__ import annotations

import ast
import configparser
import re
import shlex
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import packages_distributions, version
from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

from imd.config.load import ConfigError, load

ROOT = Path(__file__).resolve().parent.parent


#: Parts of what is required: Twisted[tls] needs these in every version.
BROUGHT_ALONG = {"zope.interface", "cryptography", "pyopenssl", "hyperlink"}


def setup_cfg() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read(ROOT / "setup.cfg", encoding="utf-8")
    return parsed


def requirements(text: str) -> dict[str, str]:
    """Distribution (lower case) to what is asked of it, from the lines of a requirement list."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    parts = [re.match(r"([A-Za-z0-9_-]+)(?:\[[a-z,]+\])?\s*(.*)", line) for line in lines]
    return {part[1].lower(): part[2] for part in parts if part is not None}


def imported(*folders: str) -> Iterator[tuple[str, set[str]]]:
    """(path, the distributions that may own it) of every import from others in these folders."""
    owners = packages_distributions()
    ours = sys.stdlib_module_names | {"imd", "tap", "tests", "docs"}
    for path in [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for top in {name.partition(".")[0] for name in names} - ours:
                yield str(path.relative_to(ROOT)), {owner.lower() for owner in owners.get(top, [top])}


class Requirements(SynchronousTestCase):
    """install_requires and the extras."""

    def test_every_requirement_has_a_floor_and_a_reason(self) -> None:
        """Each runtime requirement has a lowest version, and a comment above that says why it is there."""
        text = (ROOT / "setup.cfg").read_text(encoding="utf-8")
        section = text[text.index("install_requires =") : text.index("[options.packages.find]")]
        lines = [line.strip() for line in section.splitlines()[1:] if line.strip()]
        for above, line in zip(["", *lines], lines, strict=False):
            if not line.startswith("#"):
                self.assertRegex(line, r">= ?[0-9]")
                self.assertTrue(above.startswith("# "), f"no reason above {line!r}")

    def test_imports_are_required(self) -> None:
        """Whatever imd and tap import is in install_requires, and what tests import there or in the test extra."""
        runtime = set(requirements(setup_cfg()["options"]["install_requires"])) | BROUGHT_ALONG
        extras = setup_cfg()["options.extras_require"]
        runtime |= set(requirements(extras["uvloop"])) | set(requirements(extras["tracing"]))
        missing = [
            f"{path}: {'/'.join(owners)}"
            for folders, asked in (
                (("imd", "tap"), runtime),
                (("tests",), runtime | set(requirements(extras["test"]))),
            )
            for path, owners in imported(*folders)
            if not asked & owners
        ]
        self.assertEqual(missing, [])

    def test_requirements_are_imported(self) -> None:
        """Nothing is asked for that nobody uses."""
        asked = set(requirements(setup_cfg()["options"]["install_requires"]))
        used = {owner for _, owners in imported("imd", "tap") for owner in owners}
        self.assertEqual(asked - used - {"werkzeug"}, set())

    def test_gencode_is_not_newer_than_the_floor(self) -> None:
        """The oldest protobuf that setup.cfg accepts runs the committed generated code."""
        floor = re.search(
            r">= ?([0-9.]+)", requirements(setup_cfg()["options"]["install_requires"])["protobuf"]
        )
        assert floor is not None
        generated = re.search(
            r"Protobuf Python Version: ([0-9.]+)",
            (ROOT / "imd/pb/envelope_pb2.py").read_text(encoding="utf-8"),
        )
        assert generated is not None
        self.assertEqual(floor[1], generated[1])

    def test_protobuf_is_upb(self) -> None:
        """The installed protobuf is the compiled one."""
        import_module("imd.wire.codec").require_fast_protobuf()
        self.assertGreaterEqual(int(version("protobuf").split(".")[0]), 7)


class Plugin(SynchronousTestCase):
    """What twistd finds."""

    def test_twistd_offers_the_roles(self) -> None:
        """twistd lists every role, each in a tap of its own."""
        makers = {maker.tapname: vars(maker)["module"] for maker in getPlugins(IServiceMaker)}
        for name in ("im", "im-core", "im-business", "im-admin"):
            self.assertEqual(makers.get(name), f"tap.{name.replace('-', '_')}")
            self.assertTrue((ROOT / f"etc/{name}.toml").is_file())

    def test_packages(self) -> None:
        """The plugin is packed by name, so that a plain install lays it beside Twisted's own."""
        self.assertIn("twisted.plugins", setup_cfg()["options.packages.find"]["include"].split())


class Licence(SynchronousTestCase):
    """Apache-2.0."""

    def test_licence(self) -> None:
        """LICENSE is the text that setup.cfg names."""
        self.assertEqual(setup_cfg()["metadata"]["license"], "Apache-2.0")
        text = (ROOT / "LICENSE").read_text(encoding="utf-8")
        self.assertIn("Version 2.0, January 2004", text)
        self.assertIn("END OF TERMS AND CONDITIONS", text)


class Readme(SynchronousTestCase):
    """What README.rst tells people to type."""

    def setUp(self) -> None:
        text = (ROOT / "README.rst").read_text(encoding="utf-8")
        self.lines = [
            line.partition(" # ")[0].strip() for line in text.splitlines() if line.startswith("    ")
        ]

    def test_imc(self) -> None:
        """Each imc command of the README is one that imc knows."""
        commands = [shlex.split(line)[1:] for line in self.lines if line.startswith(".venv/bin/imc ")]
        self.assertGreaterEqual(len(commands), 4)
        parser = import_module("imd.client.cli").parser()
        for command in commands:
            self.assertEqual(parser.parse_args(command).profile, command[1])

    def test_configuration(self) -> None:
        """The sample of the README is a configuration, but for its certificate, which is yours."""
        sample = "\n".join(self.lines[self.lines.index("[listen]") : self.lines.index("[tls]")])
        path = Path(self.mktemp())
        path.write_text(sample, encoding="utf-8")
        error: ConfigError = self.assertRaises(ConfigError, load, str(path), {})
        self.assertEqual(
            {line.partition(":")[0] for line in error.problems},
            {"tls.certificate_file", "tls.private_key_file"},
        )

    def test_files(self) -> None:
        """Whatever the README points to is there."""
        text = (ROOT / "README.rst").read_text(encoding="utf-8")
        for name in re.findall(r"``((?:imd|tap|tests|tools|protocol|etc|\.ci)/[\w./]*)``|<([\w./]+)>", text):
            self.assertTrue((ROOT / "".join(name)).exists(), name)
