"""Tables as vendors and databases write them are read; other files are named for what they are."""

import base64
import datetime
import gzip
import json
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusionjax.data import schema
from fusionjax.errors import InputError

TICKERS = ["000001", "NA", "NULL", "None", "TRUE", "nan", "1e5", "Ø", "007.50"]


def test_names_in_a_csv_are_read_as_they_are_written(tmp_path: Path) -> None:
    table = pd.DataFrame({"symbol": TICKERS, "text": TICKERS, "id": TICKERS, "mood": 1.5})
    table.loc[2, "mood"] = np.nan
    table.to_csv(tmp_path / "a.csv", index=False, na_rep="NA")
    read = schema.read_table(tmp_path / "a.csv")
    for column in ("symbol", "text", "id"):
        assert schema.names(read, column, "a.csv").tolist() == TICKERS
    assert np.isnan(read["mood"][2]), "a word for a missing number"
    assert read["mood"].dtype == np.float64


def test_an_empty_cell_is_missing_and_no_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("symbol,author\nA,\n,ann\n")
    read = schema.read_table(tmp_path / "a.csv")
    assert schema.labels(read, "author", "a.csv").tolist() == ["", "ann"]
    with pytest.raises(InputError, match="a.csv: row 1 .*symbol must be text"):
        schema.names(read, "symbol", "a.csv")


def test_a_symbol_that_is_stored_as_a_number_is_told() -> None:
    with pytest.raises(InputError, match="row 0 .*symbol must be text; a number loses its leading"):
        schema.names(pd.DataFrame({"symbol": [1, 600519]}), "symbol", "a.parquet")


def test_one_name_in_two_forms_of_unicode_is_one() -> None:
    composed, apart = "Caf\u00e9", "Cafe\u0301"
    read = schema.names(pd.DataFrame({"symbol": [composed, apart]}), "symbol", "f")
    assert read.tolist() == [composed, composed]


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_byte_order_mark_is_no_content(tmp_path: Path, start: str) -> None:
    line = json.dumps({"symbol": "Ø"}) + "\n"
    (tmp_path / "a.jsonl").write_text(start + line + start + line, encoding="utf-8")
    (tmp_path / "a.csv").write_text(start + "symbol,x\nØ,1\n", encoding="utf-8")
    assert schema.read_table(tmp_path / "a.jsonl")["symbol"].tolist() == ["Ø", "Ø"]
    assert schema.read_table(tmp_path / "a.csv").to_dict("list") == {"symbol": ["Ø"], "x": [1]}


def test_text_without_a_mark_in_parquet_is_text(tmp_path: Path) -> None:
    """As Impala, Hive and old Spark write it; and UUIDs, as DuckDB does."""
    own = [uuid.UUID(int=7), None, uuid.UUID(int=2**127)]
    table = pa.table(
        {
            "symbol": pa.array(["Ø", None, "B"]).cast(pa.binary()),
            "three": pa.array([b"NYS", None, b"LSE"], pa.binary(3)),
            "id": pa.array([u and u.bytes for u in own], pa.uuid()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", store_schema=False)
    read = schema.read_table(tmp_path / "a.parquet").astype(object)
    read = read.where(read.notna(), None)
    assert read["symbol"].tolist() == ["Ø", None, "B"]
    assert read["three"].tolist() == ["NYS", None, "LSE"]
    assert read["id"].tolist() == [u and u.hex for u in own]
    pq.write_table(pa.table({"symbol": pa.array([b"\xff"])}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b.parquet: column symbol holds bytes that are not text"):
        schema.read_table(tmp_path / "b.parquet")


def test_a_type_that_arrow_has_not_is_told(tmp_path: Path) -> None:
    """Int128, as polars writes it: the schema that Arrow keeps in the file, with another width."""
    path, table = tmp_path / "a.parquet", pa.table({"volume": [1]})
    pq.write_table(table, path)
    kept = table.schema.serialize().to_pybytes()
    wide = kept.replace(b"\x40\0\0\0", b"\x80\0\0\0")  # 64 bits, 128
    whole = path.read_bytes()
    changed = whole.replace(base64.b64encode(kept), base64.b64encode(wide))
    assert changed != whole
    path.write_bytes(changed)
    with pytest.raises(InputError, match="holds a type that pyarrow .*64 bits .*; cast that"):
        schema.read_table(path)


def test_a_stamp_of_spark_keeps_its_year(tmp_path: Path) -> None:
    days = pa.array([datetime.datetime(2024, 5, 1), datetime.datetime(2300, 1, 1)])
    prices = {c: [1.0, 1.0] for c in ("open", "high", "low", "close", "adj_close", "volume")}
    table = pa.table({"symbol": ["A", "A"], "date": days, **prices})
    pq.write_table(table, tmp_path / "bars.parquet", use_deprecated_int96_timestamps=True)
    read = schema.read_table(tmp_path / "bars.parquet")
    with pytest.raises(InputError, match="row 1 .*date=2300-01-01.*from 1800 to 2199"):
        schema.check_bars(read, "bars.parquet", "XNYS")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", gzip.compress(b"symbol\nA\n", mtime=0), "is compressed by gzip; unpack it"),
        ("a.parquet", gzip.compress(b"PAR1", mtime=0), "is compressed by gzip; unpack it"),
        ("a.csv", b"PK\x03\x04 xl/workbook.xml", "is a ZIP archive, as Excel's workbooks are"),
        ("a.csv", "symbol\nA\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ("a.jsonl", '{"symbol": "A"}\n'.encode("utf-16"), "is UTF-16; save it as UTF-8"),
        ("a.csv", b"<!DOCTYPE html><html>Too many requests</html>", "is a web page or XML"),
        ("a.csv", b"\xef\xbb\xbf \n<html>", "is a web page or XML"),
        ("a.csv", b"PAR1....PAR1", "is parquet; call it a.parquet"),
        ("a.csv", b"symbol,text\nA,up\nB,caf\xe9\n", "line 3 is not UTF-8; save it as UTF-8"),
        ("a.jsonl", b'{"symbol": "A"}\n{"symbol": "caf\xe9"}\n', "line 2 is not UTF-8; save the"),
        ("a.csv", b"symbol,close\nA,1,\nB,2,\n", "its rows have more cells than the 2 that its"),
        ("a.jsonl", b'{"symbol": "A"}\nsymbol,close\n', "line 2 is not JSON"),
    ],
)
def test_what_is_no_table_is_named_and_not_called_truncated(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: {message}") as refusal:
        schema.read_table(tmp_path / name)
    assert "truncated" not in str(refusal.value)


@pytest.mark.parametrize("content", [b'{"symbol": "A"}\n{"symbol": ', b'{"symbol": "A"}\n{"sy'])
def test_lines_that_end_in_the_middle_may_be_truncated(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=r"\(line 2 is not JSON .*; it may be truncated"):
        schema.read_table(tmp_path / "a.jsonl")


def test_flags_with_gaps() -> None:
    for cells in ([True, None, False], [1.0, np.nan, 0.0], ["True", "", "false"], ["1", None, "0"]):
        table = pd.DataFrame({"sound": pd.Series(cells, dtype=object)})
        assert schema.flags(table, "sound", Path("f")).tolist() == [True, False, False]
        assert schema.flags(table.convert_dtypes(), "sound", Path("f")).tolist()[0]


@pytest.mark.parametrize(
    "dates",
    [
        ["2023-03-10 00:00:00-05:00", "2023-03-13 00:00:00-04:00"],  # yfinance's, in CSV
        ["2023-03-10T05:00:00Z", "2023-03-13T04:00:00Z"],  # the same instants in UTC
        ["2023-03-10T00:00:00Z", "2023-03-13T00:00:00.000Z"],
        ["2023-03-10 00:00:00", "2023-03-13"],
        ["20230310", "20230313"],
        ["2023-03-10 00:00:00+00", "2023-03-13 00:00:00 UTC"],
        pd.to_datetime(["2023-03-10", "2023-03-13"]).tz_localize("America/New_York"),
        pd.to_datetime(["2023-03-10", "2023-03-13"]).tz_localize("UTC"),
        pd.to_datetime(["2023-03-10T05:00Z", "2023-03-13T04:00Z"]),
        [datetime.date(2023, 3, 10), datetime.date(2023, 3, 13)],
    ],
    ids=range(10),
)
def test_a_midnight_is_a_day(dates: object) -> None:
    prices = dict.fromkeys(["open", "high", "low", "close", "adj_close", "volume"], 1.0)
    bars = schema.check_bars(pd.DataFrame({"symbol": "A", "date": dates, **prices}), "f", "XNYS")
    assert bars["date"].dt.strftime("%Y-%m-%d").tolist() == ["2023-03-10", "2023-03-13"]


def test_a_midnight_in_tokyo_is_the_day_that_begins_there() -> None:
    prices = dict.fromkeys(["open", "high", "low", "close", "adj_close", "volume"], 1.0)
    table = pd.DataFrame({"symbol": "7203", "date": ["2023-03-09T15:00:00Z"], **prices})
    assert schema.check_bars(table, "f", "XTKS")["date"][0] == pd.Timestamp("2023-03-10")


def test_a_midnight_is_that_of_the_symbols_own_exchange() -> None:
    prices = dict.fromkeys(["open", "high", "low", "close", "adj_close", "volume"], 1.0)
    at = pd.to_datetime(["2023-03-10T05:00Z", "2023-03-09T15:00Z"])
    table = pd.DataFrame({"symbol": ["A", "7203"], "date": at, **prices})
    read = schema.check_bars(table, "f", "XNYS", {"7203": "XTKS"})
    assert read["date"].tolist() == [pd.Timestamp("2023-03-10")] * 2
    with pytest.raises(InputError, match="row 1 .*date has a time of day"):
        schema.check_bars(table, "f", "XNYS")


@pytest.mark.parametrize(
    "stamp",
    [
        *("2023-02-15 15:00:00+00", "2023-02-15 15:00:00 UTC", "20230215T150000Z"),
        *("20230215T1500Z", "2023-02-15T15:00Z", "2023-02-15t15:00:00z", "2023-02-15 15:00:00 GMT"),
        *("2023-02-15 10:00:00 -0500", "2023-02-15T10:00:00-05", "2023-02-15T15:00:00,000Z"),
    ],
)
def test_zones_in_every_spelling(stamp: str) -> None:
    table = pd.DataFrame({"symbol": "A", "event_time": [stamp], "available_time": stamp})
    read = schema.stamped(table.assign(text="x"), Path("f"), "XNYS")
    assert read["event_time"][0] == pd.Timestamp("2023-02-15T15:00Z")


@pytest.mark.parametrize(
    ("stamp", "message"),
    [
        ("2023-02-15 15:00:00", "has no time zone; write an offset, as in 2024-05-01T09:30:00-04"),
        ("Wed, 15 Feb 2023 15:00:00 +0000", "is not ISO 8601; write it as in 2024-05-01T09:30:0"),
        ("1676473200", "is not ISO 8601"),
        ("2024-03-01T24:00:00Z", "a time of it, from 00:00:00 to 23:59:59"),
        ("2016-12-31T23:59:60Z", "a time of it, from 00:00:00 to 23:59:59"),
        ("2023-02-30", "expected a day from 1800 to 2199"),
        ("2023-02-15T15:00:00+99:99", "expected a day from 1800 to 2199"),
    ],
)
def test_a_time_that_is_none_is_one_line_with_its_row(stamp: str, message: str) -> None:
    right = "2023-02-15T15:00:00Z"
    table = pd.DataFrame({"symbol": "A", "event_time": [right, stamp], "available_time": right})
    with pytest.raises(InputError) as refusal:
        schema.stamped(table.assign(text="x"), Path("f"), "XNYS")
    assert f"f: row 1 (symbol=A, event_time={stamp}, " in str(refusal.value)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_bar_of_a_session_that_is_not_over_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    prices = dict.fromkeys(["open", "high", "low", "close", "adj_close", "volume"], 1.0)
    rows = pd.DataFrame({"symbol": ["B", "B", "A"], **prices})
    rows["date"] = ["2023-07-03", "2023-07-05", "2023-07-03"]  # the third closes at 13:00

    def at(now: str) -> int:
        monkeypatch.setattr(schema, "_now", lambda: pd.Timestamp(now, tz="UTC"))
        return len(schema.check_bars(rows, "bars.csv", "XNYS"))

    assert at("2023-07-05T20:00") == 3
    with pytest.raises(InputError, match="bars.csv: row 1 .*not closed yet .now 2023-07-05 19:59"):
        at("2023-07-05T19:59")
    with pytest.raises(InputError, match="bars.csv: row 1 .*this day is in the future .now 2023"):
        at("2023-07-04T09:59")  # the fifth has begun nowhere
    rows["date"] = ["2023-07-03", "2023-07-03", "2041-07-05"]
    rows["symbol"] = ["A", "B", "B"]
    with pytest.raises(InputError, match="row 2 .symbol=B, .*in the future"):
        at("2023-07-05T20:00")
