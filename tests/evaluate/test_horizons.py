"""Every horizon of a head is scored, calibrated, stored and told; every sample too."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from test_diagnostics import outcomes
from test_maturity import config, forecasts, with_gaps, without

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.evaluate import baselines, diagnostics, evaluation, leaks, scoring, table
from fusionjax.evaluate.inference import Ensemble
from fusionjax.experts import learners

ACL18 = {"targets__direction__up": 0.0055, "targets__direction__down": -0.005}


@pytest.fixture(scope="module")
def market() -> Market:
    """Of four stocks: too few for correlations across a day's."""
    five = with_gaps(0)
    return without(five, five.symbol == 4)


def knowing(market: Market, c: Config, name: str) -> scoring.TargetTable:
    """The table of a name for somebody who knows the return of its horizon."""
    s, _ = forecasts(market, c, 0)
    task = scoring.tasks(s, market, c)[name]
    ratio, _ = samples.growth(market, s.row, task.head.horizons[0], market.session.max())
    up = (ratio > 1).astype(float)
    return scoring.table(task, {"ours": [up]}, {}, s, market, c)


def test_each_head_has_a_table_at_each_horizon(market: Market) -> None:
    c = config()
    s, prediction = forecasts(market, c, 0)
    tasks = scoring.tasks(s, market, c)
    assert list(tasks) == ["direction", "direction 5d", "returns", "returns 5d", "volatility"]
    for name, at in (("returns", 0), ("returns 5d", 1)):
        np.testing.assert_array_equal(tasks[name].labelled.label, s.targets.label["returns"][:, at])
        np.testing.assert_array_equal(tasks[name].keep, s.targets.mask["returns"][:, at])
        np.testing.assert_array_equal(
            tasks[name].values(prediction), prediction.value["returns"][:, at]
        )
    later = knowing(market, c, "direction 5d")
    assert later.rows[0].values["accuracy"] == 1
    assert later.horizon == 5
    learned, labelled = tasks["direction"].labelled, tasks["direction 5d"].labelled
    known = {"ours": labelled.label.astype(float)}
    heard = leaks.of_horizon("direction", 1, known, learned, labelled)
    assert all("direction at 5 session(s)" in line for line in heard)
    assert heard
    scores = table.Scores("x", [], [knowing(market, c, "direction"), later])
    assert scores.metrics["direction: accuracy"] == 1
    assert scores.metrics["direction 5d: accuracy"] == 1
    assert "next 5 sessions' direction: " in table.markdown(scores)


def test_where_a_protocol_leaves_samples_out_all_are_scored_too(market: Market) -> None:
    c = config(**ACL18)
    s, _ = forecasts(market, c, 0)
    tasks = scoring.tasks(s, market, c)
    assert [n for n in tasks if n.startswith("direction")] == [
        "direction",
        "direction all samples",
        "direction 5d",
        "direction 5d all samples",
    ]
    ratio, known = samples.growth(market, s.row, 1, market.session.max())
    published, every = tasks["direction"], tasks["direction all samples"]
    assert published.keep.sum() < 0.7 * known.sum(), "a return of 1 % a day is often between"
    np.testing.assert_array_equal(every.keep, known)
    np.testing.assert_array_equal(every.labelled.label[known], ratio[known] > 1)
    both = published.keep
    np.testing.assert_array_equal(every.labelled.label[both], published.labelled.label[both])
    made = knowing(market, c, "direction all samples")
    assert made.samples == known.sum()
    assert made.rows[0].values["accuracy"] == 1
    text = table.markdown(table.Scores("x", [], [made]))
    assert f"next session's direction (all samples): {known.sum():,} samples" in text


def test_what_is_stored_and_told_has_every_horizon(market: Market) -> None:
    c = config()
    s, prediction = forecasts(market, c, 0)
    corrected = evaluation.calibrated(prediction, s, market, c)
    known = {k: v for k, v in corrected.items() if v is not None}
    assert {k: v.shape[1:] for k, v in known.items()} == {"direction": (2,), "returns": (2, 5)}
    rows = evaluation._frame(prediction, [prediction], known, s, market, c)
    for at, end in ((0, ""), (1, "_5d")):
        np.testing.assert_array_equal(rows[f"q0.05{end}"], known["returns"][:, at, 0])
        np.testing.assert_array_equal(rows[f"up_calibrated{end}"], known["direction"][:, at])
        label = np.where(
            s.targets.mask["returns"][:, at], s.targets.label["returns"][:, at], np.nan
        )
        np.testing.assert_array_equal(rows[f"return{end}"], label)
    said = c.targets["returns"].record(prediction.value["returns"][9], known["returns"][9], c)
    low, *_, high = known["returns"][9, 1]
    assert said["calibrated"]["interval_5d"] == pytest.approx(
        {"level": 0.9, "low": low, "high": high}, abs=1e-6
    )
    said = c.targets["direction"].record(prediction.value["direction"][9], known["direction"][9], c)
    up = known["direction"][9]
    assert said["calibrated"] == pytest.approx({"up": up[0], "up_5d": up[1]}, abs=1e-6)


def test_a_later_horizon_is_diagnosed_by_its_own_columns() -> None:
    sound, c = outcomes(), config()
    ends = {"return": "return_5d", "low_raw": "low_raw_5d", "high_raw": "high_raw_5d"}
    ends |= {"q0.05": "q0.05_5d", "q0.95": "q0.95_5d"}
    later = sound[list(ends)].rename(columns=ends)
    assert not diagnostics.of_output(sound, c), "scored before other horizons were"
    assert not diagnostics.of_output(pd.concat([sound, later], axis=1), c)
    narrow = later.assign(**{"q0.95_5d": later["q0.95_5d"] / 3})
    (line,) = diagnostics.of_output(pd.concat([sound, narrow], axis=1), c)
    assert line.startswith("returns at 5 sessions: the calibrated 90% interval covers")


def scored_run(
    market: Market, c: Config, monkeypatch: pytest.MonkeyPatch
) -> list[scoring.TargetTable]:
    """The tables of a run that says something at random, beside the baselines."""
    for grid in ("_PENALTIES", "_TREES"):
        monkeypatch.setattr(learners, grid, getattr(learners, grid)[:1])
    s, prediction = forecasts(market, c, 0)
    inside = s.target_day >= samples.period(c.data, "dev")[0]
    run = object.__new__(Ensemble)
    first, last = c.data.splits["train"]
    run.learned = np.datetime64(first, "D"), np.datetime64(last, "D")
    run.windows = Windows(market, c, Scaler.fit(market, np.datetime64(last)))
    corrected = evaluation.calibrated(prediction, s, market, c)
    return scoring.score_runs(
        {"run": run},
        {"run": [prediction.take(inside)]},
        {k: v[inside] for k, v in corrected.items() if v is not None},
        market,
        c,
        s.take(inside),
    )


def test_baselines_stand_beside_each_horizon_and_short_ones_are_said_to_be(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = {"train": ("2020-01-01", "2020-05-15"), "dev": ("2020-05-16", "2020-12-01")}
    c = config(selection__folds=2, selection__fold_sessions=20)
    c = c.override({"data.splits": splits})
    long = {t.name: t for t in scored_run(market, c, monkeypatch)}
    for name in ("direction", "direction 5d"):
        rows = {r.name for r in long[name].rows}
        assert {"run, calibrated", "majority", "logistic regression", "LightGBM"} < rows
    rows = {r.name: r.values for r in long["returns 5d"].rows}
    one = {r.name: r.values for r in long["returns"].rows}
    plain = "historical quantiles"
    assert rows[plain]["pinball"] > 1.5 * one[plain]["pinball"], "five sessions move further"
    assert evaluation._unscored([*long.values()], c.targets) == []
    short = c.override({"targets.returns.horizons": (1, 200)})  # beyond the last bar
    tables = scored_run(market, short, monkeypatch)
    assert [t.name for t in tables] == ["direction", "direction 5d", "returns", "volatility"]
    assert evaluation._unscored(tables, short.targets) == [
        "returns at 200 sessions is not scored: no label is known"
    ]


def test_a_learner_learns_the_label_of_its_horizon(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the second label is the opposite of the first, so is what a linear model says."""
    monkeypatch.setattr(learners, "_PENALTIES", (1e-4,))
    c = config()
    train = samples.split(market, c, "train")
    label, mask = train.targets.label["direction"], train.targets.mask["direction"]
    label[:, 1], mask[:, 1] = 1 - label[:, 0], mask[:, 0]
    windows = Windows(market, c, Scaler.fit(market, np.datetime64("2020-07-01")))
    last = np.datetime64("2020-07-01")
    fitted = baselines.Baselines(windows, train, [(train, train)], train.row, last)
    monkeypatch.setattr(learners, "_TREES", learners._TREES[:1])
    first, second = (
        fitted.fitted("direction", c.targets["direction"], at)["logistic regression"]
        for at in (0, 1)
    )
    assert first.std() > 0.005
    np.testing.assert_allclose(second, 1 - first, atol=1e-6)


def test_scores_of_before_are_read(market: Market, tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = table.Scores("scores_dev", [], [knowing(market, config(), "direction")])
    made.save(tmp_path)
    path = tmp_path / "scores_dev.json"
    path.write_text(path.read_text().replace(', "variant": ""', ""))
    assert table.Scores.read(path) == dataclasses.replace(made)
