"""The page's heart: steps from simple models to the run, and weights that mean something."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from fusionjax.evaluate.scoring import EXPERTS_ALONE, ForecasterScores, TargetTable
from fusionjax.evaluate.table import Scores
from fusionjax.report import fusion, steps


def row(name: str, value: float, verdict: str, gap: tuple[float, ...] = ()) -> ForecasterScores:
    spread = {"MSE": (-np.inf, np.inf)}
    return ForecasterScores(name, {"MSE": value}, spread, False, verdict, gap)


def scores(*rows: ForecasterScores) -> Scores:
    ours = row("runs/x (2 seeds averaged)", 0.20, "")
    table = TargetTable(
        "volatility", 5, 400, 400, ("MSE",), "MSE", [ours, *rows], {"MSE": np.inf}, []
    )
    return Scores("scores_dev", [], [table])


def traces(html: str) -> list[dict]:
    """What each figure of a page draws."""
    found = re.findall(r"Plotly\.newPlot\(\s*\"[^\"]+\",\s*(\[.*?\]),\s*\{\"", html, re.DOTALL)
    return [json.loads(x)[0] for x in found]


def test_steps_lead_from_the_best_other_to_the_experts_to_the_run(tmp_path: Path) -> None:
    given = scores(
        row(EXPERTS_ALONE, 0.21, "better", (-0.01, -0.015, -0.005)),
        row("ridge", 0.22, "not distinguishable", (-0.02, -0.05, 0.01)),
        row("persistence", 0.40, "better", (-0.20, -0.30, -0.10)),
        row("runs/x, calibrated", 0.19, "worse", (0.01, 0.005, 0.015)),
    )
    given.save(tmp_path)
    kept = Scores.read(tmp_path / "scores_dev.json")
    assert kept.tables[0].rows[1].difference == (-0.01, -0.015, -0.005)
    table, picture = steps.steps(kept)
    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", table)
    assert cells[-7:] == [
        *("volatility", "better", "not distinguishable", "MSE", "ridge .220", ".210", ".200")
    ]
    (drawn,) = traces(picture)
    assert drawn["y"] == ["persistence", "ridge", "the experts alone", "runs/x, calibrated"]
    assert drawn["x"] == [0.2, 0.02, 0.01, -0.01], "a loss that is lower is a gain"
    assert drawn["error_x"]["array"] == [0.1, 0.03, 0.005, 0.005], "the upper ends"
    assert drawn["error_x"]["arrayminus"] == [0.1, 0.03, 0.005, 0.005]
    colours = drawn["marker"]["color"]
    assert colours[0] == colours[1] != colours[2] == colours[3], "the run's own stand out"


def test_without_experts_or_days_no_step_is_claimed() -> None:
    assert steps.steps(scores(row("ridge", 0.22, "better", (-0.02, -0.03, -0.01)))) == []
    short = row(EXPERTS_ALONE, 0.21, "too few days", (-0.01, -np.inf, np.inf))
    other = row("ridge", 0.22, "too few days", (-0.02, -np.inf, np.inf))
    (_, picture) = steps.steps(scores(short, other))
    assert traces(picture)[0]["error_x"]["array"] == [None, None], "points without intervals"


def outcomes(**weights: np.ndarray) -> pd.DataFrame:
    days = pd.bdate_range("2020-01-01", periods=40)
    frame = pd.DataFrame({"symbol": "A", "target_day": days})
    return frame.assign(**{f"weight.{k}": x for k, x in weights.items()})


def test_a_weight_that_never_moves_is_a_table_and_no_curve() -> None:
    modalities = dict.fromkeys(("price", "text", "chart"))
    steady = outcomes(price=np.ones(40), text=np.full(40, 0.5), chart=np.zeros(40))
    said, table = fusion.weights(steady, modalities)  # type: ignore[arg-type]
    assert "Constant over these days: price, text." in said
    assert "Without weight: chart" in said
    assert "<th>text</th>" in table
    moving = outcomes(price=np.linspace(0.5, 1, 40), text=np.full(40, 0.5), chart=np.zeros(40))
    said, _, curve = fusion.weights(moving, modalities)  # type: ignore[arg-type]
    assert "Constant over these days: text." in said
    assert [t["name"] for t in traces(curve)] == ["price"]
    assert fusion.weights(outcomes(), modalities) == [], "of a file of forecasts"  # type: ignore[arg-type]


def test_contributions_are_of_all_seeds_and_never_an_empty_plot(tmp_path: Path) -> None:
    assert fusion.contributions([tmp_path]) == [], "another fusion does not diagnose itself"
    seeds = []
    for i, kept in enumerate(([1.0, 0.0, 0.0], [1.0, 1.0, 0.0])):
        names = ["price", "text", "vix"]
        state = dict(zip(names, ["kept" if k else "dropped" for k in kept], strict=True))
        record = {
            "modalities": names, "kept": kept, "state": state | {"vix": "waiting"},
            "worth": [0.1] * 3, "earned": [0.02 + 0.02 * i, 0.0, 0.0], "error": [0.01] * 3,
            "settled": {"share": kept}, "anomalies": ["vix is dead"],
        }  # fmt: skip
        seeds.append(tmp_path / f"seed_{i}")
        seeds[-1].mkdir()
        (seeds[-1] / "fusion.json").write_text(json.dumps(record))
    table, picture, lines = fusion.contributions(seeds)
    assert "kept in 1 of 2 seeds" in table
    assert "+0.0300 ± 0.0100" in table
    assert "waiting: too few sessions show it" in table
    (drawn,) = traces(picture)
    assert drawn["y"] == ["price", "text"], "what waits was not asked"
    assert lines.count("vix is dead") == 1
