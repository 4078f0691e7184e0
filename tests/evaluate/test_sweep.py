"""Sweeps: which settings, recorded as they end, gone on with after a kill, ranked by effect."""

import itertools
from pathlib import Path

import jax
import pytest
from conftest import TINY, seeing, small, tiny_market

from fusionjax import ledger
from fusionjax.config import Config
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import sweep
from fusionjax.parallel.mesh import make_mesh

SPACE = (("train.learning_rate", (1e-3, 3e-3)), ("model.width", (8, 16)))


def config(**changes: object) -> Config:
    return small(
        seeing({"price": TINY["price"]}),
        Path(),
        data__splits={"train": ("2020-01-01", "2020-06-01"), "dev": ("2020-06-02", "2020-07-20")},
        selection__folds=2,
        selection__fold_sessions=10,
        train__steps=2,
        train__learning_rate=1e-3,
        model__width=8,
        model__fusion="equal",
        evaluate__market_channel="ret",
        sweep__space=SPACE,
        **changes,
    )


@pytest.fixture(scope="module")
def market() -> Market:
    return tiny_market(days=200, symbols=("AA", "BB"))


def test_the_settings_of_each_method() -> None:
    grid = sweep.settings(config())
    assert len(grid) == 4
    alone = sweep.settings(config(sweep__method="sensitivity"))
    assert alone == [{}, {"train.learning_rate": 3e-3}, {"model.width": 16}]
    some = sweep.settings(config(sweep__method="random", sweep__points=3))
    assert len(some) == 3
    assert all(s in grid for s in some)
    assert all(a != b for a, b in itertools.combinations(some, 2))
    with pytest.raises(InputError, match=r"sweep.space is empty; expected \(dotted key"):
        sweep.settings(config().override({"sweep.space": ()}))
    with pytest.raises(InputError, match="model.widht"):
        sweep.settings(config().override({"sweep.space": (("model.widht", (8,)),)}))


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(market: Market, tmp_path: Path) -> None:
    c = config(sweep__method="sensitivity", sweep__seeds=2)
    mesh = make_mesh(c.mesh, jax.devices()[:1])
    begun = sweep.run(market, c, mesh, tmp_path)
    first = [next(begun), next(begun)]  # and then it is killed
    assert len(ledger.read(tmp_path)) == 2, "each point is there as soon as it ends"
    points = list(sweep.run(market, c, mesh, tmp_path))
    assert [new for *_, new in points] == [False, False, True, True, True, True]
    assert [r for _, r, _ in points[:2]] == [r for _, r, _ in first]
    assert [r.seeds for _, r, _ in points] == [(0,), (1,)] * 3
    again = list(sweep.run(market, c, mesh, tmp_path))
    assert not any(new for *_, new in again)
    assert [r.metrics for _, r, _ in again] == [r.metrics for _, r, _ in points]
    # A grid over the same values finds the three settings that were tried.
    grid = list(sweep.run(market, c.override({"sweep.method": "grid"}), mesh, tmp_path))
    assert [new for *_, new in grid].count(True) == 2


def test_ranked(market: Market) -> None:
    def record(value: float, seed: int) -> ledger.Record:
        c = config()
        return ledger.record(
            "sweep",
            c,
            ledger.Subject("", "", (seed,), "train"),
            ledger.Result({"objective": value}, {"seconds": 1.0}),
        )

    points = [
        (changes, record(value + noise, seed), True)
        for changes, value in (
            ({}, 1.0),
            ({"model.width": 16}, 1.1),
            ({"train.learning_rate": 3e-3}, 0.7),
        )
        for seed, noise in enumerate((-0.01, 0.01))
    ]
    ranked = sweep.effects(points)
    assert ranked["key"].tolist() == ["train.learning_rate", "model.width"]
    assert ranked["change"].round(6).tolist() == [-0.3, 0.1]
    # Two seeds, a standard deviation of .0141 each: the error of a difference of means is .0141.
    assert ranked["noise"].round(4).tolist() == [0.0141, 0.0141]
    assert sweep.table(points).index.tolist() == [
        "train.learning_rate=0.003",
        "as it is",
        "model.width=16",
    ]
    with pytest.raises(InputError, match="is not sensitivity"):
        sweep.effects(points[2:])
