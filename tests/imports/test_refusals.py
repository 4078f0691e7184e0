"""What cannot be imported is one sentence, and what is left out is counted and named."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from downloads import csv, sessions, take, titled, truth

from fusionjax.errors import InputError
from fusionjax.imports import reading, writing

ADJUSTED = titled("adj_close", "Adj Close")
ONE = truth(("AAA",))
FUTURE = truth(("A",), pd.date_range("2150-01-01", periods=9))
NAMES = {"symbol": "Ticker"} | ADJUSTED
write = csv(ADJUSTED)


def lines(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "a.csv").write_text(text) and None


def changed(**cells: object) -> Callable[[Path], None]:
    """A download of which the third row is another."""

    def make(folder: Path) -> None:
        write(ONE, folder / "AAA.csv")
        table = pd.read_csv(folder / "AAA.csv", dtype=str)
        for name, cell in cells.items():
            table.loc[2, name] = cell
        table.to_csv(folder / "AAA.csv", index=False)

    return make


def two(first: pd.DataFrame, second: pd.DataFrame, *, names: str = "AB") -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name, bars in zip(names, (first, second), strict=True):
            write(bars, folder / f"{name}.csv")

    return make


def mixed(folder: Path) -> None:
    write(ONE, folder / "A.csv")
    csv(titled())(ONE, folder / "B.csv")


def orders(folder: Path) -> None:
    csv(ADJUSTED, "%d/%m/%Y")(ONE, folder / "A.csv")
    csv(ADJUSTED, "%m/%d/%Y")(ONE, folder / "B.csv")


def elsewhere(folder: Path) -> None:
    """A stock of London among six of New York."""
    for name in "ABCDEF":
        write(ONE, folder / f"{name}.csv")
    write(truth(("L",), sessions(80, "XLON")), folder / "L.csv")


ROW = "\n2024-01-02,1,2,.5,1,1,10\n"
HEAD = "Date,Open,High,Low,Close,Adj Close,Volume"
CASES: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: None, r"no file ends in \.csv.* it holds nothing"),
    (lines(HEAD + "\n"), r"a\.csv: holds no rows"),
    (lines((HEAD + ROW).replace(",", ";")), r"a\.csv: its cells are not separated by commas"),
    (lines("Date;Open;High;Low;Close\n2024-01-02;1,5;2,5;1,5;2,0\n"), r"a\.csv: its cells are not"),
    (
        lines("Date,AAPL,MSFT\n2024-01-02,1,2\n"),
        r"a\.csv: holds neither prices .*a column of closes a symbol is not read",
    ),
    (lines("Date,Open,High,Low,Volume" + ROW), r"a\.csv: .*Expected 5 fields"),
    (
        lines("Date,Open,High,Low,Volume\n2024-01-02,1,2,.5,10\n"),
        r"a\.csv: no column for close; it has Date, .*--map=COLUMN=close",
    ),
    (lines("Day,Weather\n2024-01-02,wet\n"), r"a\.csv: holds neither prices nor texts; .*Weather"),
    (
        lines(HEAD + ",Price" + ROW.replace("10\n", "10,1\n")),
        r"a\.csv: 'Close' and 'Price' may both be close; choose: --map=COLUMN=close",
    ),
    (lambda folder: (folder / "a.csv").write_bytes(b"PK\x03\x04"), r"a\.csv: is a ZIP archive"),
    (lambda folder: (folder / "a.csv").write_bytes(b"Date,\xe9\n"), r"a\.csv: line 1 is not UTF-8"),
    (lambda folder: (folder / "a.json").write_text('{"a": 1'), r"a\.json: .*not JSON"),
    (lambda folder: (folder / "a.json").write_text("[1, 2]"), r"a\.json: expected a list of obj"),
    (
        lambda folder: (folder / "a.json").write_text('[{"headline": "x", "datetime": 1}]'),
        r"a\.json: its texts name no symbol; add a column symbols",
    ),
    (
        lambda folder: (folder / "a.json").write_text(
            '[{"headline": "x", "created_at": "2024-01-02T10:00:00Z", "symbols": ["A"]}]'
        ),
        r"a\.json: no file holds prices",
    ),
    (changed(Close="about 3"), r"AAA\.csv: row 2: Close is 'about 3', no number .*1 such rows"),
    (changed(Close="12,34"), r"AAA\.csv: row 2: Close is '12,34', no number"),
    (changed(Close="-3"), r"row 2 .*close must be a finite number above zero"),
    (changed(Date=None), r"AAA\.csv: row 2: Date is 'nan', which is no date"),
    (changed(Date="soon"), r"AAA\.csv: row 2: Date is 'soon', which is no date"),
    (changed(Date="2024-01-04 10:30:00"), r"row 2: Date .* time of day.*download daily bars"),
    (mixed, r"A\.csv and .*B\.csv: bars of two layouts"),
    (orders, r"A\.csv has a date with its day first \(16/01/2024\), .*B\.csv .*month first"),
    (two(ONE, ONE, names=("A.x", "a.x")), "symbols 'A.x' and 'a.x' differ in case alone"),
    (elsewhere, r"L: \d+ of its 80 days are no sessions of XNYS, which fits the bars best"),
    (
        lambda folder: write(
            truth(("A",), pd.date_range("2022-01-07", periods=80, freq="W-FRI")), folder / "A.csv"
        ),
        r"no exchange's sessions: XNYS is nearest, with 7\d of 80 days among 38\d sessions",
    ),
    (
        two(FUTURE, FUTURE.assign(close=1.0, low=0.5)),
        "all bars are of days to come",
    ),
]


@pytest.mark.parametrize(("make", "message"), CASES)
def test_bad_input_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable, message: str
) -> None:
    monkeypatch.setattr("fusionjax.data.calendar.codes", list)  # all seventy take half a minute
    folder = tmp_path / "in"
    folder.mkdir()
    make(folder)
    with pytest.raises(InputError, match=message) as e:
        take(folder)
    assert "\n" not in str(e.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nosuch: no such file or folder"):
        reading.files_of([tmp_path / "nosuch"])
    (tmp_path / "a.xlsx").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.xlsx: ends in none of"):
        reading.files_of([tmp_path / "a.xlsx"])


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("Close", "'Close' is not COLUMN=NAME"),
        ("Close=2b", "'2b' cannot name a column"),
        ("Close=vol20", "'vol20' cannot name a column"),
        ("Clos=close", "no file has a column 'clos'; did you mean 'close'"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, pair: str, message: str) -> None:
    write(ONE, tmp_path / "AAA.csv")
    with pytest.raises(InputError, match=message):
        take(tmp_path, names=(pair,))


def test_ambiguous_dates_ask_for_their_order(tmp_path: Path) -> None:
    """Every one of these dates, of 2 to 11 January, may be read in two ways."""
    short = truth(("AAA",)).iloc[:8].copy()
    short["date"] = sessions(8).astype("datetime64[s]")
    csv(ADJUSTED, "%m/%d/%Y")(short, tmp_path / "AAA.csv")
    with pytest.raises(InputError, match=r"AAA.csv: 01/02/2024 .*--dates=day-first or --dates=mon"):
        take(tmp_path)
    found = take(tmp_path, order="month-first")
    assert (found.bars["date"] == short["date"]).all()
    csv(ADJUSTED, "%m/%d/%Y")(ONE, tmp_path / "AAA.csv")
    with pytest.raises(InputError, match=r"01/16/2024 is not day-first; drop --dates=day-first"):
        take(tmp_path, order="day-first")


def test_a_bar_that_differs_from_another_is_refused_and_its_copy_left_out(tmp_path: Path) -> None:
    names = {"symbol": "symbol"} | ADJUSTED
    csv(names)(ONE, tmp_path / "all.csv")
    csv(names)(ONE.iloc[-10:], tmp_path / "more.csv")
    found = take(tmp_path)
    assert len(found.bars) == 80
    (note,) = [n for n in found.notes if n.startswith("left out")]
    day = f"{ONE['date'].iloc[-10]:%Y-%m-%d}"
    assert note == f"left out: 10 rows that repeat another exactly, the first AAA {day} (more.csv)"
    csv(names)(ONE.iloc[-10:].assign(close=99.0, low=90.0), tmp_path / "more.csv")
    with pytest.raises(InputError, match=rf"two bars of AAA on {day} differ.*10 such days"):
        take(tmp_path)


def test_what_has_no_price_or_session_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fusionjax.data.calendar.codes", list)
    days = [*sessions(80), pd.Timestamp("2024-01-15"), pd.Timestamp("2150-01-02")]
    bars = truth(("AAA",), pd.DatetimeIndex(days))
    bars.loc[3, ["open", "close"]] = np.nan
    bars.loc[4, "open"] = 0.0
    bars.loc[6, "volume"] = np.nan
    write(bars, tmp_path / "AAA.csv")
    write(truth(("BBB",)).assign(close=np.nan), tmp_path / "BBB.csv")
    found = take(tmp_path)
    assert len(found.bars) == 78
    assert found.bars["volume"].iloc[4] == 0
    assert [n for n in found.notes if "left out" in n or "missing" in n] == [
        "left out: 82 rows without prices, the first AAA 2024-01-05 (AAA.csv)",
        "left out: no row with prices is of BBB",
        "1 volumes are missing: they are written as 0",
        "left out: 1 rows of days to come, the first AAA 2150-01-02 (AAA.csv)",
        "left out: 1 rows of days when XNYS was closed, the first AAA 2024-01-15 (AAA.csv)",
    ]


def test_a_session_that_is_not_over_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a download in the middle of a session has it."""
    last = ONE["date"].iloc[-1]
    noon = (last + pd.Timedelta(hours=17)).tz_localize("UTC")
    monkeypatch.setattr(pd.Timestamp, "now", lambda tz: noon)
    write(ONE, tmp_path / "AAA.csv")
    found = take(tmp_path)
    assert len(found.bars) == 79
    assert (
        f"left out: 1 rows of a session that is not over, the first AAA {last:%Y-%m-%d}"
        in (found.notes[-1])
    )


def test_prices_without_volumes(tmp_path: Path) -> None:
    csv({k: v for k, v in ADJUSTED.items() if k != "volume"})(ONE, tmp_path / "EURUSD.csv")
    found = take(tmp_path)
    assert (found.bars["volume"] == 0).all()
    assert "no column of volumes: they are written as 0" in found.notes


def test_nothing_is_overwritten_and_nothing_is_left_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(ONE, tmp_path / "AAA.csv")
    found, out = take(tmp_path / "AAA.csv"), tmp_path / "made" / "market"
    monkeypatch.setattr(pd.DataFrame, "to_parquet", _full)
    with pytest.raises(InputError, match=r"market: cannot be written \(No space left"):
        writing.write(found, out, "mine")
    assert not [*out.parent.iterdir()]
    monkeypatch.undo()
    config = writing.write(found, out, "mine")
    assert config == tmp_path / "made" / "market.py"
    assert {p.name for p in out.parent.iterdir()} == {"market", "market.py"}
    with pytest.raises(InputError, match=r"market: exists, and is not overwritten"):
        writing.write(found, out, "mine")
    (tmp_path / "made" / "other.py").write_text("")
    with pytest.raises(InputError, match=r"other\.py: exists"):
        writing.write(found, tmp_path / "made" / "other", "mine")


def _full(self: pd.DataFrame, path: Path, **more: object) -> None:
    Path(path).write_bytes(b"PAR1")
    raise OSError(28, "No space left on device")


def test_too_few_sessions_to_split(tmp_path: Path) -> None:
    write(ONE.iloc[:30], tmp_path / "AAA.csv")
    with pytest.raises(InputError, match="the bars have 30 sessions; 60 at least"):
        writing.write(take(tmp_path / "AAA.csv"), tmp_path / "market", "mine")
    assert not (tmp_path / "market").exists()


def test_texts_of_no_symbol_with_bars(tmp_path: Path) -> None:
    write(ONE, tmp_path / "AAA.csv")
    row = {"headline": "x", "datetime": 1706000000, "related": "BBB"}
    (tmp_path / "news.json").write_text(json.dumps([row]))
    with pytest.raises(InputError, match="no text is of a symbol that has bars; texts name BBB"):
        take(tmp_path)
    naive = row | {"related": "AAA", "datetime": "2024-01-23 10:00:00"}
    (tmp_path / "news.json").write_text(json.dumps([naive]))
    with pytest.raises(InputError, match="news.json: row 0 .*event_time has no time zone"):
        take(tmp_path)


@hypothesis.given(
    cells=st.lists(
        st.tuples(
            st.sampled_from(["Date", "Close", "Open", "Volume", "Ticker"]),
            st.integers(0, 59),
            st.text(st.characters(codec="utf-8"), max_size=12) | st.floats().map(str),
        ),
        max_size=3,
    )
)
@hypothesis.settings(max_examples=15)
def test_any_cell_is_read_or_refused(cells: list[tuple[str, int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("fusionjax.data.calendar.codes", list)
        table = ONE[:60].assign(date=ONE["date"].dt.strftime("%Y-%m-%d"))
        table = table[[*NAMES]].set_axis([*NAMES.values()], axis=1).astype(object)
        for name, row, cell in cells:
            table.loc[row, name] = cell
        table.to_csv(Path(folder) / "all.csv", index=False)
        said, bars = "", ()
        try:
            bars = take(Path(folder) / "all.csv").bars
        except InputError as e:
            said = str(e)
        assert (len(bars) > 0) != bool(said)
        assert "\n" not in said


def test_a_folder_that_has_no_name_is_refused() -> None:
    for out in (".", "..", "/"):
        with pytest.raises(InputError, match="exists, and is not overwritten"):
            writing.require_new(Path(out))
