"""Floors: rules by hand, learners that find a planted signal, folds that never look ahead."""

from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, seeing, small, tiny_market

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.errors import InputError
from fusionjax.evaluate import baselines
from fusionjax.evaluate.selection import rolling_folds


def config() -> Config:
    return small(
        seeing({k: TINY[k] for k in ("price", "text")}),
        Path(),
        data__splits={"train": ("2020-01-01", "2020-10-01"), "dev": ("2020-10-02", "2021-01-20")},
        selection__folds=3,
        selection__fold_sessions=20,
        evaluate__market_channel="ret",
        targets__volatility=(1,),
    )


@pytest.fixture(scope="module")
def market() -> Market:
    """Tomorrow's return is today's first lexicon score, in sign, most of the time."""
    m = tiny_market(days=400, symbols=("AA", "BB"))
    texts = m.texts
    assert texts is not None
    tomorrow = np.nan_to_num(np.roll(m.channels[:, 0], -1))
    texts.lexicon[:, 0] = np.sign(tomorrow[texts.bar]) + 0.3 * texts.lexicon[:, 0]
    return m


PERIOD = np.datetime64("2020-01-01"), np.datetime64("2020-10-01")
SCALER = Scaler({"ret": 0.0, "vol20": -4.6}, {"ret": 0.01, "vol20": 1.0})


def test_rules_by_hand(market: Market) -> None:
    c = config()
    train = samples.split(market, c, "train")
    rows = samples.split(market, c, "dev").row
    said = baselines.direction_rules(market, c, train, rows)
    rose = market.channels[rows, 0] >= 0
    np.testing.assert_array_equal(said["momentum: as the last day"], rose)
    np.testing.assert_array_equal(said["reversal of the stock's last day"], ~rose)
    share = (train.targets.direction[:, 0] == 1).mean()
    np.testing.assert_allclose(said["majority"], share)
    past = baselines.volatility_rules(market, c, rows)["persistence: last 1 sessions"]
    np.testing.assert_allclose(
        past, 0.5 * np.log(market.channels[rows, 0].astype(float) ** 2 + 1e-8), rtol=1e-4
    )


def test_learners_find_a_planted_signal(market: Market) -> None:
    c = config()
    train, dev = (samples.split(market, c, n) for n in ("train", "dev"))
    windows = Windows(market, c, SCALER)
    floors = baselines.Floors(windows, train, rolling_folds(market, c, *PERIOD), dev.row)
    for name, up in floors.direction().items():
        right = ((up > 0.5) == (dev.targets.direction[:, 0] == 1)).mean()
        assert right > 0.65, f"{name} found {right:.2f}"
    assert all(np.isfinite(v).all() for v in floors.volatility().values())


def test_folds_learn_only_from_before_their_window(market: Market) -> None:
    c = config()
    folds = rolling_folds(market, c, *PERIOD)
    last_train_day = np.datetime64(c.data.splits["train"][1])
    for before, after in folds:
        assert before.target_day.max() < after.target_day.min()
        assert len(np.unique(after.target_day)) == 20
        assert after.target_day.max() <= last_train_day
    assert [f[1].target_day.min() for f in folds] == sorted(f[1].target_day.min() for f in folds)
    too_many = c.override({"selection.fold_sessions": 80})
    with pytest.raises(InputError, match="3 folds of 80 sessions need twice as many"):
        rolling_folds(market, too_many, *PERIOD)
