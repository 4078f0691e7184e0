"""Bars of the past that a source gives otherwise than before are told, with old and new value."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SP500, seeing, small
from rich.progress import Progress

from fusionjax.data import prepare, store

DAYS = pd.bdate_range("2024-05-01", "2024-05-24").strftime("%Y-%m-%d")
COLUMNS = ["open", "high", "low", "close", "adj_close", "mood"]


@pytest.fixture
def table() -> pd.DataFrame:
    rng, rows = np.random.default_rng(0), []
    for symbol in ("AÅ", "币安"):
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, len(DAYS))))
        prices = dict.fromkeys(COLUMNS, close) | {"high": close * 1.01, "low": close * 0.99}
        volume = rng.integers(1000, 9000, len(DAYS)).astype(float)
        rows.append(pd.DataFrame({"symbol": symbol, "date": DAYS, **prices, "volume": volume}))
    return pd.concat(rows, ignore_index=True)


def revised(folder: Path, table: pd.DataFrame, root: str = "market") -> tuple[str, ...]:
    """What is told when these bars are prepared."""
    (folder / root).mkdir(exist_ok=True)
    table.to_csv(folder / root / "bars.csv", index=False)
    c = small(
        seeing({"price": SP500["price"]}),
        folder / "prepared",
        data__source="folder",
        data__root=str(folder / root),
    )
    made = prepare.prepare(c.data, Progress(disable=True))
    lines = store.load(made).revised
    assert list(lines) == json.loads((made / "manifest.json").read_text())["revised"]
    return lines


def test_each_revised_column_is_told_with_old_and_new_values(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    earlier = table[table["date"] < DAYS[-1]]
    assert revised(tmp_path, earlier) == ()
    assert revised(tmp_path, table) == (), "a further session revises nothing"
    restated = table.copy()
    is_second = table["symbol"] == "币安"
    restated.loc[is_second & (table["date"] < DAYS[-1]), "adj_close"] *= 0.9
    restated.loc[3, "volume"] = 1.0
    restated.loc[4, "mood"] = np.nan
    close = table["close"]
    told = revised(tmp_path, restated, "another root")
    assert [line.split(" of ")[0] for line in told] == ["volume", "adj_close", "mood"]
    assert f": AÅ {DAYS[3]} was {table['volume'][3]:.7g}, is 1" in told[0]
    assert told[1].startswith("adj_close of 17 bars of 1 symbol(s) differs from folder-")
    first = f"{DAYS[0]} was {close[18]:.7g}, is {0.9 * close[18]:.7g}"
    assert told[1].split(": ")[1].startswith(f"币安 {first}; 币安 {DAYS[1]}")
    assert told[1].endswith("; …")
    assert told[2].endswith(f"AÅ {DAYS[4]} was {close[4]:.7g}, is nan")


def test_bars_that_are_gone_are_told(table: pd.DataFrame, tmp_path: Path) -> None:
    revised(tmp_path, table)
    (line,) = revised(tmp_path, table.drop(index=[5]))
    assert line.startswith("1 bars of folder-")
    assert line.endswith(f" are gone: AÅ {DAYS[5]}")


def test_another_market_is_no_revision(table: pd.DataFrame, tmp_path: Path) -> None:
    revised(tmp_path, table)
    assert revised(tmp_path, table.assign(symbol="other " + table["symbol"]), "other") == ()
    doubled = table.copy()
    doubled[[*COLUMNS, "volume"]] *= 2
    assert revised(tmp_path, doubled, "doubled") == ()
    (line,) = revised(tmp_path, table.assign(volume=table["volume"] + (table.index == 0)))
    assert line.startswith("volume of 1 bars of 1 symbol(s)"), "the third newest set is its own"


def test_a_damaged_earlier_set_does_not_stop_todays(table: pd.DataFrame, tmp_path: Path) -> None:
    revised(tmp_path, table)
    for column in (tmp_path / "prepared").rglob("*.npy"):
        column.write_bytes(b"")
    (line,) = revised(tmp_path, table.drop(index=[5]))
    assert line.startswith("bars are not compared with the set before: ")
