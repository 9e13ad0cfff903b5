"""A dashboard for Grafana, from the table of metric families."""

from __future__ import annotations

from typing import Any, Final

from deepseek_observe.monitor.families import PANELS, Family

_UNITS: Final = {
    "ratio": "percentunit", "bytes": "bytes", "bytes/s": "Bps", "celsius": "celsius",
    "watts": "watt", "hertz": "hertz", "seconds": "s", "per s": "cps", "": "short",
}  # fmt: skip
_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_WIDTH, _HEIGHT = 12, 8


def dashboard() -> dict[str, Any]:
    """The dashboard, as Grafana imports it; a panel for each chart of the page."""
    return {
        "title": "DeepSeek SDK",
        "uid": "deepseek-sdk-monitor",
        "schemaVersion": 39,
        "version": 1,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "timezone": "browser",
        "tags": ["deepseek"],
        "templating": {
            "list": [
                {"name": "source", "type": "datasource", "query": "prometheus", "label": "Source"}
            ]
        },
        "panels": [_panel(number, family) for number, family in enumerate(PANELS)],
    }


def _panel(number: int, family: Family) -> dict[str, Any]:
    unit = _UNITS[family.shown_unit]
    limits = (
        {"min": 0, "max": 1} if unit == "percentunit" and "imbalance" not in family.name else {}
    )
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": family.panel,
        "description": family.help,
        "datasource": _SOURCE,
        "gridPos": {
            "x": number % 2 * _WIDTH, "y": number // 2 * _HEIGHT, "w": _WIDTH, "h": _HEIGHT
        },
        "fieldConfig": {"defaults": {"unit": unit, **limits}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
        "targets": [
            {
                "refId": "A", "datasource": _SOURCE, "expr": family.query,
                "legendFormat": f"{{{{{family.labels[0]}}}}}",
            }
        ],
    }  # fmt: skip
