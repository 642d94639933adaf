"""What a board is, and how Grafana wants to read it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

#: Grafana 10.3 and newer read it; older ones refuse a newer one.
SCHEMA_VERSION: Final = 39
#: The grid is 24 wide; so are two, three or four panels side by side.
_GRID_WIDTH: Final = 24
_PANEL_HEIGHT: Final = 8
_STAT_HEIGHT: Final = 4
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
#: Boards of one installation link to one another by it.
TAG: Final = "imd"


class Query(NamedTuple):
    """PromQL, and what its lines are called: ``{{label}}`` stands for a label's value."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """One picture. ``unit`` is one of Grafana's: short, s, bytes, percentunit, reqps, ..."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    """Or ``stat``: one number."""
    stack: bool = False
    bad_above: float | None = None
    """A stat is red from here on."""


class Row(NamedTuple):
    """Panels side by side, under a title."""

    title: str
    panels: tuple[Panel, ...]


class Board(NamedTuple):
    """One page."""

    name: str
    """Of its file, and the end of its address in Grafana."""
    title: str
    description: str
    rows: tuple[Row, ...]


def dashboard(board: Board) -> dict[str, Any]:
    """What goes into the board's file."""
    return {
        "uid": f"imd-{board.name}",
        "title": f"imd / {board.title}",
        "description": board.description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_alerts()]},
        "links": [_siblings()],
        "templating": {"list": [_datasource(), _instances()]},
        "panels": _laid_out(board.rows),
    }


def _laid_out(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"h": 1, "w": _GRID_WIDTH, "x": 0, "y": y},
                "panels": [],
            }
        )
        y += 1
        width = _GRID_WIDTH // len(row.panels)
        height = max(_STAT_HEIGHT if panel.kind == "stat" else _PANEL_HEIGHT for panel in row.panels)
        for index, panel in enumerate(row.panels):
            at = {"h": height, "w": width, "x": index * width, "y": y}
            panels.append(_panel(panel, number=len(panels) + 1, at=at))
        y += height
    return panels


def _panel(panel: Panel, *, number: int, at: dict[str, int]) -> dict[str, Any]:
    look, options = _stat_look(panel) if panel.kind == "stat" else _series_look(panel)
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": at,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": _thresholds(panel), **look},
            "overrides": [],
        },
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "range": True,
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def _stat_look(panel: Panel) -> tuple[dict[str, Any], dict[str, Any]]:
    return {}, {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "value_and_name" if len(panel.queries) > 1 else "value",
    }


def _series_look(panel: Panel) -> tuple[dict[str, Any], dict[str, Any]]:
    custom = {
        "lineWidth": 1,
        "fillOpacity": 20 if panel.stack else 0,
        "showPoints": "never",
        "stacking": {"mode": "normal" if panel.stack else "none", "group": "A"},
    }
    return {"min": 0, "custom": custom}, {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _thresholds(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad_above is not None:
        steps.append({"color": "red", "value": panel.bad_above})
    return {"mode": "absolute", "steps": steps}


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "regex": "",
        "hide": 0,
        "refresh": 1,
        "multi": False,
        "includeAll": False,
    }


def _instances() -> dict[str, Any]:
    query = "label_values(imd_build_info, instance)"
    return {
        "name": "instance",
        "label": "Node",
        "type": "query",
        "datasource": _DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": "instance"},
        "regex": "",
        "hide": 0,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _alerts() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": _DATASOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertstate="firing", alertname=~"Imd.*"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{instance}}",
        "step": "60s",
    }


def _siblings() -> dict[str, Any]:
    return {
        "type": "dashboards",
        "title": "imd",
        "tags": [TAG],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
    }
