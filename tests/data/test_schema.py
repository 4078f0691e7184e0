"""Bad tables end in one message that names the file, the row and the remedy."""

import datetime
import decimal
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
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
    out = schema.check_bars(two, "f", "XNYS")
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
        (lambda b: b.assign(open=["1", "x", "3"]), "row 1 .*open must be a finite number"),
        (lambda b: b.assign(volume=[1.0, -5, 1]), "row 1.*volume"),
        (lambda b: b.assign(date=["2020-01-02", None, "2020-01-06"]), "row 1.*date is missing"),
        (
            lambda b: b.assign(date=["2020-01-02", "3rd", "2020-01-06"]),
            "row 1.*date is not a day",
        ),
        (lambda b: b.iloc[:0], "holds no rows"),
        (lambda b: b.assign(symbol=[1, 2, 3]), "row 0.*symbol must be text"),
        (lambda b: b.assign(symbol=["A", None, "A"]), "row 1.*symbol must be text"),
        (lambda b: b.assign(low=[0.5, 2.5, 2]), "row 1.*between low and high"),
        (lambda b: b.assign(date=b["date"] + "T10:00-05:00"), "row 0.*date has a time of day"),
        (lambda b: b.assign(date=pd.to_datetime(b["date"] + "T10Z")), "row 0.*date has a time of"),
        (lambda b: b.assign(date=["2020-01-02", "2020-02-30", "2020-03-02"]), "row 1.*not a day"),
        (lambda b: b.assign(date=["2020-01-02", "2020-01-04", "2020-01-06"]), "row 1.*XNYS was cl"),
        (lambda b: b.assign(date=["2020-01-02", "2020-01-03", "2190-01-06"]), "row 2.*in the futu"),
        (
            lambda b: b.drop(columns="adj_close"),
            "prices.csv: lacks column adj_close.*if close is adjusted already, repeat it as adj",
        ),
        (lambda b: b.assign(date=b["date"] + "T10:00"), "row 0.*date has a time of day"),
        (lambda b: b.assign(date=[20200102, 20200103, 20200106]), "row 0.*date is a number"),
        (lambda b: b.assign(date=[np.inf, 1.0, 2.0]), "row 0.*date is a number; write YYYY"),
        (lambda b: b.assign(date=["2020-01-02", "2020-01-03", "9999-12-31"]), "row 2.*1800 to 219"),
        (lambda b: b.assign(date=["0001-01-01", "2020-01-03", "2020-01-06"]), "row 0.*1800 to 219"),
        (lambda b: b.assign(high=[2.0, 3, 1e300]), "row 2.*high must be a finite number"),
        (lambda b: b.assign(low=[0.5, 5e-324, 2]), "row 1.*low must be a finite number above zero"),
        (lambda b: b.assign(symbol=["A", b"A", "A"]), "row 1.*symbol must be text"),
        (lambda b: b.assign(symbol=["A", "A", "A" * 2000]), "row 2.*has more than 1,000 charac"),
    ],
)
def test_bad_bars(change: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        schema.check_bars(change(bars()), "prices.csv", "XNYS")  # type: ignore[operator]


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
        (
            lambda d: d.assign(text=pd.Series(["hello", "half \ud800"], dtype=object)),
            "row 1.*text must be text",
        ),
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
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="pipe.csv: is not a regular file"):
        schema.read_table(tmp_path / "pipe.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n5\n', "line 2 is '5'; expected an object"),
        ('{"a": 1}\n{"a": \n', "line 2 is not JSON .Expecting value.*expected an object a line$"),
        ("[" * 100_000, "cannot be read as jsonl .line 1 is not JSON .maximum recursion depth"),
        # 5,000 rows, each with a column of its own: 25 million cells in 60 kilobytes.
        ("".join(json.dumps({f"c{i}": 1}) + "\n" for i in range(5000)), "it unpacks to 128,0"),
    ],
)
def test_lines_that_are_no_table(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(InputError, match=f"a.jsonl: .*{message}"):
        schema.read_table(tmp_path / "a.jsonl")


def test_a_csv_holds_the_numbers_that_it_says(tmp_path: Path) -> None:
    """To the last bit: rows are known by a hash, and parquet holds the same prices."""
    prices = np.random.default_rng(0).lognormal(4, 1, 1000)
    (tmp_path / "a.csv").write_text("close\n" + "\n".join(map(repr, prices.tolist())))
    read = schema.read_table(tmp_path / "a.csv")["close"].to_numpy()
    np.testing.assert_array_equal(read, prices)


def test_a_header_of_very_many_columns_is_not_parsed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x," * 400_000 + "\n")
    with pytest.raises(InputError, match="names 400,001 columns or more; 10,000 are too many"):
        schema.read_table(tmp_path / "a.csv")


def write(path: Path, table: pa.Table, metadata: dict[str, str] | None = None) -> Path:
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


def repeated(text: str, times: int) -> pa.Array:
    """A text many times, of which one is kept."""
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), times), [text])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]),
            "two columns have one",
        ),
        (pa.table({"a": [[1]]}), "column a holds list<.*plain cells: drop or unpack it$"),
        # 20 million equal numbers, and a text of 100 kB 100,000 times, in a few kilobytes.
        (pa.table({"a": pa.repeat(1, 20_000_000)}), "it unpacks to 160,000,000 bytes or more"),
        (pa.table({"a": repeated("x" * 100_000, 100_000)}), "it unpacks to 10,000,800,000"),
    ],
    ids=["two of one name", "nested", "numbers", "texts"],
)
def test_parquet_that_is_no_plain_table(tmp_path: Path, table: pa.Table, message: str) -> None:
    path = write(tmp_path / "a.parquet", table)
    with pytest.raises(InputError, match=f"a.parquet: {message}"):
        schema.read_table(path)


@pytest.mark.parametrize(
    "said",
    ["{", "{}", "[]", '{"index_columns": ["gone"]}', '{"index_columns": ["a"], "columns": []}'],
)
def test_what_parquet_says_of_pandas_does_not_matter(tmp_path: Path, said: str) -> None:
    path = write(tmp_path / "a.parquet", pa.table({"a": [1], "b": ["x"]}), {"pandas": said})
    assert schema.read_table(path).to_dict("list") == {"a": [1], "b": ["x"]}
    pd.DataFrame({"a": [1, 2]}, index=[7, 5]).to_parquet(path)
    assert list(schema.read_table(path)) == ["a"], "an index without a name is no column"


def test_parquet_types_become_plain_ones(tmp_path: Path) -> None:
    at = datetime.datetime(2024, 5, 1, 12)
    table = pa.table(
        {
            "zone": pa.array([at], pa.timestamp("s", "-04:00")),
            "nowhere": pa.array([at], pa.timestamp("s", "no/where")),
            "price": pa.array([decimal.Decimal("1.50")]),
            "symbol": pa.array(["A"]).dictionary_encode(),
        }
    )
    (row,) = schema.read_table(write(tmp_path / "a.parquet", table)).to_dict("records")
    utc = pd.Timestamp(at, tz="UTC")
    assert row == {"zone": utc, "nowhere": utc, "price": 1.5, "symbol": "A"}


@pytest.mark.parametrize("cell", [np.inf, 1e39, "up", [1], b"1", pd.Timestamp("2024-05-01")])
def test_channels_are_numbers(cell: Any) -> None:
    table = pd.DataFrame({"mood": pd.Series([None, "2", cell], dtype=object)})
    with pytest.raises(InputError, match="f: row 2 .*mood is not a number, or infinite; empty it"):
        schema.numbers(table, "mood", Path("f"))
    assert schema.numbers(table[:2], "mood", Path("f")).fillna(0).tolist() == [0, 2]


def test_labels_are_names_or_numbers() -> None:
    table = pd.DataFrame({"author": pd.Series(["ann", 7, 1.5, None, float("nan")], dtype=object)})
    assert schema.labels(table, "author", "f").tolist() == ["ann", "7", "1.5", "", ""]
    assert schema.labels(table[3:].astype(float), "author", "f").tolist() == ["", ""]
    for cell in ([1], {"a": 1}, b"\xff", "\ud800", pd.NaT.__class__, "x" * 1001):
        bad = pd.DataFrame({"author": pd.Series(["ann", cell], dtype=object)})
        with pytest.raises(InputError, match="f: row 1 .*author (must be text|has more than)"):
            schema.labels(bad, "author", "f")


def test_cells_that_cannot_be_compared_are_refused() -> None:
    items = pd.DataFrame({"id": [[1], [1]], "sound": [[True], None]})
    with pytest.raises(InputError, match="f: row 0 .*id must be text"):
        schema.check_ids(items, "f")
    with pytest.raises(InputError, match="f: row 0 .*sound must be true or false"):
        schema.flags(items, "sound", Path("f"))
    times = pd.DataFrame({"event_time": [b"\xff"], "available_time": [b"\xff"]})
    with pytest.raises(InputError, match="f: event_time: .*expected ISO 8601"):
        schema.stamped(times, Path("f"), "XNYS")
    with pytest.raises(InputError, match="config.data.calendar is 'XXXX'"):
        schema.stamped(times, Path("f"), "XXXX")


@pytest.mark.parametrize("kind", ["float64", "int64", "datetime64[s]", "object"])
def test_a_table_without_rows_is_of_any_type(kind: str) -> None:
    columns = ("symbol", "event_time", "available_time", "text", "id", "author")
    empty = pd.DataFrame({c: pd.Series([], dtype=kind) for c in columns})
    schema.check_ids(empty, "f")
    out = schema.stamped(empty, Path("f"), "XNYS")
    assert schema.labels(out, "author", "f").str.len().sum() == 0
    assert schema.names(out, "symbol", "f").str.split("|").empty
