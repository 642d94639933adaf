"""The matrix as tests: one for each row, with a message for each cell that is not as promised."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from imd.wire.server import REQUESTS
from tests.matrix import rest, wire
from tests.matrix.ground import Ground
from tests.matrix.play import operations, rest_cell, wire_cell
from tests.matrix.scene import ROLES, Cast, gather
from tests.matrix.table import REST, WIRE, expected

Play = Callable[[Ground, Cast, str, str], str]
#: Why there is a matrix at all.
MIN_ROLES, MIN_OPERATIONS = 8, 40

_TABLES: Mapping[str, tuple[Mapping[str, Mapping[str, str]], Play]] = {
    "rest": (expected(REST), rest_cell),
    "wire": (expected(WIRE), wire_cell),
}


class MatrixCase(SynchronousTestCase):
    """``with_rows`` gives a subclass a test for each row; all of them share one server."""

    _grounds: ClassVar[dict[type, tuple[Ground, Cast]]] = {}

    def make_ground(self) -> Ground:
        """The server on which it is played; once a class."""
        raise NotImplementedError

    def shared(self) -> tuple[Ground, Cast]:
        if type(self) not in self._grounds:
            ground = self.make_ground()
            self._grounds[type(self)] = (ground, gather(ground))
        return self._grounds[type(self)]

    def check_row(self, kind: str, name: str) -> None:
        table, play = _TABLES[kind]
        ground, cast = self.shared()
        wrong = []
        for role in ROLES:
            found, promised = play(ground, cast, name, role), table[name][role]
            if found != promised:
                wrong.append(f"{kind} {name} as {role}: {promised} is promised, {found} was found")
        self.assertEqual(wrong, [])

    def check_complete(self) -> None:
        ground, _ = self.shared()
        self.assertEqual({name.partition(":")[0] for name in rest.ROWS}, operations(ground))
        self.assertEqual({name.partition(":")[0] for name in wire.ROWS} - {"connect"}, REQUESTS)
        for kind, rows in (("rest", rest.ROWS), ("wire", wire.ROWS)):
            self.assertEqual(list(_TABLES[kind][0]), list(rows))
        self.assertGreaterEqual(len(ROLES), MIN_ROLES)
        self.assertGreaterEqual(len(rest.ROWS) + len(wire.ROWS), MIN_OPERATIONS)


def with_rows(case: type[MatrixCase]) -> type[MatrixCase]:
    """A test for each row, named by it."""

    def test_complete(self: MatrixCase) -> None:
        """Every operation that the server has, and every request of the wire, is in the table."""
        self.check_complete()

    tests: dict[str, Callable[[Any], None]] = {"test_complete": test_complete}
    for kind, (table, _) in _TABLES.items():
        for name in table:
            tests[f"test_{kind}_{re.sub('[^A-Za-z]+', '_', name).strip('_')}"] = _row(kind, name)
    for method, test in tests.items():
        setattr(case, method, test)
    return case


def _row(kind: str, name: str) -> Callable[[MatrixCase], None]:
    def test(self: MatrixCase) -> None:
        self.check_row(kind, name)

    test.__doc__ = f"Every role gets from {kind} {name} what the table promises."
    return test
