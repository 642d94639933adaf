"""Floors, and what is below them."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.doctor import floors, versions
from imd.ctl.doctor.finding import Level
from imd.ctl.doctor.floors import parsed

ROOT = Path(__file__).resolve().parents[3]


class Floors(SynchronousTestCase):
    """The one table."""

    def test_as_setup_cfg(self) -> None:
        """Libraries have the floors that an installation asks for."""
        config = configparser.ConfigParser(interpolation=None)
        config.read(ROOT / "setup.cfg", encoding="utf-8")
        found = re.findall(
            r"^([\w-]+)(?:\[[\w,]+\])? >= ([\d.]+)", config["options"]["install_requires"], re.MULTILINE
        )
        self.assertEqual(
            {name: floor.version for name, floor in floors.LIBRARIES.items()},
            {name: parsed(floor) for name, floor in found},
            "put a new requirement into imd/ctl/doctor/floors.py, too",
        )
        self.assertEqual(config["options"]["python_requires"], f">={floors.PYTHON}")

    def test_parsed(self) -> None:
        """Numbers at the beginning of what servers call their version."""
        for text, version in (
            ("10.11.6-MariaDB-0+deb12u1", (10, 11, 6)),
            ("8.0.36", (8, 0, 36)),
            ("v2.14.0", (2, 14, 0)),
            ("7.35.1rc1", (7, 35, 1)),
            ("", ()),
            ("unknown", ()),
        ):
            self.assertEqual(parsed(text), version, text)

    def test_fixed_in_several_lines(self) -> None:
        """A repair counts within its line of releases, and in all that are newer than the last."""
        fixed = floors.MONGODB_ZLIB
        for version, good in (
            ((6, 0, 5), False),
            ((6, 0, 27), True),
            ((7, 0, 27), False),
            ((8, 1, 9), False),
            ((8, 2, 3), True),
            ((9, 0, 0), True),
        ):
            self.assertEqual(fixed.is_in(version), good, version)


class Below(SynchronousTestCase):
    """What is found."""

    def test_library(self) -> None:
        """One that is older, and one that is missing, are told with what they miss."""
        have = {"Twisted": "24.3.0", "autobahn": "26.10.2"}
        wanted = {name: floors.LIBRARIES[name] for name in ("Twisted", "autobahn", "PyJWT")}
        found = list(versions.libraries(wanted, lambda name: have.get(name, "")))
        self.assertEqual([each.level for each in found], [Level.FAIL, Level.FAIL])
        self.assertIn("CVE-2026-42304", found[0].do)
        self.assertEqual(found[1].found, "PyJWT is not installed")

    def test_python_protobuf_sqlite(self) -> None:
        """Each has its own advice."""
        self.assertEqual(versions.python((3, 10, 1)).level, Level.FAIL)
        self.assertEqual(versions.protobuf("python").level, Level.FAIL)
        self.assertEqual(versions.protobuf("upb").level, Level.OK)
        self.assertEqual(versions.sqlite((3, 30, 0)).level, Level.FAIL)
        self.assertEqual(versions.sqlite((3, 40, 1)).level, Level.NOTE)
        self.assertEqual(versions.sqlite((3, 53, 0)).level, Level.OK)
