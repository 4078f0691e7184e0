"""A service on real files: prices in another unit are refused, and the next good day is served."""

from pathlib import Path

import exchange_calendars
import numpy as np
import pandas as pd
import pytest
from conftest import seeing, small
from parents import MESH

from fusionjax.adapt import daily
from fusionjax.config import Config
from fusionjax.errors import InputError
from fusionjax.train.run import Trainer

DAYS = exchange_calendars.get_calendar("XNYS").sessions_in_range("2023-01-03", "2023-10-31")


def bars() -> pd.DataFrame:
    rng, parts = np.random.default_rng(0), []
    for symbol in ("AÅ", "BB", "币安"):
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, len(DAYS))))
        prices = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
        rows = {"symbol": symbol, "date": DAYS.strftime("%Y-%m-%d"), **prices}
        volume = rng.integers(10**5, 10**6, len(DAYS))
        parts.append(pd.DataFrame(rows | {"adj_close": close, "volume": volume}))
    return pd.concat(parts)


def config(folder: Path) -> Config:
    price = {"kind": "numeric", "sessions": 8, "patch": 4, "channels": ("ret", "vol20")}
    c = seeing({"price": price})
    c.data.source, c.data.root = "folder", str(folder / "market")
    c.data.splits.train = c.data.splits.dev = ("2023-01-03", "2023-08-31")
    return small(
        c,
        folder / "prepared",
        model__fusion="equal",
        model__layers=1,
        drift__action="log",
        drift__reference_sessions=100,
        finetune__update_interval=1000,
    )


def test_prices_in_another_unit_are_refused_and_the_parent_serves_on(tmp_path: Path) -> None:
    table, c, service = bars(), config(tmp_path), tmp_path / "service"
    path = tmp_path / "market" / "bars.csv"
    path.parent.mkdir()

    def known(table: pd.DataFrame, until: str) -> None:
        table[table["date"] <= until].to_csv(path, index=False)

    known(table, "2023-10-20")
    Trainer.from_config(c, MESH).train(0, tmp_path / "run/seed_0")
    first = daily.serve(tmp_path / "run", c, MESH, service)
    assert first["day"] == "2023-10-20"
    prices = ["open", "high", "low", "close", "adj_close"]
    cents = table.copy()
    cents.loc[(table["symbol"] == "BB") & (table["date"] > "2023-10-20"), prices] *= 100
    known(cents, "2023-10-31")
    with pytest.raises(InputError, match="unit jumps: .*bring the series to one unit"):
        daily.serve(tmp_path / "run", c, MESH, service)
    assert Path(daily.Serving.read(service).run) == tmp_path / "run"
    assert [p.name for p in service.glob("2023-*")] == ["2023-10-20"], "the day was not begun"
    known(table, "2023-10-31")
    last = daily.serve(tmp_path / "run", c, MESH, service)
    assert (last["day"], Path(last["serving"])) == ("2023-10-31", tmp_path / "run")
    assert [f["symbol"] for f in last["forecasts"]] == ["AÅ", "BB", "币安"]
