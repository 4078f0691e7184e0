"""Which exchange each symbol trades on, and what its calendar does not know."""

from pathlib import Path

import pandas as pd

from fusionjax.data import calendar as calendars
from fusionjax.data import schema
from fusionjax.data.calendar import Changes
from fusionjax.errors import InputError

_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d|"


def exchanges(bars: pd.DataFrame, where: Path) -> dict[str, str]:
    """The exchange_calendars code of each symbol that column ``exchange`` gives one.

    Raises:
      InputError: an unknown code, or two exchanges of one symbol.
    """
    if not {"symbol", "exchange"}.issubset(bars):
        return {}
    symbols, codes = schema.names(bars, "symbol", where), schema.labels(bars, "exchange", where)
    table = pd.DataFrame({"symbol": symbols, "exchange": codes})
    table = table[table["exchange"] != ""].drop_duplicates()
    table["exchange"] = table["exchange"].map(
        lambda code: calendars.name(
            code, f"{where}: column exchange (drop it if all trade on config.data.calendar)"
        )
    )
    table = table.drop_duplicates()
    twice = table[table["symbol"].duplicated(keep=False)]
    if len(twice):
        symbol = twice["symbol"].iloc[0]
        also = twice.loc[twice["symbol"] == symbol, "exchange"]
        raise InputError(
            f"{where}: symbol {symbol} trades on {' and '.join(sorted(also))}; give all its rows "
            "one exchange, and the other listing a symbol of its own"
        )
    return dict(zip(table["symbol"], table["exchange"], strict=True))


def changes(where: Path, calendar: str) -> dict[str, Changes]:
    """The days of a table ``date``, ``close`` and perhaps ``exchange``, by exchange.

    Args:
      where: the table.
      calendar: of rows without an exchange.

    Raises:
      InputError: naming the row that holds no date, no time of day, an unknown exchange, or a day
        that came before.
    """
    given = schema.read_table(where)
    schema.require_columns(given, ("date", "close"), where)
    table = pd.DataFrame({"date": given["date"].astype(str).str.slice(0, 10), "exchange": calendar})
    table["close"] = schema.labels(given, "close", where).str.slice(0, 5)
    if "exchange" in given:
        table["exchange"] = schema.labels(given, "exchange", where).replace("", calendar)
    of = {code: calendars.name(code, f"{where}: exchange") for code in table["exchange"].unique()}
    table["exchange"] = table["exchange"].map(of)
    no_day = pd.to_datetime(table["date"], format="%Y-%m-%d", errors="coerce").isna()
    no_time = ~table["close"].str.fullmatch(_TIME)
    repeated = table.duplicated(["exchange", "date"])
    for bad, why in (
        (no_day, "date must be YYYY-MM-DD"),
        (no_time, "close must be a local time such as 15:30, or empty where it was closed"),
        (repeated, "this exchange and day came before; keep one"),
    ):
        schema.refuse(given, bad, where, why)
    return {
        str(code): dict(zip(rows["date"], rows["close"], strict=True))
        for code, rows in table.groupby("exchange")
    }
