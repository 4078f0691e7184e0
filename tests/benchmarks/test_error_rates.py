"""Intervals, verdicts, the gate and placebos are as often wrong as they may be; what was before is
wrong more often."""

import json

import numpy as np
import pytest

from benchmarks.measures import error_gates, error_rates, error_report, error_tables
from benchmarks.measures.error_rates import BEFORE, OURS, Cell
from benchmarks.measures.error_worlds import World
from fusionjax.scores import metrics

WORLDS = 600
NOISE = 2.5 * np.sqrt(0.065 * 0.935 / WORLDS)  # of a share that is at most 6.5 %


def wrong(cells: list[Cell], method: str, statement: str) -> float:
    (cell,) = [c for c in cells if (c.method, c.statement) == (method, statement)]
    return cell.wrong


@pytest.mark.parametrize(("persistence", "horizon"), [(0.0, 1), (0.95, 1), (0.95, 5)])
def test_verdicts_are_wrong_no_more_often_than_they_say(persistence: float, horizon: int) -> None:
    world = World(100, 5, horizon, persistence)
    cells = error_rates.measure(world, WORLDS, 1, (OURS, BEFORE))
    for statement in ("accuracy", "accuracy, paired", "IC", "log loss, paired", "MSE, paired"):
        assert 0.02 < wrong(cells, OURS, statement) < 0.065 + NOISE, statement
    if persistence:
        assert wrong(cells, BEFORE, "MSE, paired") > 0.15
    for cell in cells:
        if cell.method == OURS and cell.statement.endswith("paired"):
            assert 1 < cell.finds < 2, "the price of not knowing the error"


def test_of_42_days_losses_are_not_judged_and_calls_are() -> None:
    cells = error_rates.measure(World(42, 20, 1, 0.8), WORLDS, 1, (OURS, BEFORE))
    assert np.isnan(wrong(cells, OURS, "MSE, paired"))
    assert wrong(cells, BEFORE, "MSE, paired") > 0.1
    assert 0.02 < wrong(cells, OURS, "IC") < 0.065 + NOISE
    assert wrong(cells, BEFORE, "IC") > wrong(cells, OURS, "IC") + 0.02
    text = error_report.text("days", cells)
    assert "| MSE, paired | ours | none |" in text


def test_what_is_printed_is_what_was_measured() -> None:
    """Whole tables: the same statements, through the market, the heads and the table."""
    cells = error_tables.measure(World(70, 5, 1, 0.8), 20, 1)
    by_name = {c.statement: c for c in cells}
    for metric in ("direction, MCC", "direction, AUC", "direction, verdict", "volatility, verdict"):
        assert by_name[f"table: {metric}"].wrong <= 0.25, metric
    bare = {c.statement for c in cells if np.isnan(c.wrong)}
    assert {m.split(", ")[1] for m in bare} == {
        m.split(", ")[1] for m in by_name if metrics.lasting(m.split(", ")[1])
    } - {"verdict"}


def test_the_gate_promotes_few_that_are_worse_and_most_that_are_better() -> None:
    worse, equal, better = error_gates.gate(World(150, 20, 1, 0.5), 150, 1)
    assert worse.share < 0.025 + 2.5 * np.sqrt(0.025 / 150)
    assert better.share < equal.share < 1
    assert better.share < 0.3


def test_results_are_told() -> None:
    made = error_report.run("inputs", False, 30, False)
    assert "| farther than every stretch | AR 0.9 | 11.1 % | " in error_report.text("inputs", made)
    assert json.dumps([m.kind for m in made])  # type: ignore[union-attr]
    methods = error_rates.measure(World(63, 1), 50, 1, (BEFORE, *error_rates.METHODS))
    told = error_report.text("methods", methods)
    assert all(f"| {m} | " in told for m in (BEFORE, *error_rates.METHODS))


@pytest.mark.nightly
@pytest.mark.parametrize("shared", ["day", "stock", "sample"])
def test_noise_beats_its_placebos_no_more_often_than_chance(shared: str) -> None:
    """Shuffled across samples, noise of a day beats all twenty three times as often."""
    worlds = 150
    first, used, harms = error_gates.placebos(shared, 63, worlds, 1, whole=True)
    assert first.share < 1 / 21 + 2.5 * np.sqrt(1 / 21 / worlds)
    assert max(used.share, harms.share) < 0.025 + 2.5 * np.sqrt(0.025 / worlds)
    if shared == "day":
        assert error_gates.placebos(shared, 63, worlds, 1, whole=False)[0].share > 0.08
