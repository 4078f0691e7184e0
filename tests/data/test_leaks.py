"""Nothing of the future in a sample: raw files cut at a day give the same inputs, bit for bit."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from conftest import small
from ml_collections import ConfigDict
from rich.progress import Progress

from fusionjax.config import Config
from fusionjax.configs import acl18, planted_folder
from fusionjax.data import prepare, store
from fusionjax.data.pipeline import evaluation_batches
from fusionjax.data.windows import Scaler, Windows
from fusionjax.types import Batch
from studies.data import planted
from studies.data import planted_folder as files_of


def inputs(config: Config, symbol: str, day: str, fitted_to: str) -> Batch:
    """What a model would see of a symbol at a day's decision; scaled as of an earlier one."""
    market = store.load(prepare.prepare(config.data, Progress(disable=True)))
    windows = Windows(market, config, Scaler.fit(market, np.datetime64(fitted_to)))
    at = (market.symbol == market.symbols.index(symbol)) & (market.session == np.datetime64(day))
    return next(evaluation_batches(np.flatnonzero(at), windows, 1))


def same(a: Batch, b: Batch) -> None:
    """All inputs and their presence, not the row's number, which other symbols' rows move."""
    for x, y in ((a.inputs, b.inputs), (a.present, b.present), (a.log_scale, b.log_scale)):
        jax.tree.map(np.testing.assert_array_equal, x, y)


@pytest.mark.parametrize(
    "day",
    [
        pytest.param("1990-02-06", marks=pytest.mark.slow),
        "1990-02-07",
        pytest.param("1990-02-08", marks=pytest.mark.slow),
        pytest.param("1990-02-13", marks=pytest.mark.slow),
    ],
)
def test_a_market_folder_cut_after_a_decision(tmp_path: Path, day: str) -> None:
    """Prices, posts, pictures, sound and video; on some of the days an item is missing."""
    whole = tmp_path / "whole"
    files_of.write(planted.plant(planted.REGIMES["full"], 0), whole, np.arange(45))
    cut = Path(shutil.copytree(whole, tmp_path / "cut"))
    bars = pd.read_parquet(cut / "bars.parquet")
    bars = bars[bars["date"] <= pd.Timestamp(day)]
    bars.to_parquet(cut / "bars.parquet")
    decided = pd.Timestamp(day, tz="America/New_York") + pd.Timedelta(hours=16, minutes=30)
    for name in ("texts", "images/manifest", "audio/manifest", "video/manifest"):
        items = pd.read_parquet(cut / f"{name}.parquet")
        items[items["available_time"] <= decided].to_parquet(cut / f"{name}.parquet")
    c = small(planted_folder.get_config(), tmp_path / "prepared")
    a, b = (
        inputs(c.override({"data.root": str(root)}), "PLANT", day, "1990-02-01")
        for root in (whole, cut)
    )
    same(a, b)
    assert a.present["image"].all()
    assert a.present["video"].all()


def prices_of_2015(acl18_root: Path) -> pd.DataFrame:
    """Of all stocks: a year is more than any window looks back, and each day takes its time."""
    prices = pd.read_parquet(acl18_root / "prices_raw.parquet")
    return prices[prices["date"] >= "2015"].reset_index(drop=True)


@pytest.mark.shared_data
@pytest.mark.parametrize("day", ["2015-07-08", "2015-07-15"])
@pytest.mark.slow
def test_real_prices_and_tweets_cut_after_a_decision(
    acl18_root: Path, tmp_path: Path, prepared: Path, day: str
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    prices = prices_of_2015(acl18_root)
    tweets = pd.read_parquet(acl18_root / "tweets_preprocessed.parquet")
    tweets = tweets[(tweets["symbol"] == "KO") & tweets["day"].between("2015-07-01", "2015-07-20")]
    decided = pd.Timestamp(day, tz="America/New_York") + pd.Timedelta(hours=16, minutes=30)
    known = prices["date"].astype(str).str[:10] <= day
    for root, p, t in (
        (whole, prices, tweets),
        (cut, prices[known], tweets[tweets["created_at"] <= decided]),
    ):
        root.mkdir()
        shutil.copyfile(acl18_root / "stock_table.csv", root / "stock_table.csv")
        p.to_parquet(root / "prices_raw.parquet")
        t.to_parquet(root / "tweets_preprocessed.parquet")
    assert len(pd.read_parquet(cut / "tweets_preprocessed.parquet")) < len(tweets)
    c = small(acl18.get_config(), prepared)
    a, b = (
        inputs(c.override({"data.root": str(root)}), "KO", day, "2015-06-30")
        for root in (whole, cut)
    )
    same(a, b)
    assert a.present["text"].all()


@pytest.mark.shared_data
@pytest.mark.slow
def test_the_cut_would_show_a_leak(acl18_root: Path, tmp_path: Path, prepared: Path) -> None:
    """With prices of the next day in the place of the day's, the same comparison fails."""
    prices = prices_of_2015(acl18_root)
    columns = ["open", "high", "low", "close", "adj_close", "volume"]
    leaky = prices.copy()
    leaky[columns] = prices.groupby("symbol")[columns].shift(-1).fillna(prices[columns])
    day = "2015-07-08"
    c: ConfigDict = acl18.get_config()
    with c.unlocked():
        del c.modalities["text"]
    seen = []
    for name, p in (("whole", leaky), ("cut", leaky_as_of(prices, columns, day))):
        root = tmp_path / name
        root.mkdir()
        for other in ("stock_table.csv", "tweets_preprocessed.parquet"):
            shutil.copyfile(acl18_root / other, root / other)
        tweets = pd.read_parquet(root / "tweets_preprocessed.parquet").head(3)
        tweets.to_parquet(root / "tweets_preprocessed.parquet")
        p.to_parquet(root / "prices_raw.parquet")
        config = small(c, prepared, data__root=str(root))
        seen.append(inputs(config, "KO", day, "2015-06-30"))
    with pytest.raises(AssertionError):
        same(*seen)


def leaky_as_of(prices: pd.DataFrame, columns: list[str], day: str) -> pd.DataFrame:
    """The leaky join of what was known at a day: its last row has no next day to look at."""
    known = prices[prices["date"].astype(str).str[:10] <= day].copy()
    known[columns] = known.groupby("symbol")[columns].shift(-1).fillna(known[columns])
    return known
