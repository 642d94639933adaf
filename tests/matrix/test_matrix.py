"""The whole matrix on one process: all roles of the server on SQLite."""

from __future__ import annotations

from pathlib import Path

from tests.matrix.ground import Ground, InProcess
from tests.matrix.rows import MatrixCase, with_rows


@with_rows
class OneProcess(MatrixCase):
    """``twistd im``, as it is put together."""

    def make_ground(self) -> Ground:
        return InProcess(Path(self.mktemp()))
