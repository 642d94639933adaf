"""docs/doctor.rst has every check, and no other."""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl import doctor
from imd.ctl.doctor.finding import Check

ROOT = Path(__file__).resolve().parents[3]


def checks() -> list[Check]:
    """All that there are."""
    found: dict[int, Check] = {}
    for module in pkgutil.iter_modules(doctor.__path__, "imd.ctl.doctor."):
        for each in vars(import_module(module.name)).values():
            if isinstance(each, Check):
                found[id(each)] = each
    return list(found.values())


class Documented(SynchronousTestCase):
    """What an operator looks up."""

    def test_all(self) -> None:
        """Each check stands there under its name, which no other has."""
        names = [check.name for check in checks()]
        self.assertGreater(len(names), 50)
        self.assertEqual(len(set(names)), len(names))
        text = (ROOT / "docs" / "doctor.rst").read_text(encoding="utf-8")
        heads = [line for line in text.splitlines() if re.match(r"``[a-z_]+\.[a-z_]+``", line)]
        documented = [name for line in heads for name in re.findall(r"``([a-z_]+\.[a-z_]+)``", line)]
        self.assertEqual(sorted(documented), sorted(names))

    def test_meaning(self) -> None:
        """Each says what follows if it is not well."""
        self.assertEqual([check.name for check in checks() if not check.means], [])
