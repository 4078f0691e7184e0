"""The run's page: from the simple models to the whole forecast, each step with its difference."""

import numpy as np
import pandas as pd
from markupsafe import Markup

from fusionjax.evaluate.scoring import EXPERTS_ALONE, OWN_PARTS, ForecasterScores, TargetTable
from fusionjax.evaluate.table import Scores, number, title
from fusionjax.report import charts, page
from fusionjax.scores import metrics


def steps(scores: Scores) -> list[Markup]:
    """A table of the steps of all targets, and a picture for each; empty of forecasts that start
    from no experts and of scores of earlier versions."""
    tables = [t for t in scores.tables if _row(t, EXPERTS_ALONE) is not None]
    if not tables:
        return []
    rows = [_line(t) for t in tables if _others(t)]
    frame = pd.DataFrame(rows).set_index("forecast of")
    return [page.table(frame, len(frame)), *(_picture(t) for t in tables)]


def _line(table: TargetTable) -> dict[str, str]:
    """The steps of one target in the metric that decides."""
    ours, alone = table.rows[0], _row(table, EXPERTS_ALONE)
    others = _others(table)
    assert alone is not None
    best = max(others, key=lambda r: _sign(table) * r.values[table.compared])
    digits = {
        k: number(r.values[table.compared], table.compared)
        for k, r in (("best", best), ("alone", alone), ("ours", ours))
    }
    return {
        "forecast of": table.name,
        "beside its experts": alone.verdict,
        "beside the best other": best.verdict,
        "metric": table.compared,
        "best other, in hindsight": f"{best.name} {digits['best']}",
        "experts alone": digits["alone"],
        "this run": digits["ours"],
    }


def _picture(table: TargetTable) -> Markup:
    """By how much this run is better than each forecaster, paired, the nearest at the bottom."""
    others = [r for r in table.rows[1:] if r.difference and np.isfinite(r.difference[0])]
    if not others:
        return Markup("")
    sign = _sign(table)
    gains = sorted(
        ((r, tuple(sorted(sign * x for x in r.difference))) for r in others),
        key=lambda pair: -pair[1][1],
    )
    ours = [r.name for r, _ in gains if r.name.endswith(OWN_PARTS)]
    drawn = charts.estimates(
        [r.name for r, _ in gains],
        [gain[1] for _, gain in gains],
        [(gain[0], gain[2]) for _, gain in gains],
        f"this run is better by ({table.compared})",
        ours,
    )
    return Markup("<h3>{}</h3>").format(title(table)) + drawn


def _others(table: TargetTable) -> list[ForecasterScores]:
    """The rows of forecasters that are no part of this run and have a value."""
    return [r for r in table.others if np.isfinite(r.values.get(table.compared, np.nan))]


def _row(table: TargetTable, name: str) -> ForecasterScores | None:
    return next((r for r in table.rows if r.name == name), None)


def _sign(table: TargetTable) -> int:
    """1 where higher is better."""
    return -1 if table.compared in metrics.LOSSES else 1
