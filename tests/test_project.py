"""What setup.cfg, the plugin and the licence promise to whoever installs imd."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from importlib import import_module
from importlib.metadata import packages_distributions, version
from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent


def setup_cfg() -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read(ROOT / "setup.cfg", encoding="utf-8")
    return parsed


def requirements(text: str) -> dict[str, str]:
    """Distribution (lower case) to what is asked of it, from the lines of a requirement list."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    parts = [re.match(r"([A-Za-z0-9_-]+)(?:\[[a-z,]+\])?\s*(.*)", line) for line in lines]
    return {part[1].lower(): part[2] for part in parts if part is not None}


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
        """Whatever imd and tap import from others is in install_requires, or is looked for with care."""
        asked = set(requirements(setup_cfg()["options"]["install_requires"]))
        # Parts of what is required: Twisted needs these in every version.
        asked |= {
            "zope.interface",
            "cryptography",
            "pyopenssl",
            "service-identity",
            "hyperlink",
            "constantly",
        }
        distributions = packages_distributions()
        missing = set()
        for path in [*(ROOT / "imd").rglob("*.py"), *(ROOT / "tap").rglob("*.py")]:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                elif isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                else:
                    continue
                for top in {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"imd", "tap"}:
                    owners = {owner.lower() for owner in distributions.get(top, [top])}
                    if top != "uvloop" and not owners & asked:
                        missing.add(f"{path.relative_to(ROOT)}: {top}")
        self.assertEqual(missing, set())

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

    def test_twistd_offers_im(self) -> None:
        """twistd lists "im", and its description fits beside the name."""
        makers = {maker.tapname: maker for maker in getPlugins(IServiceMaker)}
        self.assertIn("im", makers)
        self.assertEqual(vars(makers["im"])["module"], "tap.im")

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
