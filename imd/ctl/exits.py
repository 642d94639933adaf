"""How a command ends: its exit code, and one message that says what to do."""

from __future__ import annotations

OK = 0
#: What was to be proved does not hold.
CHECK_FAILED = 1
#: The command line, or a configuration file, is wrong; argparse uses it too.
USAGE = 2
#: Where it comes from cannot be used as it is.
SOURCE = 3
#: Where it is to go cannot be used, or not now.
TARGET = 4
#: ^C; what was done so far stays.
INTERRUPTED = 130


class CommandFailed(Exception):
    """Ends the command; the message is for the operator and names what to do."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
