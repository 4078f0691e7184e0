"""The run's page: how much each modality counts, and what each changes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from fusionjax.config import Modalities
from fusionjax.report import charts, page

_SMOOTH = 20  # days, of the curves
_STILL = 0.005  # range of daily means within which a weight is called constant


def weights(rows: pd.DataFrame, modalities: Modalities) -> list[Markup]:
    """A table of each modality's weight, and curves of those that move from day to day.

    Args:
      rows: the outcomes; those of a file of forecasts have no weights, and nothing is returned.
      modalities: of the run.
    """
    names = [m for m in modalities if f"weight.{m}" in rows]
    if not names:
        return []
    each = rows[[f"weight.{m}" for m in names]].set_axis(names, axis=1)
    counted = each.where(lambda x: x > 0)
    daily = counted.groupby(rows["target_day"]).mean()
    table = pd.DataFrame(
        {
            "mean weight": counted.mean(),
            "least of a day": daily.min(),
            "largest of a day": daily.max(),
            "samples where it counts": [f"{x:.0%}" for x in (each > 0).mean()],
        }
    ).rename_axis("modality")
    moving = [m for m in names if daily[m].max() - daily[m].min() > _STILL]
    parts = [_in_words(names, moving, each), page.table(table, len(table))]
    if moving:
        when = pd.DatetimeIndex(daily.index).strftime("%Y-%m-%d").tolist()
        smooth = daily.rolling(_SMOOTH, 1).mean()
        curves = {m: (when, smooth[m].to_numpy()) for m in moving}
        parts.append(charts.lines(curves, y=f"weight, mean of {_SMOOTH} days"))
    by = counted.groupby(rows["symbol"]).mean()
    shown = [m for m in names if by[m].notna().any()]
    if len(by) > 1 and moving:
        parts.append(
            charts.heatmap(
                by[shown].to_numpy(float).T,
                x=[str(s) for s in by.index],
                y=shown,
                height=120 + 36 * len(shown),
            )
        )
    return parts


def _in_words(names: list[str], moving: list[str], each: pd.DataFrame) -> Markup:
    """Which weights are constant, and which are none."""
    silent = [m for m in names if not (each[m] > 0).any()]
    still = [m for m in names if m not in (*moving, *silent)]
    sentences = []
    if still:
        sentences.append(
            f"Constant over these days: {', '.join(still)}. What was learned does not "
            f"depend on the sample, so there is no curve."
        )
    if silent:
        sentences.append(
            f"Without weight: {', '.join(silent)}, absent on these days or not kept; "
            "the next section says why."
        )
    return Markup("<p>{}</p>").format(" ".join(sentences)) if sentences else Markup("")


def contributions(seeds: list[Path]) -> list[Markup]:
    """What each modality does to the loss of later rows, over all seeds; empty of a fusion that
    does not diagnose itself.

    Args:
      seeds: folders of the trainings.
    """
    diagnoses = [json.loads(p.read_text()) for s in seeds if (p := s / "fusion.json").exists()]
    if not diagnoses:
        return []
    names = list(diagnoses[0]["modalities"])
    # Of runs before placebos were averaged there is only ``worth``.
    earned = np.mean([d.get("earned", d["worth"]) for d in diagnoses], axis=0)
    error = np.sqrt(np.mean(np.square([d["error"] for d in diagnoses]), axis=0))
    share = np.mean([d["settled"]["share"] for d in diagnoses], axis=0)
    asked = [
        m for m in range(len(names)) if any(_state(d, names[m]) != "waiting" for d in diagnoses)
    ]
    table = pd.DataFrame(
        {
            "decided": [_decided(name, diagnoses) for name in names],
            "rise of the loss without its content": [
                f"{e:+.4f} ± {s:.4f}" if m in asked else "–"
                for m, (e, s) in enumerate(zip(earned, error, strict=True))
            ],
            "share of all contribution": [f"{x:.0%}" for x in share],
        },
        index=pd.Index(names, name="modality"),
    )
    parts = [page.table(table, len(table))]
    if asked:
        parts.append(
            charts.estimates(
                [names[m] for m in asked],
                earned[asked],
                [(earned[m] - 2 * error[m], earned[m] + 2 * error[m]) for m in asked],
                "rise of the loss, ± 2 standard errors",
            )
        )
    lines = dict.fromkeys(line for d in diagnoses for line in d["anomalies"])
    return [*parts, Markup("").join(Markup("<p>{}</p>").format(line) for line in lines)]


def _state(diagnosis: dict[str, Any], name: str) -> str:
    kept = dict(zip(diagnosis["modalities"], diagnosis["kept"], strict=True))
    states: dict[str, str] = diagnosis.get("state", {})  # runs of earlier versions have none
    return states.get(name, "kept" if kept[name] else "dropped")


_WHY = {
    "kept": "kept",
    "dropped": "dropped: later rows do not need it",
    "waiting": "waiting: too few sessions show it",
}


def _decided(name: str, diagnoses: list[dict[str, Any]]) -> str:
    """What modality selection decided, by how many of the seeds."""
    states = pd.Series([_state(d, name) for d in diagnoses]).value_counts()
    if len(states) == 1:
        return _WHY.get(str(states.index[0]), str(states.index[0]))
    return ", ".join(
        f"{state} in {count} of {len(diagnoses)} seeds" for state, count in states.items()
    )
