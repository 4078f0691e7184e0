"""On real prices: a post that knows the day it describes is worthless in time, and caught early."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import small
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

from fusionjax.config import Config
from fusionjax.configs import acl18
from fusionjax.data import pooled, samples
from fusionjax.data.audit import audit
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.evaluate import baselines, leaks, scoring, selection
from fusionjax.experts import learners
from fusionjax.heads.base import Scored
from fusionjax.train.run import open_market

PERIOD = np.datetime64("2014-09-01"), np.datetime64("2015-07-31")
STOCKS = 10


def market_with_canaries(
    acl18_root: Path, root: Path, prepared: Path, sessions_early: int
) -> tuple[Market, Config]:
    """ACL18's prices, and after each close a post that says how the day went.

    Args:
      acl18_root: the real data.
      root: where to write the raw files.
      prepared: where to prepare them.
      sessions_early: by how many sessions the posts' clock is wrong.
    """
    root.mkdir()
    for name in ("prices_raw.parquet", "stock_table.csv"):
        shutil.copyfile(acl18_root / name, root / name)
    prices = pd.read_parquet(root / "prices_raw.parquet")
    prices = prices[prices["symbol"].isin(sorted(prices["symbol"].unique())[:STOCKS])]
    rose = prices.groupby("symbol")["adj_close"].diff() > 0
    stamp = prices.groupby("symbol")["date"].shift(sessions_early)
    posts = pd.DataFrame(
        {
            "symbol": prices["symbol"],
            "day": prices["date"].astype(str).str[:10],
            "created_at": pd.to_datetime(stamp).dt.tz_localize("America/New_York")
            + pd.Timedelta(hours=16, minutes=5),
            "user_id": "canary",
            "tokens": np.where(rose, "the stock gained today", "the stock lost today"),
        }
    )
    posts["created_at"] = posts["created_at"].dt.tz_convert("UTC")
    recent = posts["day"] >= "2014-08-01"
    posts[recent & posts["created_at"].notna()].to_parquet(root / "tweets_preprocessed.parquet")
    config = small(
        acl18.get_config(),
        prepared,
        data__root=str(root),
        data__splits={"train": tuple(map(str, PERIOD)), "dev": ("2015-08-01", "2015-09-30")},
        selection__folds=2,
        evaluate__locked=(),
    )
    shown = {
        "price": config.modalities["price"],
        "text": dataclasses.replace(config.modalities["text"], sessions=1),  # the day's own post
    }
    config = dataclasses.replace(config, modalities=shown)
    return open_market(config.data), config


def scored(market: Market, config: Config) -> tuple[scoring.TargetTable, float, list[str]]:
    """A logistic regression's table on dev, its rank IC, and its leak alarms."""
    stocks = np.unique(market.symbol[market.texts.bar])  # type: ignore[union-attr]
    parts = [samples.between(market, config, *PERIOD), samples.split(market, config, "dev")]
    train, dev = (s.take(np.isin(market.symbol[s.row], stocks)) for s in parts)
    folds = [
        tuple(s.take(np.isin(market.symbol[s.row], stocks)) for s in fold)
        for fold in selection.folds(market, config, *PERIOD)
    ]
    windows = Windows(market, config, Scaler.fit(market, PERIOD[1]))
    floors = baselines.Baselines(windows, train, folds, dev.row, PERIOD[1])
    up = floors.fitted("direction", config.targets["direction"])["logistic regression"]
    task = scoring.tasks(dev, market, config)["direction"]
    made = scoring.table(task, {"logistic": [up]}, {}, dev, market, config)
    ic = float(spearmanr(up, dev.targets.label["returns"][:, 0]).statistic)
    learned = Scored.of("direction", train, market, config)
    heard = leaks.of_horizon("direction", 0, {"logistic": up}, learned, task.labelled)
    return made, ic, heard


@pytest.mark.shared_data
@pytest.mark.slow
def test_a_canary_a_day_early_is_caught_and_in_time_it_says_nothing(
    acl18_root: Path, tmp_path: Path, prepared: Path
) -> None:
    honest, config = market_with_canaries(acl18_root, tmp_path / "honest", prepared, 0)
    in_time, ic, heard = scored(honest, config)
    assert in_time.rows[0].values["accuracy"] < 0.6
    assert abs(ic) < 0.15
    assert not heard
    leaky, config = market_with_canaries(acl18_root, tmp_path / "leaky", prepared, 1)
    early, ic, heard = scored(leaky, config)
    assert early.rows[0].values["accuracy"] > 0.95
    assert ic > 0.7
    assert heard[0].startswith("LEAK ALARM: logistic, direction at 1 session(s): accuracy ")


@pytest.mark.shared_data
@pytest.mark.slow
def test_what_is_learned_from_shuffled_labels_ranks_nothing(
    acl18_root: Path, tmp_path: Path, prepared: Path
) -> None:
    market, config = market_with_canaries(acl18_root, tmp_path / "raw", prepared, 0)
    config = dataclasses.replace(config, modalities={"price": config.modalities["price"]})
    windows = Windows(market, config, Scaler.fit(market, PERIOD[1]))
    train, dev = samples.between(market, config, *PERIOD), samples.split(market, config, "dev")
    x, later = (pooled.pooled_features(windows, s.row) for s in (train, dev))
    y = train.targets.label["returns"][:, 0]

    def ic(seed: int) -> float:
        learned = learners.standardised(Ridge(100.0)).fit(
            x, np.random.default_rng(seed).permutation(y)
        )
        return float(
            spearmanr(learned.predict(later), dev.targets.label["returns"][:, 0]).statistic
        )

    shuffled = [ic(seed) for seed in range(40)]
    error = np.std(shuffled, ddof=1) / np.sqrt(len(shuffled))
    assert abs(np.mean(shuffled)) < 3 * error, shuffled
    assert error < 0.03


@pytest.mark.shared_data
@pytest.mark.slow
def test_a_join_one_session_early_is_refused_before_training(
    acl18_root: Path, tmp_path: Path, prepared: Path
) -> None:
    market, config = market_with_canaries(acl18_root, tmp_path / "raw", prepared, 0)
    audit(market, config).require_fit()
    texts = market.texts
    assert texts is not None
    moved = dataclasses.replace(texts, bar=np.maximum(texts.bar - 1, 0))
    found = audit(dataclasses.replace(market, texts=moved), config)
    assert "text from the future" in [f.code for f in found.refusals]
