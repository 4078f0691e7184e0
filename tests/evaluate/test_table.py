"""The table says what it knows: counts, spread, verdicts; and refuses what it cannot know."""

import dataclasses
import io

import numpy as np
from conftest import tiny_market
from rich.console import Console
from test_baselines import config

from fusionjax.data import samples
from fusionjax.evaluate import scoring, table
from fusionjax.evaluate.scoring import TargetTable

CALLS = "always up"  # a baseline that gives no probability; here it tosses a coin


def made(days: int, right: float, seeds: int = 3) -> TargetTable:
    """The direction table of a run that calls a share ``right`` of the samples rightly."""
    c = config()
    market = tiny_market(days=days + 10, symbols=("AA", "BB"))
    market = dataclasses.replace(market, sectors={"AA": "oil", "BB": "banks"})
    scored = samples.between(market, c, np.datetime64("2020-01-01"), market.session.max())
    label = scored.targets.label["direction"][:, 0]
    each = []
    for seed in range(seeds):
        hit = np.random.default_rng(seed).uniform(size=len(scored)) < right
        each.append(np.where(hit, label, 1 - label).astype(float))
    task = scoring.tasks(scored, market, c)["direction"]
    baseline_forecasts = {CALLS: np.random.default_rng(9).integers(0, 2, len(scored)).astype(float)}
    return scoring.table(task, {"ours": each}, baseline_forecasts, scored, market, c)


def test_rows_of_a_good_run() -> None:
    t = made(100, right=0.9)
    ours, alone, coin = t.rows
    assert ours.name == "ours (3 seeds averaged)"
    assert alone.over_seeds
    low, high = alone.spread["accuracy"]
    assert low < 0.9 < high or abs(alone.values["accuracy"] - 0.9) < 0.05
    assert coin.verdict == "better"
    assert ours.verdict == ""
    assert "log loss" in ours.values
    assert "log loss" not in coin.values, "a rule that is certain has no probability to score"
    text = table.markdown(table.Scores("x", ["head"], [t]))
    assert f"| {CALLS} | ." in text
    assert "±" in text
    assert "next session's direction" in text
    assert len(table.for_screen(table.Scores("x", [], [t]))[0].rows) == 3


def test_long_names_that_differ_at_their_end_are_told_apart_on_a_narrow_screen() -> None:
    """Both of two further runs were cut to the same letters."""
    t = made(100, right=0.9)
    names = [f"/srv/desk/runs/volatility/acl18_stream_finetuned_{x}" for x in ("may", "june")]
    rows = [dataclasses.replace(t.rows[0], name=name) for name in names]
    screen = table.for_screen(table.Scores("x", [], [dataclasses.replace(t, rows=rows)]))[0]
    console = Console(file=io.StringIO(), width=80)
    console.print(screen)
    lines = console.file.getvalue().splitlines()
    shown = "".join(line[1:].split("│")[0].strip() for line in lines if line.startswith("│"))
    assert all(name in shown for name in names)


def test_every_metric_and_every_part_of_the_period_is_in_the_file() -> None:
    t = made(100, right=0.7)
    text = table.markdown(table.Scores("x", ["head"], [t]))
    for metric in ("balanced accuracy", "F1", "AUC", "Brier", "ECE", "RankIC", "Sharpe at 20 bps"):
        assert f"| {metric} | " in text
    for part in ("| sector | banks | 104 |", "| market | calm | ", "| market | turbulent | "):
        assert part in text
    assert sum(p.samples for p in t.parts if p.by == "market") == t.samples
    whole = t.rows[0].values["accuracy"]
    banks, oil = (p.values["accuracy"] for p in t.parts if p.by == "sector")
    np.testing.assert_allclose((banks + oil) / 2, whole)  # as many samples each


def test_a_single_run_has_an_interval_and_no_seed_row() -> None:
    t = made(100, right=0.5, seeds=1)
    assert [r.name for r in t.rows] == ["ours", CALLS]
    assert t.rows[1].verdict == "not distinguishable"


def test_a_period_without_a_known_label_is_refused() -> None:
    c = config()
    market = tiny_market(days=20)
    scored = samples.between(market, c, np.datetime64("2020-01-01"), market.session.max())
    task = scoring.tasks(scored, market, c)["direction"]
    assert not scoring._unknown(task, scored, c.evaluate)
    labelled = dataclasses.replace(task.labelled, known=np.zeros(len(scored), bool))
    unknown = dataclasses.replace(task, labelled=labelled)
    why = scoring._unknown(unknown, scored, c.evaluate)
    assert why.startswith("config.data.splits.dev: no 1-session label of direction is known from ")


def test_too_few_days_are_said_and_nothing_is_made_of_them() -> None:
    t = made(6, right=0.9)
    assert t.rows[2].verdict == "too few days (about 12 needed)"
    text = table.markdown(table.Scores("x", [], [t]))
    assert "too few days, or no interval that holds, for accuracy, " in text
    assert "[" not in text
    assert "inf" not in text
    longer = made(40, right=0.9)
    assert longer.rows[2].verdict == "better"
    assert "too few days, or no interval that holds, for precision, recall" in table.markdown(
        table.Scores("x", [], [longer])
    )


def test_scores_are_plain_data() -> None:
    t = made(60, right=0.6)
    assert dataclasses.asdict(t)["rows"][0]["values"]["accuracy"] == t.rows[0].values["accuracy"]
