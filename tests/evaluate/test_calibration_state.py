"""A run's calibration moves on by matured labels alone, and gives what recomputing all would."""

import dataclasses
import types
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from evaluate.test_maturity import config, with_gaps, without

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.evaluate import calibration_state, evaluation
from fusionjax.evaluate.calibration_state import moved
from fusionjax.evaluate.inference import Ensemble, Prediction

SINCE = np.datetime64("2020-02-03")


class Model(Ensemble):
    """Stands for an ensemble: forecasts at random, but the same of a stock's session ever again."""

    def __init__(self, market: Market, folder: Path, name: str = "a") -> None:
        self.market, self.source, self.since, self._name = market, str(folder), SINCE, name
        self.info = types.SimpleNamespace(to_json=dict)
        self.windows = types.SimpleNamespace(stack=None)
        self.asked: list[int] = []  # rows, call by call

    def identity(self) -> list[str]:
        return [self._name]

    def predict(self, rows: np.ndarray, hidden: frozenset[str] = frozenset()) -> Prediction:
        self.asked.append(len(rows))
        market = self.market
        days = (market.session[rows] - market.session.min()).astype(int)
        rng = np.random.default_rng(3 + len(hidden))
        size = len(market.symbols), 400
        wide, up = np.sort(rng.normal(0, 0.005, (*size, 2, 5)), -1), rng.uniform(0.02, 0.98, size)
        at = market.symbol[rows], days
        value = {
            "direction": np.stack([up[at], 1 - up[at]], 1),
            "returns": wide[at],
            "volatility": np.zeros((len(rows), 1)),
        }
        return Prediction(value, np.ones((len(rows), 1)))


def up_to(market: Market, day: np.datetime64) -> Market:
    """The market as it was known at a close."""
    return dataclasses.replace(
        without(market, market.session > day), fingerprint=f"{market.fingerprint} {day}"
    )


def recomputed(market: Market, c: Config, folder: Path) -> dict[tuple[str, str, str], np.ndarray]:
    """What all samples since training are given, all at once; by stock, session and head."""
    past = samples.between(market, c, SINCE, market.session.max())
    newest = np.flatnonzero(market.session == market.session.max())
    every = past.and_unlabelled(c.targets, newest)
    values = evaluation.calibrated(Model(market, folder).predict(every.row), every, market, c)
    return {
        (market.symbols[market.symbol[row]], str(market.session[row]), head): x[i]
        for head, x in values.items()
        if x is not None
        for i, row in enumerate(every.row.tolist())
    }


def told(state: Any, model: Model, rows: np.ndarray) -> dict[tuple[str, str, str], np.ndarray]:
    market = model.market
    values = state.corrected(model.predict(rows), market, rows)
    return {
        (market.symbols[market.symbol[row]], str(market.session[row]), head): x[i]
        for head, x in values.items()
        if x is not None
        for i, row in enumerate(rows.tolist())
    }


def require_alike(got: dict[Any, np.ndarray], wanted: dict[Any, np.ndarray]) -> None:
    assert got
    for key, value in got.items():
        np.testing.assert_array_equal(value, wanted[key], err_msg=str(key))


@pytest.mark.parametrize("seed", range(2))
def test_day_by_day_gives_what_recomputing_everything_gives(seed: int, tmp_path: Path) -> None:
    whole, c = with_gaps(seed), config()
    days, changed = np.unique(whole.session), 0
    for day in (*days[40:190:9], *days[190:]):
        market = up_to(whole, day)
        model = Model(market, tmp_path)
        state = moved(model, market, c, day)
        rows = np.flatnonzero((market.session == day) & market.forecast_rows(c.data.min_history))
        if not len(rows):
            continue
        got = told(state, model, rows)
        require_alike(got, recomputed(market, c, tmp_path))
        raw = model.predict(rows).value["direction"]
        changed += not np.allclose([x for k, x in got.items() if k[2] == "direction"], raw)
    assert changed > 15, "nothing was calibrated"
    # A request about the past is answered by what was issued then.
    model = Model(whole, tmp_path)
    state = moved(model, whole, c, days[-1])
    rows = samples.between(whole, c, SINCE, days[-1]).row
    require_alike(told(state, model, rows), recomputed(whole, c, tmp_path))


def test_what_was_learned_costs_nothing_again(tmp_path: Path) -> None:
    whole, c = with_gaps(0), config()
    days = np.unique(whole.session)
    model = Model(up_to(whole, days[-2]), tmp_path)
    moved(model, model.market, c, days[-2])
    assert sum(model.asked) > 300
    model.asked = []
    moved(model, model.market, c, days[-2])
    assert model.asked == []
    model = Model(whole, tmp_path)  # a day later: each stock's labels of one and of five sessions
    moved(model, whole, c, days[-1])
    assert len(model.asked) == 1
    assert model.asked[0] <= 2 * len(whole.symbols)


def changed_past(market: Market) -> Market:
    price = market.adj_close.copy()
    price[100] *= 1.01
    return dataclasses.replace(market, adj_close=price, fingerprint="another")


@pytest.mark.parametrize("case", ["run", "code", "data", "cut off", "edited", "hidden"])
def test_a_state_of_something_else_or_damaged_is_made_anew(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    market, c = with_gaps(0), config()
    day = market.session.max()
    moved(Model(market, tmp_path), market, c, day)
    path, wanted = tmp_path / "calibration.npz", "made anew"
    hidden = frozenset[str]()
    model = Model(market, tmp_path, "b" if case == "run" else "a")
    code = mock.patch.object(calibration_state, "_code", return_value="other")
    if case == "data":
        model.market = changed_past(market)
    elif case == "cut off":
        path.write_bytes(path.read_bytes()[:-900])
    elif case == "edited":
        with np.load(path) as f:
            stored = {name: f[name] for name in f.files}
        stored["returns/0/alpha"] = np.array(0.5)
        np.savez(path, **stored)
    elif case == "hidden":
        hidden, wanted = frozenset({"price"}), ""
    with code if case == "code" else mock.patch.object(calibration_state, "_ROWS", 50):
        state = moved(model, model.market, c, day, hidden)
    said = capsys.readouterr()
    assert wanted in said.out + said.err
    assert sum(model.asked) > 300
    fresh = calibration_state.CalibrationState(c, SINCE)
    fresh.move(model.market, day, lambda rows: Model(model.market, tmp_path).predict(rows, hidden))
    got, anew = state.arrays(), fresh.arrays()
    assert got.keys() == anew.keys()
    assert all(np.array_equal(got[k], anew[k], equal_nan=got[k].dtype.kind == "f") for k in got)


def test_an_untouched_state_of_grown_data_is_used(tmp_path: Path) -> None:
    """Of the data up to its session, whatever came after: other rows, another stock."""
    whole, c = with_gaps(0), config()
    days = np.unique(whole.session)
    market = up_to(whole, days[150])
    moved(Model(market, tmp_path), market, c, days[150])
    model = Model(whole, tmp_path)
    moved(model, whole, c, days[151])
    assert sum(model.asked) <= 2 * len(whole.symbols)


def test_what_is_kept_does_not_grow_with_the_history(tmp_path: Path) -> None:
    c = config()
    sizes = []
    with mock.patch.multiple("fusionjax.scores.calibration.Sequential", __init__=_short):
        for days in (140, 200):
            market = with_gaps(0, days)
            state = moved(Model(market, tmp_path), market, c, market.session.max(), keep=False)
            arrays = state.arrays()
            sizes.append(sum(x.nbytes for k, x in arrays.items() if not k.endswith("issued")))
    assert sizes[1] < 1.1 * sizes[0], sizes
    assert not [*tmp_path.iterdir()]


def _short(self: Any, window: int) -> None:
    from collections import deque

    self._window, self._pool = 20, deque()
