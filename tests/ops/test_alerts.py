"""etc/prometheus: that every alert fires when it should, and is quiet when it should be, as Prometheus itself judges."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from twisted.trial.unittest import SynchronousTestCase

from tests.ops.promql import equalities, exposed, label_values, metrics_of, promtool
from tests.ops.rules import PROMETHEUS, RULES, groups, rules

ROOT = Path(__file__).resolve().parents[2]
CASES = Path(__file__).with_name("alerts")
STEP_S = 30


class Case(NamedTuple):
    """One of an alert, as ``alerts/GROUP.yml`` has it; it has one of ``fires``, ``quiet``, ``over``."""

    group: str
    alert: str
    series: dict[str, str]
    at: str
    fires: Sequence[str] = ()
    quiet: str = ""
    over: str = ""


def cases() -> Iterator[Case]:
    for file in sorted(CASES.glob("*.yml")):
        for alert, listed in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            for case in listed:
                yield Case(f"imd-{file.stem}", alert, **case)


def as_promtool_has_it(case: Case, rule: dict[str, Any]) -> dict[str, Any]:
    """A test that looks at ALERTS, which is what an alertmanager would be told."""
    firing = f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}'
    ever = f"count_over_time({firing}[1d])"
    if case.fires:
        own = f'alertname="{case.alert}",alertstate="firing",severity="{rule["labels"]["severity"]}"'
        labels = [f"ALERTS{{{','.join(filter(None, (own, more)))}}}" for more in case.fires]
        looks = [(firing, case.at, [{"labels": each, "value": 1} for each in labels])]
        if "for" in rule:
            # One step before it may.
            looks.append((ever, f"{seconds(rule['for']) - STEP_S}s", []))
    else:
        looks = [(ever if case.quiet else firing, case.at, [])]
    return {
        "name": f"{case.alert}: {case.quiet or case.over or 'fires'}",
        "interval": f"{STEP_S}s",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "promql_expr_test": [
            {"expr": expr, "eval_time": at, "exp_samples": samples} for expr, at, samples in looks
        ],
    }


def seconds(duration: str) -> int:
    """Of ``30s`` or ``5m``."""
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


class Alerts(SynchronousTestCase):
    """rules.yml."""

    def test_rules_and_sample_configuration_are_valid(self) -> None:
        """Prometheus takes both files."""
        for command, file in (("rules", RULES.name), ("config", "prometheus.yml")):
            code, said = promtool("check", command, file, folder=PROMETHEUS)
            self.assertEqual(code, 0, said)

    def test_each_alert_fires_and_is_quiet(self) -> None:
        """All cases come out as they say, judged by promtool."""
        alerts = rules("alert")
        every = list(cases())
        for group, listed in groups().items():
            tests = [as_promtool_has_it(case, alerts[case.alert]) for case in every if case.group == group]
            # With the rules of its own group only: all of them, for all cases, would take four times as long.
            wanted = {"imd-recorded": groups()["imd-recorded"], group: listed}
            with self.subTest(group):
                self.judge(tests, wanted)

    def judge(self, tests: list[dict[str, Any]], wanted: dict[str, list[dict[str, Any]]]) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        documents = {
            "rules.yml": {"groups": [{"name": name, "rules": listed} for name, listed in wanted.items()]},
            "cases.yml": {"rule_files": ["rules.yml"], "evaluation_interval": f"{STEP_S}s", "tests": tests},
        }
        for name, document in documents.items():
            (folder / name).write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        code, said = promtool("test", "rules", "cases.yml", folder=folder)
        self.assertEqual(code, 0, said)

    def test_each_alert_has_both_cases(self) -> None:
        """None is without a case in which it fires and one in which it does not."""
        wanted = {
            (group, rule["alert"]) for group, listed in groups().items() for rule in listed if "alert" in rule
        }
        self.assertEqual({(case.group, case.alert) for case in cases() if case.fires}, wanted)
        self.assertEqual({(case.group, case.alert) for case in cases() if not case.fires}, wanted)
        for case in cases():
            self.assertEqual(sum(map(bool, (case.fires, case.quiet, case.over))), 1, case.alert)
            # YAML takes 0x20 for 32.
            self.assertEqual({type(values) for values in case.series.values()}, {str}, case.alert)

    def test_quiet_cases_could_fire(self) -> None:
        """A quiet case has everything that its alert looks at: it is quiet because of the values."""
        recorded = {name: rule["expr"] for name, rule in rules("record").items()}
        for case in cases():
            if not case.fires:
                expr = rules("alert")[case.alert]["expr"]
                for name, text in recorded.items():
                    expr = expr.replace(name, f"({text})")
                given = {series.partition("{")[0] for series in case.series}
                self.assertLessEqual(metrics_of(expr), given, case.alert)

    def test_metrics_exist(self) -> None:
        """Rules name no metric that no node has, and no value of a label that it cannot have."""
        known = set(exposed()) | {"up"} | set(rules("record"))
        for kind in ("alert", "record"):
            for name, rule in rules(kind).items():
                self.assertLessEqual(metrics_of(rule["expr"]), known, name)
                for metric, label, value in equalities(rule["expr"]):
                    self.assertIn(value, label_values(metric, label), name)

    def test_people_are_told_what_to_do(self) -> None:
        """Each alert has a severity, says what it means, and leads to its place in docs/alerts.rst."""
        for name, rule in rules("alert").items():
            self.assertIn(rule["labels"]["severity"], ("critical", "warning"), name)
            notes = rule["annotations"]
            self.assertEqual(set(notes), {"summary", "description", "runbook_url"}, name)
            self.assertEqual(notes["runbook_url"], f"alerts.html#{name.lower()}")
            self.assertGreater(len(notes["description"]), len("Something is wrong, look at it."), name)

    def test_runbook_has_each_alert(self) -> None:
        """docs/alerts.rst has a section for each alert, in the same order, and for no other."""
        text = (ROOT / "docs" / "alerts.rst").read_text(encoding="utf-8")
        self.assertEqual(re.findall(r"^(Imd\w+)\n~+$", text, re.MULTILINE), list(rules("alert")))
