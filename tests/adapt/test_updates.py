"""An update learns what has matured, once; it is held, gated and cheap as it was asked."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from conftest import tiny_market
from hypothesis import given
from hypothesis import strategies as st
from parents import MESH, TRAIN, config, telling, trained

from fusionjax.adapt import finetune, promotion, replay
from fusionjax.config import Config, MeshConfig
from fusionjax.data import samples
from fusionjax.data.samples import Samples
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.evaluate import ablation
from fusionjax.evaluate.inference import predict
from fusionjax.parallel.mesh import make_mesh
from fusionjax.scores.intervals import Estimate
from fusionjax.train.checkpoint import Checkpoints
from fusionjax.train.job import Run
from fusionjax.train.run import make_program


@pytest.fixture(scope="module")
def market() -> Market:
    return telling(tiny_market(days=300, symbols=("AA", "BB", "CC", "DD")))


@pytest.fixture(scope="module")
def parent(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(market, config(), tmp_path_factory.mktemp("parent"))


def ends(market: Market, s: Samples, c: Config) -> np.ndarray:
    """The day by which every label that counts is known."""
    found = []
    for name, head in c.targets.items():
        for i, h in enumerate(head.horizons):
            found.append(market.session[s.row[s.targets.mask[name][:, i]] + h])
    return np.concatenate(found)


@given(st.integers(10, 250), st.integers(1, 40))
def test_a_label_is_new_once_and_only_when_it_has_matured(
    market: Market, at: int, step: int
) -> None:
    c = config()
    days = np.unique(market.session)
    after, until = days[at], days[min(at + step, len(days) - 1)]
    new = samples.matured(market, c, after, until)
    matured = ends(market, new, c)
    assert (matured > after).all()
    assert (matured <= until).all()
    counts = [len(ends(market, samples.between(market, c, days[0], d), c)) for d in (after, until)]
    assert len(matured) == counts[1] - counts[0], "none is left out"


@pytest.mark.parametrize("wrong", ["the parent knew", "is not yet known"])
def test_no_update_begins_on_a_label_that(
    market: Market, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """Whatever chose the samples."""
    c, known, until = config(), np.datetime64(TRAIN[1]), np.datetime64("2020-09-01")
    finetune.material(market, c, TRAIN, until)
    days = (known - 9, until) if wrong == "the parent knew" else (known, until + 1)
    bad = samples.matured(market, c, *days)
    monkeypatch.setattr(samples, "matured", lambda *_: bad)
    with pytest.raises(AssertionError, match="was known by 2020-07-31 or is not by 2020-09-01"):
        finetune.material(market, c, TRAIN, until)


@given(st.integers(1, 300), st.sampled_from([0, 5, 60]))
def test_a_row_that_left_the_buffer_does_not_return(
    market: Market, rows: int, half_life: int
) -> None:
    c = config()
    days = np.unique(market.session)
    early, late = (samples.between(market, c, days[0], d) for d in (days[150], days[280]))
    then, now = (replay.buffer(s, rows, half_life, 3) for s in (early, late))
    assert len(now) == min(rows, len(late))
    assert set(now.row[now.target_day <= days[150]]) <= set(then.row)
    assert (np.diff(now.row) > 0).all()


def test_a_half_life_keeps_the_recent_ones(market: Market) -> None:
    c = config()
    days = np.unique(market.session)
    everything = samples.between(market, c, days[0], days[-1])

    def mean_age(half_life: int) -> float:
        kept = [replay.buffer(everything, 100, half_life, s) for s in range(20)]
        return float(np.mean([np.searchsorted(days, k.target_day).mean() for k in kept]))

    assert abs(mean_age(0) - len(days) / 2) < 10
    # Of 300 days whose weight halves every 40, the mean day by hand is 300 - 40/ln 2 + a tail: 243.
    assert 225 < mean_age(40) < 260


def learned_by(market: Market, c: Config, parent: Path, **poison: Any) -> tuple[Any, Any, Samples]:
    """The parent's parameters, an update's, and the promotion holdout that neither saw."""
    c = finetune.as_training(c)
    shown = Windows(poison.get("prices", market), c, Scaler.fit(market, np.datetime64(TRAIN[1])),
                    poison.get("content"))  # fmt: skip
    program = finetune.program_for(c, MESH, shown)
    with Checkpoints(parent / "seed_0") as checkpoints:
        params = checkpoints.averaged(program.abstract_state.ema_params)
    until = np.datetime64("2020-10-20")
    after = samples.matured(market, c, np.datetime64(TRAIN[1]), until)
    holdout, last = promotion.holdout(after, c)
    material = finetune.material(poison.get("prices", market), c, TRAIN, last)
    if "labels" in poison:
        new = material.new
        label = new.targets.label | {"direction": 1 - new.targets.label["direction"]}
        flipped = dataclasses.replace(new.targets, label=label)
        material = dataclasses.replace(material, new=dataclasses.replace(new, targets=flipped))
    return params, finetune.learn(Run(c, shown, program), material, params, 0), holdout


def verdict(market: Market, c: Config, parent: Path, **poison: Any) -> promotion.PromotionDecision:
    params, update, holdout = learned_by(market, c, parent, **poison)
    windows = Windows(market, c, Scaler.fit(market, np.datetime64(TRAIN[1])))
    program = make_program(c, MESH, windows)
    said = (predict(program, p, windows, holdout.row, 64) for p in (params, update))
    return promotion.decide(*said, holdout, c)


@pytest.mark.slow
def test_an_honest_update_is_promoted_and_a_poisoned_one_is_not(
    market: Market, parent: Path
) -> None:
    c = config(finetune__steps=40, finetune__replay_fraction=0.5, finetune__promotion_margin=0.1)
    honest = verdict(market, c, parent)
    assert honest.promoted, honest.why
    assert honest.samples == 4 * (63 + 4), "the last four sessions' volatility is not known yet"
    flipped = verdict(market, c, parent, labels="flipped")
    assert not flipped.promoted
    assert flipped.why.startswith("refused: worse than the parent; rise of log loss")
    whole = samples.between(market, c, *samples.period(c.data, "live"))
    shuffled = ablation.placebo(market, [whole.row], 0)
    assert not verdict(market, c, parent, content={"text": shuffled}).promoted
    late = market.session > np.datetime64(TRAIN[1])
    wild = np.where(late & (np.arange(len(late)) % 2 == 0), 100.0, 1.0)
    dear = dataclasses.replace(market, adj_close=market.adj_close * wild)
    assert not verdict(market, c, parent, prices=dear).promoted


@pytest.mark.parametrize(
    ("rise", "error", "promoted", "why"),
    [
        (-0.1, 0.01, True, "promoted: not worse than the parent by 2 %; rise of x -10.0 % ["),
        (0.01, 0.001, True, "promoted: not worse"),
        (0.0, 0.05, False, "the parent stays: these days do not show that no loss rises by 2 %"),
        (0.1, 0.01, False, "refused: worse than the parent; rise of x +10.0 % [+6.8, +13.2]"),
        (-0.1, np.inf, False, "the parent stays: too few days to compare them, about 63 needed"),
    ],
)
def test_only_what_is_shown_not_to_be_worse_is_promoted(
    rise: float, error: float, promoted: bool, why: str
) -> None:
    got, words = promotion.judge({"x": Estimate(rise, error, 3.0)}, 0.02, 63)
    assert got == promoted
    assert words.startswith(why), words


def test_a_relative_rise_by_hand() -> None:
    rng = np.random.default_rng(0)
    day, before = np.repeat(np.arange(70), 2), rng.uniform(1, 2, 140)
    after = before * 1.1 + 0.01 * rng.normal(size=140)
    before[:4] = after[:4] = np.nan  # two days without a label
    got = promotion.relative_rise(before, after, day, 1)
    np.testing.assert_allclose(got.value, np.nansum(after) / np.nansum(before) - 1)
    assert 0.0001 < got.error < 0.005
    few = promotion.relative_rise(before[:120], after[:120], day[:120], 1)
    assert np.isinf(few.error)


def test_few_sessions_leave_the_parent(market: Market, parent: Path) -> None:
    """Whatever they show: of five days an interval was of width 0."""
    made = verdict(market, config(finetune__promotion_sessions=5), parent)
    assert not made.promoted
    assert made.why.startswith("the parent stays: too few days to compare them, about 63 needed")


def test_a_forecast_that_is_no_number_is_refused(market: Market, parent: Path) -> None:
    c = config()
    params, _, holdout = learned_by(market, c, parent)
    broken = jax.tree.map(lambda x: np.full_like(x, np.nan), params)
    windows = Windows(market, c, Scaler.fit(market, np.datetime64(TRAIN[1])))
    program = make_program(c, MESH, windows)
    said = (predict(program, p, windows, holdout.row, 64) for p in (params, broken))
    made = promotion.decide(*said, holdout, c)
    assert not made.promoted
    assert "non-finite" in made.why


def distance(a: Any, b: Any) -> float:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return float(np.sqrt(sum(float((np.subtract(x, y) ** 2).sum()) for x, y in pairs)))


@pytest.mark.slow
def test_an_update_is_held_to_its_parent_as_hard_as_asked(market: Market, parent: Path) -> None:
    free = learned_by(market, config(), parent)
    pulled = learned_by(market, config(finetune__l2_sp=100.0), parent)
    taught = learned_by(market, config(finetune__distillation_weight=0.9), parent, labels="flipped")
    misled = learned_by(market, config(), parent, labels="flipped")
    assert distance(*pulled[:2]) < 0.7 * distance(*free[:2])
    assert distance(*taught[:2]) < 0.9 * distance(*misled[:2])


def test_a_low_rank_update_changes_matrices_by_that_rank(market: Market, parent: Path) -> None:
    params, update, _ = learned_by(market, config(finetune__lora_rank=2), parent)
    of_any = learned_by(market, config(), parent)[1]

    def ranks(new: Any) -> set[int]:
        layers = ("encoders_price", "stack")
        old_, new_ = (p[layers[0]][layers[1]]["layers"] for p in (params, new))
        return {
            int(
                np.linalg.matrix_rank(np.asarray(new_[k]["kernel"][i] - old_[k]["kernel"][i]), 1e-5)
            )
            for k in ("query", "mlp_in", "mlp_out")
            for i in range(1)
        }

    assert ranks(update) == {2}
    assert min(ranks(of_any)) > 2
    heads = "readout" if "readout" in params["fusion"] else next(iter(params["fusion"]))
    assert distance(params["fusion"][heads], update["fusion"][heads]) > 0, "heads move freely"


@pytest.mark.nightly
def test_a_held_low_rank_update_is_the_same_on_any_mesh(market: Market, parent: Path) -> None:
    c = finetune.as_training(
        config(finetune__lora_rank=2, finetune__l2_sp=0.1, finetune__distillation_weight=0.2)
    )
    windows = Windows(market, c, Scaler.fit(market, np.datetime64(TRAIN[1])))
    material = finetune.material(market, c, TRAIN, np.datetime64("2020-09-01"))
    made = []
    for mesh in (MESH, make_mesh(MeshConfig(2, 2, 2), jax.devices()[:8])):
        program = finetune.program_for(c, mesh, windows)
        with Checkpoints(parent / "seed_0") as checkpoints:
            params = checkpoints.averaged(program.abstract_state.ema_params)
        learned = finetune.learn(Run(c, windows, program), material, params, 0)
        made.append(jax.device_get(learned))
    for one, eight in zip(*map(jax.tree.leaves, made), strict=True):
        np.testing.assert_allclose(one, eight, rtol=1e-4, atol=1e-6)
