"""What a move leaves in its target to be known again by: which folder, and in which state the folder was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: The states of a move: im-core must not start in the first, and may have changed anything after the second.
COPYING = "copying"
DONE = "done"


class Identity(NamedTuple):
    """The folder by its epoch, and a stamp that changes when its server runs on it."""

    epoch: str
    stamp: str

    def text(self) -> str:
        return f"{self.epoch} {self.stamp}"


def refusal(found: str, identity: Identity, *, occupied: Sequence[str]) -> str:
    """Why a target cannot be used, as the middle of a sentence; empty if it can.

    :param found: what an earlier move has left there.
    :param occupied: names of what is not empty there.
    """
    if found == identity.text():
        return ""
    if found.partition(" ")[0] == identity.epoch:
        return "holds an earlier move of this folder, whose server has run since"
    if found:
        return "holds the move of another folder"
    if occupied:
        return f"is not empty ({', '.join(occupied)})"
    return ""
