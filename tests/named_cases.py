"""Tests from a table: a method a row, named after it, so that a failure names the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


def named_cases(cases: Mapping[str, tuple[Any, ...]], promise: str) -> Callable[[C], C]:
    """Give a test case ``test_<name>`` for each row, which calls ``check`` with it.

    :param promise: the docstring of each, formatted with the row.
    """

    def add(case: C) -> C:
        for name, row in cases.items():

            def test(self: Any, row: tuple[Any, ...] = row) -> Any:
                return self.check(*row)

            test.__name__ = f"test_{name}"
            test.__qualname__ = f"{case.__qualname__}.{test.__name__}"
            test.__doc__ = promise.format(*row)
            setattr(case, test.__name__, test)
        return case

    return add
