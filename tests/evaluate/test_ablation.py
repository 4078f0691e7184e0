"""Ablations: what is shown in place of a modality, and what beats its placebos."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import TINY, seeing, small, tiny_market
from rich.progress import Progress

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.samples import Samples
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.errors import InputError
from fusionjax.evaluate import ablation, losses
from fusionjax.evaluate.inference import Prediction
from fusionjax.parallel.mesh import make_mesh
from fusionjax.types import Targets

LOSSES = ("log loss of direction", "squared error of log volatility")
SCALER = Scaler({"ret": 0.0, "vol20": -4.6}, {"ret": 0.01, "vol20": 1.0})


def config() -> Config:
    return small(
        seeing({k: TINY[k] for k in ("price", "text")}),
        Path(),
        data__splits={"train": ("2020-01-01", "2020-10-01"), "dev": ("2020-10-02", "2020-12-31")},
        evaluate__market_channel="ret",
        model__fusion="equal",
        model__width=8,
        train__steps=30,
        train__learning_rate=1e-2,
        train__warmup_steps=2,
        targets__volatility__horizons=(1,),
    )


@pytest.fixture(scope="module")
def market() -> Market:
    """Texts tell how tomorrow goes; prices do not."""
    m = tiny_market(days=300, symbols=("AA", "BB", "CC"))
    texts = m.texts
    assert texts is not None
    tomorrow = np.nan_to_num(np.roll(m.channels[:, 0], -1))
    texts.lexicon[:] = np.sign(tomorrow[texts.bar])[:, None]
    return m


def test_contents_by_hand(market: Market) -> None:
    dev = samples.split(market, config(), "dev")
    made = ablation.contents(market, dev)
    assert made.keys() == {"constant", "shuffled within the day", "from another stock"}
    rest = np.setdiff1d(np.arange(len(market.session)), dev.row)
    for content in made.values():
        np.testing.assert_array_equal(content[rest], rest)
    assert set(made["constant"][dev.row]) == {dev.row[0]}
    for what in ("shuffled within the day", "from another stock"):
        shown = made[what][dev.row]
        np.testing.assert_array_equal(market.session[shown], market.session[dev.row])
        np.testing.assert_array_equal(np.sort(shown), np.sort(dev.row))
    assert (market.symbol[made["from another stock"][dev.row]] != market.symbol[dev.row]).all()
    alone = dev.take(market.symbol[dev.row] == 0)
    assert ablation.contents(market, alone).keys() == {"constant"}


def test_windows_show_what_they_are_told_and_nothing_else_changes(market: Market) -> None:
    c = config()
    dev = samples.split(market, c, "dev")
    content = ablation.contents(market, dev)["from another stock"]
    plain = Windows(market, c, SCALER)
    changed = Windows(market, c, SCALER, {"text": content})
    rows, weight = dev.row[:20], np.ones(20, np.float32)
    targets = samples.take_targets(dev.targets, np.arange(20))
    one, other = plain(rows, targets, weight), changed(rows, targets, weight)
    there = plain(content[rows], targets, weight)
    np.testing.assert_array_equal(other.inputs["text"].lexicon, there.inputs["text"].lexicon)
    np.testing.assert_array_equal(other.present["text"], there.present["text"])
    np.testing.assert_array_equal(other.inputs["price"].x, one.inputs["price"].x)
    np.testing.assert_array_equal(other.sample_id, one.sample_id)
    np.testing.assert_array_equal(other.log_scale, one.log_scale)


def test_placebos_shuffle_training_and_scored_samples_apart(market: Market) -> None:
    c = config()
    parts = [samples.split(market, c, n) for n in ("train", "dev")]
    made = ablation.placebo(market, [p.row for p in parts], 3)
    for part in parts:
        np.testing.assert_array_equal(np.sort(made[part.row]), np.sort(part.row))
        assert (made[part.row] != part.row).mean() > 0.9
    assert (ablation.placebo(market, [p.row for p in parts], 4) != made).any()


def test_a_placebo_moves_what_a_day_shares_and_what_a_stock_keeps_as_a_whole() -> None:
    rng = np.random.default_rng(0)
    session, symbol = (x.ravel() for x in np.meshgrid(np.arange(40), np.arange(5)))
    of_day, of_stock = rng.normal(size=40), rng.normal(size=5)
    for seed in range(20):
        order = ablation.moved(symbol, session, np.random.default_rng(seed))
        np.testing.assert_array_equal(np.sort(order), np.arange(200))
        day, stock = of_day[session[order]], of_stock[symbol[order]]
        assert all(len(set(day[session == d])) == 1 for d in range(40)), "shared by a day"
        assert all(len(set(stock[symbol == s])) == 1 for s in range(5)), "kept by a stock"
        assert len(set((session[order] - session) % 40)) == 1, "days stay beside each other"
        assert 5 <= (session[order] - session)[0] % 40 <= 35
    few = rng.choice(200, 90, replace=False)  # stocks miss days, and one day has a single stock
    few = np.append(few[session[few] != 7], np.flatnonzero(session == 7)[0])
    order = ablation.moved(symbol[few], session[few], rng)
    day = of_day[session[few][order]]
    assert all(len(set(day[session[few] == d])) == 1 for d in set(session[few]))


def test_losses_by_hand(market: Market) -> None:
    dev = samples.split(market, config(), "dev").take(np.arange(2))
    t = dev.targets
    value = {
        "direction": np.array([[0.9], [0.2]]),
        "returns": np.zeros((2, 1, 1)),
        "volatility": t.label["volatility"] + np.array([[0.5], [0.0]], np.float32),
    }
    said = Prediction(value, np.zeros((2, 2)))
    got = losses.sample_losses(said, dev, config().targets)
    p = np.where(t.label["direction"][:, 0] == 1, [0.9, 0.2], [0.1, 0.8])
    np.testing.assert_allclose(got[LOSSES[0]], -np.log(p))
    np.testing.assert_allclose(got[LOSSES[1]], [0.25, 0], atol=1e-6)
    masked = Targets(t.label, t.mask | {"direction": np.array([[True], [False]])})
    hidden = losses.sample_losses(said, dataclasses.replace(dev, targets=masked), config().targets)
    assert np.isnan(hidden[LOSSES[0]]).tolist() == [False, True]


def of_two(days: int, gap: float) -> tuple[list[dict], list[dict], Samples]:
    """Losses of four trainings a side that differ by ``gap`` in truth."""
    rng = np.random.default_rng(0)
    m = tiny_market(days=days + 8, symbols=("AA", "BB"))
    scored = samples.between(m, config(), np.datetime64("2020-01-01"), m.session.max())
    noise = rng.normal(size=len(scored))  # of the days, the same for all trainings

    def side(level: float) -> list[dict]:
        return [
            {k: level + noise + 0.1 * rng.normal(size=len(scored)) for k in LOSSES}
            for _ in range(4)
        ]

    return side(gap), side(0.0), scored


@pytest.mark.parametrize(("gap", "found"), [(0.2, True), (0.0, False)])
def test_a_rise_is_found_if_there_is_one(gap: float, found: bool) -> None:
    changed, real, scored = of_two(100, gap)
    rise = losses.rise(changed, real, scored, config())[LOSSES[0]]
    low, high = rise.interval()
    assert low < rise.value < high
    assert abs(rise.value - gap) < 0.05
    assert (low > 0) == found


@pytest.mark.nightly
def test_what_tells_the_future_beats_its_placebos_and_noise_does_not(
    market: Market, tmp_path: Path
) -> None:
    c = config()
    scored = samples.split(market, c, "dev")
    mesh = make_mesh(c.mesh, jax.devices()[:1])

    def found() -> dict[str, ablation.Worth]:
        trainings = ablation.Trainings(market, c, mesh, scored, tmp_path)
        made = ablation.worth(trainings, c, scored, 3, 2, Progress(disable=True))
        return {w.modality: w for w in made}

    worth = found()
    assert worth["text"].verdict.startswith("used (log loss of direction")
    assert "direction" not in worth["price"].verdict
    direction = LOSSES[0]
    assert worth["text"].rank[direction] == 0
    assert worth["text"].without[direction].interval()[0] > 0, "without the texts it is worse"
    assert worth["price"].alone[direction].interval()[0] > 0, "so it is with prices alone"
    assert len(list(tmp_path.glob("*.npz"))) == 2 + 2 * (3 + 4)
    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.npz")}
    assert found() == worth, "what was trained is not trained again"
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.npz")} == stamps
    trainings = ablation.Trainings(market, c, mesh, scored, tmp_path)
    with pytest.raises(InputError, match="--placebos=1: give at least 2"):
        next(ablation.worth(trainings, c, scored, 1, 2, Progress(disable=True)))
