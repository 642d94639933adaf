"""The exception tree and its codes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.kernel import errors
from imd.kernel.errors import Code, ImError, error_for_code


def subclasses(of: type[ImError]) -> list[type[ImError]]:
    return [cls for direct in of.__subclasses__() for cls in (direct, *subclasses(direct))]


class Errors(SynchronousTestCase):
    """What a client is told."""

    def test_codes(self) -> None:
        """The numbers are those of the specification, section 10.1."""
        self.assertEqual(
            {code.name: code.value for code in Code},
            {
                "OK": 0,
                "AUTH_FAILED": 1001,
                "FORBIDDEN": 1003,
                "RATE_LIMITED": 1005,
                "PAYLOAD_INVALID": 1007,
                "MEDIA_REQUIRED": 1010,
                "IDEMPOTENT_CONFLICT": 1012,
                "SERVER_BUSY": 1099,
                "INTERNAL_ERROR": 1999,
            },
        )

    def test_there_and_back(self) -> None:
        """Every code but OK has an exception that carries it, and an exception comes back from its code."""
        for code in set(Code) - {Code.OK}:
            error = error_for_code(code, "why", field="a.b", retry_after_ms=5)
            self.assertEqual(error.code, code)
            self.assertEqual((error.message, error.field, error.retry_after_ms), ("why", "a.b", 5))
            self.assertEqual(str(error), "why")

    def test_unknown_code(self) -> None:
        """A code of a newer server is an internal error here, not a crash."""
        self.assertIs(type(error_for_code(4711, "?")), errors.InternalError)

    def test_retryable(self) -> None:
        """Trying again helps against load and doubt, and against nothing else."""
        retryable = {
            cls for cls in subclasses(ImError) if cls.__module__ == errors.__name__ and cls.retryable
        }
        self.assertEqual(retryable, {errors.RateLimited, errors.ServerBusy, errors.OutcomeUnknown})

    def test_startup_is_not_for_clients(self) -> None:
        """What an operator is told at start never goes over a wire."""
        self.assertFalse(issubclass(errors.StartupError, ImError))
