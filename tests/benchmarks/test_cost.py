"""What a config costs beside a variant: equal to itself, dearer where it does more."""

import json
from pathlib import Path

import jax
import pytest
from conftest import SP500, seeing, small

from benchmarks.measures import cost
from fusionjax.config import Config
from fusionjax.config.variant import compared
from fusionjax.errors import InputError
from fusionjax.parallel.mesh import make_mesh
from fusionjax.telemetry import progress_bar


def config(prepared: Path) -> Config:
    return small(
        seeing(SP500),
        prepared,
        model__layers=1,
        train__steps=100,
        distill__warmup_steps=20,
        distill__initial_update_steps=5,
        distill__update_interval=4,
        distill__refit_fraction=0.3,
    )


def measure(config: Config, other: Config, pairs: int) -> cost.Cost:
    mesh = make_mesh(config.mesh, jax.devices()[:1])
    with progress_bar() as progress:
        return cost.measure(config, other, mesh, pairs, progress)


def by_name(made: cost.Cost) -> dict[str, cost.Measurement]:
    return {row.what: row for row in made.rows}


@pytest.mark.slow
def test_a_config_costs_as_much_as_itself(prepared: Path) -> None:
    c = config(prepared).override({"model.fusion": "equal"})
    rows = by_name(measure(c, c, 5))
    assert list(rows)[:3] == [cost.PLAIN, cost.PREDICTION, cost.ASSEMBLY]
    for row in list(rows.values())[:3]:
        assert 0.5 < row.ratio < 2, row
        assert row.interval is not None
        assert row.interval[0] <= row.ratio <= row.interval[1]
    assert rows["memory of a step"].ratio == rows["FLOPs of a step"].ratio == 1
    assert rows["memory of a prediction"].reached == "yes"


@pytest.mark.slow
def test_the_distilled_fusion_is_dearer_than_equal_weight(prepared: Path, tmp_path: Path) -> None:
    c = config(prepared)
    made = measure(c, compared(c, ["model.fusion=equal"]), 2)
    rows = by_name(made)
    assert list(rows)[:4] == [cost.RUN, cost.WITHOUT_UPDATE, cost.WITH_UPDATE, cost.BETWEEN_UPDATES]
    assert rows["FLOPs of a step"].ratio > 1
    assert rows["memory of a step"].ratio > 1
    # Steps 20 to 69: bursts at 20 to 24 and 45 to 49, each fourth step of the others.
    assert made.notes[0].startswith("The fusion weights are updated in 20.0% of")
    assert made.title.startswith("base against model.fusion=equal: 2 pairs, mesh data 1")
    assert made.notes[-1] == "Too few pairs for 95 %; give --pairs=6 or more."
    assert cost.for_screen(made).row_count == len(rows) == 10
    saved = json.loads(made.save(tmp_path).read_text())
    assert [r["what"] for r in saved["rows"]] == list(rows)
    assert saved["rows"][0]["unit"] == "seconds"


@pytest.mark.slow
def test_the_pipeline_is_timed_beside_the_step_it_feeds(prepared: Path) -> None:
    c = config(prepared)
    with progress_bar() as progress:
        made = cost.feeding(c, make_mesh(c.mesh, jax.devices()[:1]), 3, progress)
    (row,) = made.rows
    assert 0 < row.ours < 10 * row.theirs, "a wide bar: other tests run beside this one"
    assert row.bar == cost.FEED_BAR
    assert made.notes[0].startswith(f"The host can feed {row.theirs / row.ours:.1f} such steps")


@pytest.mark.parametrize(
    ("interval", "said"), [((1.0, 1.1), "yes"), ((1.2, 1.3), "no"), ((1.0, 1.2), "undecided")]
)
def test_a_bar_is_reached_by_the_whole_interval(interval: tuple[float, float], said: str) -> None:
    row = cost.Measurement("step", sum(interval) / 2, interval, 1.15, 1.0, 1.0, "seconds")
    assert row.reached == said


def test_an_interval_needs_two_pairs(prepared: Path) -> None:
    c = config(prepared)
    with pytest.raises(InputError, match="--pairs=1: an interval needs at least 2"):
        measure(c, c, 1)
