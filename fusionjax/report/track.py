"""A service's track record on a day's page."""

from typing import Any

import pandas as pd
from markupsafe import Markup

from fusionjax.report import charts, page
from fusionjax.report.page import Section

_ROWS = 100


def section(record: dict[str, Any] | None, proven: str) -> Section:
    """What ``adapt.track.summary`` says; without parts where there is no label yet.

    Args:
      record: the summary; None for none.
      proven: the sum of the day's record in the service's proof.
    """
    intro = (
        "All days of this service: each forecast beside what came, once that was known, and beside "
        "the simplest forecasts, which learned what the first run had. Intervals are at 95 %, over "
        f"days. The sum of this day's record is {proven or 'not kept'}: whoever keeps it can "
        "prove by fusionjax track --verify that this and all earlier forecasts were made before."
    )
    if record is None or not record["targets"]:
        return Section("Track record", intro, [])
    parts = [page.table(_targets(record), _ROWS)]
    if rows := _confidence(record):
        frame = pd.DataFrame(rows).set_index("stated confidence")
        parts += [Markup("<h3>Hits by stated confidence</h3>"), page.table(frame, _ROWS)]
    weights = pd.DataFrame(record["weights"]).set_index("session")
    if len(weights) > 1:
        lines = {str(name): (weights.index, column) for name, column in weights.items()}
        parts.append(charts.lines(lines, y="mean fusion weight"))
    if record["events"]:
        events = pd.DataFrame(record["events"]).set_index("session")
        events["alarms"] = events["alarms"].map("; ".join)
        parts += [Markup("<h3>Alarms and updates</h3>"), page.table(events.iloc[::-1], _ROWS)]
    return Section("Track record", intro, parts)


def _targets(record: dict[str, Any]) -> pd.DataFrame:
    """A row for the service and each of the simplest forecasts, of every target."""
    rows = []
    for target, own in record["targets"].items():
        base = {"target": target, "labels": own["labels"]}
        loss, *others = own["metrics"]
        shares = {name: _share(own["metrics"][name]) for name in others}
        rows.append(base | {"": "the service", loss: own["metrics"][loss]["value"], **shares})
        for name, floor in own["floors"].items():
            told = {"": name, loss: floor["loss"], "the service beside it": floor["verdict"]}
            rows.append(base | told)
    return pd.DataFrame(rows).set_index("target")


def _confidence(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "stated confidence": f"{target}: {row['from']:.0%} to {row['to']:.0%}",
            "calls": row["calls"],
            "stated": f"{row['stated']:.1%}",
            "right": _share(row["right"]),
        }
        for target, rows in record["confidence"].items()
        for row in rows
    ]


def _share(ends: dict[str, float | None]) -> str:
    """A share with its interval, if there is one."""
    if ends["low"] is None:
        return f"{ends['value']:.1%}"
    return f"{ends['value']:.1%} [{ends['low']:.1%}, {ends['high']:.1%}]"
