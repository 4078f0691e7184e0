"""Windows read nothing after their row, and missing is masked."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import TINY, seeing, small, tiny_market

from fusionjax.config import Config
from fusionjax.configs import acl18, demo, planted_folder
from fusionjax.data.samples import unlabelled
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows, dummy_batch
from fusionjax.errors import InputError
from fusionjax.train.run import open_market
from fusionjax.types import Batch
from studies.data import planted
from studies.data import planted_folder as planted_folder_data


def config_of_all_kinds() -> Config:
    return small(seeing(TINY), Path())


def build(market: Market, rows: np.ndarray, hidden: frozenset[str] = frozenset()) -> Batch:
    config = config_of_all_kinds()
    scaler = Scaler({"ret": 0.0, "vol20": 0.0}, {"ret": 1.0, "vol20": 1.0})
    return Windows(market, config, scaler)(
        rows, unlabelled(config.targets, len(rows)), np.ones(len(rows), np.float32), hidden
    )


def truncated(market: Market, row: int) -> Market:
    """The market as it was right after ``row`` closed, for a market of one symbol."""
    texts = market.texts
    assert texts is not None
    known = texts.bar <= row
    cut = {
        f.name: getattr(market, f.name)[: row + 1]
        for f in dataclasses.fields(market)
        if isinstance(getattr(market, f.name), np.ndarray)
    }
    columns = {f.name: getattr(texts, f.name) for f in dataclasses.fields(texts)}
    old = {k: v if k in ("names", "records") else v[known] for k, v in columns.items()}
    return dataclasses.replace(market, **cut, texts=dataclasses.replace(texts, **old))


@pytest.mark.parametrize("row", [0, 3, 7, 20, 38])
def test_deleting_the_future_changes_no_bit(row: int) -> None:
    market = tiny_market(symbols=("AA",))
    whole = build(market, np.array([row]))
    past = build(truncated(market, row), np.array([row]))
    import jax

    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(past), strict=True):
        np.testing.assert_array_equal(a, b)


def test_series_by_hand() -> None:
    market = tiny_market()
    batch = build(market, np.array([2, 41]))
    series = batch.inputs["price"]
    # Row 2: five sessions before the first bar, then the first bar, whose return is unknown.
    assert series.mask[0].tolist() == [False] * 6 + [True] * 2
    np.testing.assert_array_equal(series.x[0, 6:], market.channels[1:3])
    assert not series.x[0, :6].any()
    # Row 41 is the second bar of the second symbol: nothing of the first one shows.
    assert series.mask[1].tolist() == [False] * 7 + [True]


def test_documents_are_the_latest_known_ones() -> None:
    market = tiny_market()
    row = 30
    batch = build(market, np.array([row]))
    texts, got = market.texts, batch.inputs["text"]
    assert texts is not None
    expected = np.flatnonzero((texts.bar >= row - 2) & (texts.bar <= row))[-4:]
    assert got.mask[0].sum() == len(expected) > 0
    np.testing.assert_array_equal(got.embedding[0][got.mask[0]], texts.embedding[expected])
    age = (market.decision_time[row] - texts.available_time[expected]) / 3600
    np.testing.assert_allclose(got.age[0][got.mask[0]], age)
    assert (age >= 0).all()


def test_hidden_modalities_are_absent() -> None:
    batch = build(tiny_market(), np.array([20, 21]), frozenset({"text"}))
    assert not batch.present["text"].any()
    assert batch.present["price"].all()


def test_the_scaler_sees_nothing_after_the_training_period() -> None:
    market = tiny_market()
    last = market.session[20]
    wild = market.channels.copy()
    wild[market.session > last] = 1e6
    changed = dataclasses.replace(market, channels=wild)
    assert Scaler.fit(changed, last) == Scaler.fit(market, last)
    ret = market.channels[market.session <= last, 0]
    np.testing.assert_allclose(Scaler.fit(market, last).std["ret"], np.nanstd(ret), rtol=1e-6)


def test_what_the_data_lacks_is_refused_by_name() -> None:
    scaler = Scaler({"ret": 0.0, "vol20": 0.0}, {"ret": 1.0, "vol20": 1.0})
    with pytest.raises(InputError, match="channel 'gap' is not in the prepared data; it has ret"):
        Windows(tiny_market(), small(demo.get_config(), Path()), scaler)
    vector = small(seeing({"audio": {"kind": "vector", "features": 3}}), Path())
    with pytest.raises(
        InputError, match="config.modalities.audio is a vector: .*studies/ladder.py"
    ):
        Windows(tiny_market(), vector, scaler)
    with pytest.raises(InputError, match="modalities.text wants texts"):
        Windows(tiny_market(texts=False), small(acl18.get_config(), Path()), scaler)


def test_a_blank_batch_has_the_shapes_and_types_of_a_real_one(prepared: Path) -> None:
    """What is compiled before any data is read must fit what is read later."""
    for config_dict in (demo.get_config(), planted_folder.get_config()):
        config = small(config_dict, prepared)
        if config.data.source == "folder":
            config = config.override({"data.root": str(prepared / "planted_market")})
            market = planted.plant(planted.regime("full"), 0)
            planted_folder_data.write(market, Path(config.data.root), np.arange(120))
            config = config.override({"data.splits.train": ("1990-01-03", "1990-05-31")})
        market = open_market(config.data)
        windows = Windows(market, config, Scaler.fit(market, market.session.max()))
        real = windows(np.arange(3), unlabelled(config.targets, 3), np.ones(3, np.float32))
        shapes = jax.tree.map(lambda x: (x.shape, x.dtype), real)
        assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), dummy_batch(config, 3))
