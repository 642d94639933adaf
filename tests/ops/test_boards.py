"""etc/grafana: that the boards are what their descriptions say, that Grafana can read them, and that they show what exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from imd.ops.boards.every import BOARDS
from imd.ops.boards.model import Board
from imd.ops.boards.write import text, write
from imd.ops.metrics.catalogue import CATALOGUE
from tests.ops.promql import equalities, exposed, label_values, metrics_of, promtool
from tests.ops.rules import rules

GRAFANA = Path(__file__).resolve().parents[2] / "etc" / "grafana"
#: What Grafana fills in, and something that could stand there.
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*"}
#: Of Grafana's list of units.
UNITS = {"short", "none", "s", "bytes", "Bps", "cps", "percentunit"}


def panels(board: Board) -> list[dict[str, Any]]:
    """Those that show something, as Grafana reads them."""
    listed: list[dict[str, Any]] = json.loads(text(board))["panels"]
    return [panel for panel in listed if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """(board and panel, PromQL) of all there are."""
    for board in BOARDS:
        for panel in panels(board):
            for target in panel["targets"]:
                yield f"{board.name}: {panel['title']}", target["expr"]


class Boards(SynchronousTestCase):
    """All of them."""

    def test_files(self) -> None:
        """The folder holds what the descriptions make, and no other board: python -m imd.ops.boards.write etc/grafana."""
        folder = Path(self.mktemp())
        folder.mkdir()
        write(folder)
        made = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}
        there = {file.name: file.read_text(encoding="utf-8") for file in GRAFANA.glob("*.json")}
        self.assertEqual(there, made)

    def test_structure(self) -> None:
        """Each board has what Grafana asks for: a schema, ids and addresses of its own, a data source to choose."""
        boards = [json.loads(text(board)) for board in BOARDS]
        self.assertEqual(len({board["uid"] for board in boards}), len(boards))
        self.assertEqual(len({board["title"] for board in boards}), len(boards))
        for board in boards:
            self.assertEqual(board["schemaVersion"], 39)
            self.assertLessEqual(len(board["uid"]), 40)
            self.assertEqual(
                [(each["name"], each["type"]) for each in board["templating"]["list"]],
                [("datasource", "datasource"), ("instance", "query")],
            )
            ids = [panel["id"] for panel in board["panels"]]
            self.assertEqual(len(set(ids)), len(ids))

    def test_panels(self) -> None:
        """Each panel has a title, says what it shows, in which unit, and asks the data source that was chosen."""
        for board in BOARDS:
            titles = [panel["title"] for panel in panels(board)]
            for panel in panels(board):
                name = f"{board.name}: {panel['title']}"
                self.assertGreater(len(panel["description"]), 8, name)
                self.assertTrue(panel["description"].endswith("."), name)
                self.assertIn(panel["fieldConfig"]["defaults"]["unit"], UNITS, name)
                for source in (panel["datasource"], *(each["datasource"] for each in panel["targets"])):
                    self.assertEqual(source, {"type": "prometheus", "uid": "${datasource}"}, name)
                refs = [each["refId"] for each in panel["targets"]]
                self.assertEqual(len(set(refs)), len(refs), name)
                self.assertTrue(all(each["legendFormat"] for each in panel["targets"]), name)
            rows = [(row.title, panel.title) for row in board.rows for panel in row.panels]
            self.assertEqual(len(set(rows)), len(titles), f"{board.name}: two panels of a row have one title")

    def test_nothing_overlaps(self) -> None:
        """Panels lie side by side within 24 columns."""
        for board in BOARDS:
            taken: set[tuple[int, int]] = set()
            for panel in json.loads(text(board))["panels"]:
                at = panel["gridPos"]
                self.assertLessEqual(at["x"] + at["w"], 24)
                cells = {
                    (x, y)
                    for x in range(at["x"], at["x"] + at["w"])
                    for y in range(at["y"], at["y"] + at["h"])
                }
                self.assertFalse(cells & taken, f"{board.name}: {panel['title']}")
                taken |= cells

    def test_expressions_parse(self) -> None:
        """Prometheus takes every expression."""
        listed = []
        for number, (_, expr) in enumerate(expressions()):
            for variable, value in VARIABLES.items():
                expr = expr.replace(variable, value)
            self.assertNotIn("$", expr)
            listed.append({"record": f"panel:{number}", "expr": expr})
        folder = Path(self.mktemp())
        folder.mkdir()
        document = {"groups": [{"name": "boards", "rules": listed}]}
        (folder / "boards.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
        code, said = promtool("check", "rules", "boards.yml", folder=folder)
        self.assertEqual(code, 0, said)
        self.assertIn(f"{len(listed)} rules found", said)

    def test_metrics_exist(self) -> None:
        """No panel shows a metric that no node has, by a label or a value of one that it has not."""
        known = set(exposed()) | {"up", "ALERTS"} | set(rules("record"))
        for name, expr in expressions():
            self.assertLessEqual(metrics_of(expr), known, name)
            for metric, label, value in equalities(expr):
                self.assertIn(value, label_values(metric, label), name)
            for labels in re.findall(r"by \(([^)]*)\)", expr):
                of_all = {"instance", "job", "cluster", "le"}
                wanted = {label.strip() for label in labels.split(",")} - of_all
                for metric in metrics_of(expr) if wanted else ():
                    described = CATALOGUE[re.sub(r"_(bucket|sum|count)$", "", metric)]
                    self.assertLessEqual(wanted, {label.name for label in described.labels}, name)

    def test_specified_metrics_are_shown(self) -> None:
        """Each metric that the specification asks for is on a board, by itself or as the boards record it."""
        recorded = {name: rule["expr"] for name, rule in rules("record").items()}
        read = {metric for _, expr in expressions() for metric in metrics_of(expr)}
        read |= {metric for name in read & set(recorded) for metric in metrics_of(recorded[name])}
        shown = {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in read}
        specified = {name for name, metric in CATALOGUE.items() if metric.spec}
        self.assertEqual(specified - shown, set())
