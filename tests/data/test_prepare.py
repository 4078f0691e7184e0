"""Raw files to columns and back: complete, repeatable, joined in time, never half there."""

import dataclasses
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import small
from rich.progress import Progress

from fusionjax.configs import acl18, demo
from fusionjax.data import features, prepare, schema, store, text
from fusionjax.data.sources import Raw, Source, sp500
from fusionjax.errors import InputError
from fusionjax.registry import SOURCES


def test_round_trip_of_the_embedded_data(prepared: Path) -> None:
    config = small(demo.get_config(), prepared).data
    folder = prepare.prepare(config, Progress(disable=True))
    market = store.load(folder)
    raw = sp500.read(Path(), "XNYS")
    np.testing.assert_array_equal(market.channels, raw.channels.to_numpy(np.float32))
    np.testing.assert_array_equal(market.adj_close, raw.bars["adj_close"])
    assert market.symbols == ("SPX",)
    assert (np.diff(market.decision_time) > 0).all()
    stamp = (folder / "manifest.json").stat().st_mtime_ns
    assert prepare.prepare(config, Progress(disable=True)) == folder
    assert (folder / "manifest.json").stat().st_mtime_ns == stamp, "made again without need"


def test_damaged_sets_are_refused(prepared: Path, tmp_path: Path) -> None:
    config = small(demo.get_config(), prepared).data
    made = prepare.prepare(config, Progress(disable=True))
    folder = tmp_path / made.name
    shutil.copytree(made, folder)
    column = folder / "channels.npy"
    column.write_bytes(column.read_bytes()[:-5000])
    with pytest.raises(
        InputError, match=f"channels.npy: is not as .*delete .*{made.name} and prep"
    ):
        store.load(folder)
    column.unlink()
    with pytest.raises(InputError, match="channels.npy: is missing; delete"):
        store.load(folder)
    shutil.rmtree(folder)  # as the message says
    again = prepare.prepare(small(demo.get_config(), tmp_path).data, Progress(disable=True))
    assert again == folder
    np.testing.assert_array_equal(store.load(again).channels, store.load(made).channels)
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(InputError, match="no prepared set"):
        store.load(folder)
    with pytest.raises(
        InputError, match="data.source is 'moon'; expected one of sp500, acl18, kdd17, folder"
    ):
        prepare.prepare(
            small(demo.get_config(), prepared, data__source="moon").data, Progress(disable=True)
        )


def test_columns_are_mapped_and_hold_what_follows_from_the_bars(prepared: Path) -> None:
    market = store.load(
        prepare.prepare(small(demo.get_config(), prepared).data, Progress(disable=True))
    )
    computed = dataclasses.replace(market)  # without the derived columns of the set
    for name in ("ordinal", "last_row"):
        assert _mapped(vars(market)[name])
        assert name not in vars(computed)
        np.testing.assert_array_equal(getattr(market, name), getattr(computed, name))
    for name in ("symbol", "session", "ohlcv", "adj_close", "channels", "first_row"):
        assert _mapped(getattr(market, name)), name


def _mapped(array: np.ndarray) -> bool:
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base  # type: ignore[assignment]
    return False


def test_a_source_of_ones_own_is_one_registration(tmp_path: Path) -> None:
    def read(root: Path, calendar: str) -> Raw:
        bars = pd.read_csv(root / "mine.txt", sep=";", parse_dates=["date"])
        bars = schema.check_bars(bars.assign(symbol="ME"), root / "mine.txt", calendar)
        return Raw(bars, features.price_channels(bars), None, np.ones(len(bars), bool), ())

    SOURCES.register("mine")(Source(lambda root: [root / "mine.txt"], read))
    days = pd.bdate_range("2020-06-01", periods=40)
    close = 100 + np.arange(40.0)
    table = {"date": days, **dict.fromkeys(("open", "high", "low", "close", "adj_close"), close)}
    table = pd.DataFrame(table | {"volume": 1000.0})
    table[days != "2020-07-03"].to_csv(tmp_path / "mine.txt", sep=";", index=False)
    changes = {"data__source": "mine", "data__root": str(tmp_path)}
    c = small(demo.get_config(), tmp_path / "prepared", **changes)
    market = store.load(prepare.prepare(c.data, Progress(disable=True)))
    assert market.symbols == ("ME",)
    assert len(market.session) == 39, "without the holiday"


def test_numbers_of_a_csv_are_correctly_rounded(tmp_path: Path) -> None:
    """A reader that is off by an ulp gives other rows after its next release."""
    days = [d for d in pd.bdate_range("2020-06-01", periods=40) if d.date() != date(2020, 7, 3)]
    written = [f"{100 + x:.17f}" for x in np.random.default_rng(0).normal(size=len(days))]
    lines = [f"ME,{d:%Y-%m-%d},{x},{x},{x},{x},{x},1e3" for d, x in zip(days, written, strict=True)]
    header = "symbol,date,open,high,low,close,adj_close,volume"
    (tmp_path / "bars.csv").write_text("\n".join([header, *lines]))
    changes = {"data__source": "folder", "data__root": str(tmp_path)}
    c = small(demo.get_config(), tmp_path / "prepared", **changes)
    market = store.load(prepare.prepare(c.data, Progress(disable=True)))
    assert market.adj_close.tolist() == [float(x) for x in written]


@pytest.fixture(scope="module")
def small_acl18(acl18_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real ACL18 with the prices of all stocks in a year and the tweets of two in one month."""
    root = tmp_path_factory.mktemp("acl18")
    shutil.copyfile(acl18_root / "stock_table.csv", root / "stock_table.csv")
    prices = pd.read_parquet(acl18_root / "prices_raw.parquet")
    prices[prices["date"] >= "2015"].to_parquet(root / "prices_raw.parquet")
    tweets = pd.read_parquet(acl18_root / "tweets_preprocessed.parquet")
    keep = tweets["symbol"].isin(["XOM", "KO"]) & tweets["day"].str.startswith("2015-07")
    tweets[keep].to_parquet(root / "tweets_preprocessed.parquet")
    return root


@pytest.mark.shared_data
@pytest.mark.slow
def test_tweets_are_joined_in_time_and_embedded_once(
    small_acl18: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(acl18.get_config(), prepared, data__root=str(small_acl18)).data
    folder = prepare.prepare(config, Progress(disable=True))
    market = store.load(folder)
    texts = market.texts
    assert texts is not None
    assert len(texts.bar) > 100
    # Usable from a decision at or after it, and not from the one before.
    decision = market.decision_time
    assert (texts.available_time <= decision[texts.bar]).all()
    before = texts.bar - 1
    same = market.symbol[before] == market.symbol[texts.bar]
    assert (texts.available_time[same] > decision[before][same]).all()
    np.testing.assert_allclose(
        np.linalg.norm(texts.embedding.astype(np.float32), axis=1), 1, atol=2e-3
    )
    # Preparing again under other settings computes no embedding: texts are stored by content.
    monkeypatch.setattr(text, "featuriser", None)
    again = small(
        acl18.get_config(), prepared, data__root=str(small_acl18), data__decision_delay_minutes=45
    ).data
    assert prepare.prepare(again, Progress(disable=True)) != folder


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("prices_raw.parquet", lambda t: t.drop(columns="adj_close"), "lacks column adj_close"),
        ("prices_raw.parquet", lambda t: pd.concat([t, t.tail(1)]), "appeared before; keep one"),
        (
            "prices_raw.parquet",
            lambda t: t.assign(symbol="NEW" + t["symbol"]),
            "is not in stock_table",
        ),
        (
            "tweets_preprocessed.parquet",
            lambda t: t.assign(created_at=pd.NaT),
            "expected timestamps",
        ),
        (
            "tweets_preprocessed.parquet",
            lambda t: t.assign(created_at=t["created_at"] + pd.Timedelta(days=36500)),
            "in the future",
        ),
    ],
)
def test_bad_raw_data_leaves_nothing_half_made(
    small_acl18: Path, tmp_path: Path, name: str, damage: object, message: str
) -> None:
    root = tmp_path / "raw"
    shutil.copytree(small_acl18, root)
    table = pd.read_parquet(root / name)
    damage(table).to_parquet(root / name)  # type: ignore[operator]
    config = small(acl18.get_config(), tmp_path / "out", data__root=str(root)).data
    with pytest.raises(InputError, match=message):
        prepare.prepare(config, Progress(disable=True))
    assert not list(tmp_path.glob("out/*/manifest.json"))
