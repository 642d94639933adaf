"""The names that a session begins with, and the help that tells of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from imd.ops.manhole.table import MAX_ROWS, Page, Table

Command = Callable[..., object]


def names(commands: Mapping[str, Command], objects: Mapping[str, object], *, about: str) -> dict[str, object]:
    """What a session has: the commands, ``help``, and the objects that the process is made of.

    :param about: what process this is.
    """

    def tell(command: Command | str | None = None) -> Page:
        """Lists the commands, or tells more of one."""
        if command is None:
            return Page(_overview(commands, objects, about=about))
        name = command if isinstance(command, str) else getattr(command, "__name__", "")
        found = commands.get(name)
        if found is None:
            return Page(f"there is no command {name or command!r}; help() lists them")
        return Page(f"{name}{_signature(found)}\n\n{inspect.getdoc(found) or ''}")

    return {**objects, **commands, "help": tell}


def _overview(commands: Mapping[str, Command], objects: Mapping[str, object], *, about: str) -> str:
    rows = [
        (f"{name}{_signature(command)}", (inspect.getdoc(command) or "").partition("\n")[0])
        for name, command in commands.items()
    ]
    table = Table(
        ("command", "what it does"), [*rows, ("help(command)", "more of one command")], limit=MAX_ROWS
    )
    return (
        f"{about}\n\n{table!r}\n\n"
        f"This is Python, inside of the process: {', '.join(objects) or 'nothing'} are its objects, and whatever is\n"
        "typed is run at once, by the thread that serves everybody, and kept in the log. Ctrl-D ends the session."
    )


def _signature(command: Command) -> str:
    given = inspect.signature(command)
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in given.parameters.values()]
    return str(given.replace(parameters=bare, return_annotation=inspect.Signature.empty))
