"""A universe by date: only members are trained on, scored and forecast."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import seeing, small
from rich.progress import Progress

from fusionjax.config import Config
from fusionjax.data import prepare, samples, store
from fusionjax.data.audit import universe
from fusionjax.data.store import Market
from fusionjax.errors import InputError

SPAN = ("2024-04-01", "2024-05-24")
DAYS = pd.bdate_range(*SPAN)


def folder(root: Path, text: str, symbols: tuple[str, ...] = ("XX", "YY", "ZZ")) -> Path:
    root.mkdir()
    prices = dict.fromkeys(("open", "high", "low", "close", "adj_close"), 10.0)
    table = pd.DataFrame({"date": DAYS, **prices, "volume": 1e3})
    bars = [table.assign(symbol=s) for s in symbols]
    pd.concat(bars).to_parquet(root / "bars.parquet")
    (root / "members.csv").write_text("symbol,from,to\n" + text)
    return root


def opened(root: Path, tmp_path: Path) -> tuple[Market, Config]:
    c = seeing({"price": {"kind": "numeric", "sessions": 4, "channels": ("ret",)}})
    c.data.splits.train = c.data.splits.dev = SPAN
    c = small(
        c, tmp_path / "prepared", data__source="folder", data__root=str(root), data__min_history=2
    )
    return store.load(prepare.prepare(c.data, Progress(disable=True))), c


def test_decisions_are_of_members(tmp_path: Path) -> None:
    """Membership counts on the day of the decision, both ends included."""
    text = "XX,2010-01-01,2024-05-02\nXX,2024-05-09,\nYY,2024-05-06,2024-05-07\n"
    market, c = opened(folder(tmp_path / "m", text), tmp_path)
    decided = samples.split(market, c, "train").row
    by_symbol = {
        s: market.session[decided[market.symbol[decided] == i]].astype(str).tolist()
        for i, s in enumerate(market.symbols)
    }
    assert by_symbol["YY"] == ["2024-05-06", "2024-05-07"]
    assert by_symbol["ZZ"] == []
    assert "2024-05-02" in by_symbol["XX"]
    assert "2024-05-09" in by_symbol["XX"]
    assert not {"2024-05-03", "2024-05-06", "2024-05-07", "2024-05-08"} & set(by_symbol["XX"])
    assert any("ZZ: never members" in note for note in market.notes)


def test_days_may_be_written_as_those_of_bars(tmp_path: Path) -> None:
    """As parquet holds them, and of digits alone."""
    text = "XX,20100101,20240502\nYY,20240506,20240507\n"
    digits, _ = opened(folder(tmp_path / "m", text), tmp_path)
    root = folder(tmp_path / "n", "")
    table = pd.DataFrame({"symbol": ["XX", "YY"]})
    table["from"] = pd.to_datetime(["2010-01-01", "2024-05-06"])
    table["to"] = pd.to_datetime(["2024-05-02", "2024-05-07"])
    table.to_parquet(root / "members.parquet")
    (root / "members.csv").unlink()
    stored, _ = opened(root, tmp_path)
    assert digits.member is not None
    assert digits.member.sum() == 26
    np.testing.assert_array_equal(digits.member, stored.member)


def test_without_the_table_all_are_members(tmp_path: Path) -> None:
    root = folder(tmp_path / "m", "")
    (root / "members.csv").unlink()
    market, c = opened(root, tmp_path)
    assert market.member is None
    assert len(np.unique(market.symbol[samples.split(market, c, "train").row])) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("XX,2024-04-01,2024-05-01\nXX,2024-05-01,\n", "row 1 .*overlaps another membership"),
        ("XX,2024-05-01,2024-04-01\n", "row 0 .*to lies before from"),
        ("XX,spring,\n", "row 0 .*from must be YYYY-MM-DD"),
        ("XX,2024-04-01,later\n", "row 0 .*to must be YYYY-MM-DD"),
        ("QQ,2024-04-01,\n", "no bar is of a member"),
        ("XX,,2024-05-01\n", "row 0 .*from must be YYYY-MM-DD"),
    ],
)
def test_bad_memberships_are_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=f"members.csv: {said}"):
        opened(folder(tmp_path / "m", text), tmp_path)


def test_who_left_the_universe_has_ended(tmp_path: Path) -> None:
    """The audit's question about survivors is of the universe, not of who still has prices."""
    names = tuple(f"S{i:02}" for i in range(12))
    text = "".join(f"{n},2010-01-01,{'2024-05-01' if n == 'S03' else ''}\n" for n in names)
    market, _ = opened(folder(tmp_path / "m", text, names), tmp_path)
    finding = universe._survivors(market, np.unique(market.session))
    assert finding.what.startswith("1 of 12 symbols end before the last session")
