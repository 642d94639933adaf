"""What [tracing] may say."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.config.load import ConfigError, load
from imd.config.sections import Config


class TracingTests(SynchronousTestCase):
    """Each mistake by its name, all at once."""

    def problems(self, **keys: str) -> list[str]:
        environ = {f"IM__TRACING__{key.upper()}": value for key, value in keys.items()}
        try:
            load("", environ, Config)
        except ConfigError as error:
            return list(error.problems)
        return []

    def test_good(self) -> None:
        """What is said of the exporter that is not used does not matter; a collector may have a path of its own."""
        self.assertEqual(self.problems(enabled="true", folder="traces", endpoint="nonsense"), [])
        self.assertEqual(
            self.problems(exporter="otlp", folder="", endpoint="https://[::1]:4318/a/v1/traces"), []
        )

    def test_bad(self) -> None:
        """All that is wrong is said at once, with what is expected."""
        found = self.problems(exporter="jaeger", sample_ratio="1.5", queue_spans="0", chosen_per_s="-1")
        self.assertEqual(len(found), 4, found)
        found = self.problems(exporter="jaeger", batch_spans="9000")
        self.assertEqual(len(found), 2, found)
        self.assertIn("tracing.exporter: is 'jaeger'; expected one of file, otlp", found[0])
        self.assertIn("tracing.batch_spans: is above tracing.queue_spans (8192)", found[1])
        self.assertIn("tracing.folder: is empty", self.problems(folder=" ")[0])

    def test_endpoints(self) -> None:
        """A URL without path, with a password, or that is none, is refused, and not repeated."""
        for url in (
            "",
            "collector:4318",
            "ftp://collector/v1/traces",
            "http://collector:4318",
            "http://collector:4318/",
            "http://user:hunter2@collector/v1/traces",
            "http://collector/v1/traces?key=hunter2",
            "http://collector:0/v1/traces",
            "http://collector:999999/v1/traces",
            "http://coll ector/v1/traces",
        ):
            (problem,) = self.problems(exporter="otlp", endpoint=url)
            self.assertIn("tracing.endpoint: is no URL of a collector", problem, url)
            self.assertNotIn("hunter2", problem)
