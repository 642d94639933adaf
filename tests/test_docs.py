"""The pages that are written from the code."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from docs.ext import configuration, metrics, rest, runtime, states
from docs.ext.text import plain
from imd.admin.settings.keys import runtime_keys
from imd.admin.settings.model import Changeable
from imd.config.bounds import BOUNDS
from imd.config.load import keys
from imd.config.reference import ROLES, parts
from imd.ops.metrics.catalogue import CATALOGUE
from imd.roles.openapi import document


class PagesTests(SynchronousTestCase):
    """What stands on them; ``tools/docs`` builds them all."""

    def test_every_key(self) -> None:
        """The configuration page has each key of each role."""
        page = configuration.page()
        for role in ROLES:
            for part in parts(role):
                for key in part.keys:
                    self.assertIn(f"``{key.name}``", page)

    def test_every_runtime_key(self) -> None:
        """The page of what can be set at run time has each key that im-admin takes, with its range; and no other."""
        page = runtime.page()
        for path, _ in keys(Changeable):
            self.assertIn(f"``{path}``", page)
        self.assertEqual({key.key for key in runtime_keys()}, {path for path, _ in keys(Changeable)})
        self.assertIn(str(BOUNDS["messages.hint_fanout_ms"]), page)

    def test_every_operation(self) -> None:
        """The REST page has each operation, and each record once."""
        page, described = rest.page(), document()
        for path, methods in described["paths"].items():
            for method in methods:
                self.assertIn(f"\n{method.upper()} {path}\n~", page)
        for name in described["components"]["schemas"]:
            self.assertEqual(page.count(f"\n{name}\n~"), 1, name)

    def test_every_metric(self) -> None:
        """The page of metrics has each one with its meaning, each label's values, and each name of the specification."""
        page = metrics.page()
        for metric in CATALOGUE.values():
            self.assertIn(f"- ``{metric.name}`` {metric.kind.value}\n", page)
            self.assertIn(f"- {plain(metric.help)}\n", page)
            self.assertIn(f"``{metric.spec}``" if metric.spec else "", page)
            for label in metric.labels:
                self.assertIn(plain(", ".join(label.values)), page)

    def test_arrows(self) -> None:
        """A picture has an arrow for each way from one state to another, with what happens and what is done."""
        page = states.page()
        self.assertIn('"await connect" -> "authenticating" [label="connect / authenticate"]', page)
        self.assertIn('"frozen" -> "active" [label="thaw"]', page)
        self.assertEqual(page.count(".. graphviz::"), len(states.MACHINES))

    def test_no_markup_by_accident(self) -> None:
        """What a docstring says is prose, but for what is code."""
        self.assertEqual(plain("im_core's  *first* ``a_b``"), "im\\_core's \\*first\\* ``a_b``")
