"""Bad tables end in one message that names the file, the row and the remedy."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fusionjax.data import schema
from fusionjax.errors import InputError


def bars() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "symbol": ["A", "A", "A"],
            "date": ["2020-01-02", "2020-01-03", "2020-01-06"],
            "open": [1.0, 2, 3],
            "high": [2.0, 3, 4],
            "low": [0.5, 1, 2],
            "close": [1.5, 2, 3],
            "adj_close": [1.5, 2, 3],
            "volume": [10.0, 0, 5],
        }
    )


def test_good_bars_pass_and_come_back_sorted_with_dates() -> None:
    two = pd.concat([bars().assign(symbol="B"), bars()])
    out = schema.check_bars(two, "f")
    assert list(out["symbol"]) == ["A"] * 3 + ["B"] * 3
    assert out["date"].dt.day.tolist()[:3] == [2, 3, 6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.drop(columns="close"), "prices.csv: lacks column close; it has symbol"),
        (
            lambda b: b.assign(date=["2020-01-02", "2020-01-03", "2020-01-03"]),
            "row 2 .symbol=A.*appeared before",
        ),
        (
            lambda b: b.assign(date=["2020-01-02", "2020-01-06", "2020-01-03"]),
            "row 2.*dates must rise within a symbol",
        ),
        (lambda b: b.assign(high=[2.0, np.nan, 4]), "row 1.*high must be a finite number"),
        (
            lambda b: b.assign(close=[1.5, 2, 0.0]),
            "row 2.*close must be a finite number above zero",
        ),
        (lambda b: b.assign(low=[-1.0, 1, 2]), "row 0.*low"),
        (lambda b: b.assign(open=["1", "x", "3"]), "column open holds .*expected numbers"),
        (lambda b: b.assign(volume=[1.0, -5, 1]), "row 1.*volume"),
        (lambda b: b.assign(date=["2020-01-02", None, "2020-01-06"]), "row 1.*needs a date"),
        (lambda b: b.assign(date=["2020-01-02", "3rd", "2020-01-06"]), "not a plain YYYY-MM-DD"),
        (lambda b: b.iloc[:0], "holds no rows"),
        (lambda b: b.assign(symbol=[1, 2, 3]), "row 0.*symbol must be text"),
        (lambda b: b.assign(symbol=["A", None, "A"]), "row 1.*symbol must be text"),
        (lambda b: b.assign(low=[0.5, 2.5, 2]), "row 1.*between low and high"),
        (lambda b: b.assign(date=pd.to_datetime(b["date"]).dt.tz_localize("UTC")), "not a plain"),
        (lambda b: b.assign(date=b["date"] + "T10:00"), "row 0.*a time of day is extra"),
    ],
)
def test_bad_bars(change: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        schema.check_bars(change(bars()), "prices.csv")  # type: ignore[operator]


def documents() -> pd.DataFrame:
    at = pd.to_datetime(["2020-01-02 10:00", "2020-01-03 11:00"]).tz_localize("UTC")
    return pd.DataFrame(
        {"symbol": "A", "event_time": at, "available_time": at, "author": "x", "text": "hello"}
    )


NOW = pd.Timestamp("2020-02-01", tz="UTC")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d.assign(available_time=d["available_time"] + pd.Timedelta(days=90)),
            "row 0.*in the future .now 2020-02-01",
        ),
        (
            lambda d: d.assign(available_time=[d["available_time"][0], pd.NaT]),
            "row 1.*available_time is missing; an undated text",
        ),
        (
            lambda d: d.assign(event_time=d["event_time"] + pd.Timedelta(days=1)),
            "row 0.*available before it happened",
        ),
        (
            lambda d: d.assign(available_time=["2020-01-01", "2020-01-02"]),
            "expected timestamps with",
        ),
        (lambda d: d.drop(columns="author"), "lacks column author"),
        (lambda d: d.assign(text=["hello", None]), "row 1.*text must be text"),
    ],
)
def test_bad_documents(change: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        schema.check_documents(change(documents()), NOW, "t")  # type: ignore[operator]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    whole = tmp_path / "bars.parquet"
    bars().to_parquet(whole)
    (tmp_path / "cut.parquet").write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"cut.parquet: cannot be read as parquet.*truncated"):
        schema.read_table(tmp_path / "cut.parquet")
    with pytest.raises(InputError, match=r"none.parquet: missing; the folder holds bars.parquet"):
        schema.read_table(tmp_path / "none.parquet")
    with pytest.raises(InputError, match="no such folder; set config.data.root"):
        schema.read_table(tmp_path / "nowhere" / "bars.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="missing; the folder holds nothing"):
        schema.read_table(tmp_path / "empty" / "bars.parquet")
