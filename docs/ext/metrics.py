"""Every metric, from the catalogue that the processes themselves export by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from docs.ext.text import heading, literal, plain, table
from imd.ops.metrics.catalogue import CATALOGUE, ELSEWHERE, SECTIONS
from imd.ops.metrics.model import EVERY_ROLE, Metric

_HEAD = """\
What :doc:`/metrics` is about, name by name. "Every role" is ``im``, ``im-core``, ``im-business`` and ``im-admin``. Of a
histogram there are ``_bucket``, ``_sum`` and ``_count``.
"""


def page() -> str:
    """A table for each section, then the names of the specification, then the buckets."""
    lines = [*heading("Metrics, name by name"), _HEAD, ".. contents::", "   :local:", ""]
    for title, metrics in SECTIONS.items():
        lines += heading(title, 1)
        lines += table(("Metric", "Labels", "Meaning", "Roles"), _rows(metrics), widths=(32, 20, 34, 14))
    lines += heading("Names of the specification", 1)
    lines += table(("There", "Here"), _specified(), widths=(30, 70))
    lines += heading("Buckets", 1)
    lines += table(("Metrics", "Bounds", "Why these"), _buckets(), widths=(30, 30, 40))
    return "\n".join(lines)


def _rows(metrics: Iterable[Metric]) -> Iterator[tuple[str, ...]]:
    for metric in metrics:
        labels = "; ".join(
            f"{literal(label.name)}: {', '.join(label.values)}" if label.values else literal(label.name)
            for label in metric.labels
        )
        roles = "every role" if metric.roles == EVERY_ROLE else ", ".join(metric.roles)
        name = f"{literal(metric.name)} {metric.kind.value}"
        yield name, plain(labels), plain(metric.help), roles


def _specified() -> Iterator[tuple[str, str]]:
    answers: dict[str, list[str]] = {}
    for metric in CATALOGUE.values():
        if metric.spec:
            answers.setdefault(metric.spec, []).append(metric.name)
    for name, metrics in sorted(answers.items()):
        yield literal(name), ", ".join(map(literal, metrics))
    for name, where in ELSEWHERE.items():
        yield literal(name), plain(where)


def _buckets() -> Iterator[tuple[str, str, str]]:
    users: dict[str, list[str]] = {}
    for metric in CATALOGUE.values():
        if metric.buckets is not None:
            users.setdefault(metric.buckets.reason, []).append(metric.name)
    for reason, names in users.items():
        buckets = CATALOGUE[names[0]].buckets
        assert buckets is not None
        bounds = ", ".join(f"{bound:g}" for bound in buckets.bounds)
        yield ", ".join(map(literal, names)), bounds, plain(reason)
