"""Which exchange each symbol trades on, and what its calendar does not know."""

from pathlib import Path

import pandas as pd

from fusionjax.data import calendar as calendars
from fusionjax.data import schema, times
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


def days(
    table: pd.DataFrame, column: str, where: Path, calendar: str, *, optional: bool = False
) -> pd.Series:
    """A column of days, as those of bars may be written; NaT for an ``optional`` empty cell.

    Raises:
      InputError: naming the row that holds none.
    """
    cells = table[column]
    if not pd.api.types.is_datetime64_any_dtype(cells):
        cells = cells.astype(object).where(cells.notna(), "")
    try:
        found, _ = times.days(cells, calendars.zone(calendar))
    except ValueError as e:
        raise InputError(f"{where}: {column} holds {e}; expected YYYY-MM-DD") from e
    empty = cells.isna() | (cells == "")
    bad = found.isna() & ~(empty & optional)
    schema.refuse(table, bad, where, f"{column} must be YYYY-MM-DD")
    return found


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
    date = days(given, "date", where, calendar).dt.strftime("%Y-%m-%d")
    table = pd.DataFrame({"date": date, "exchange": calendar})
    table["close"] = schema.labels(given, "close", where).str.slice(0, 5)
    if "exchange" in given:
        table["exchange"] = schema.labels(given, "exchange", where).replace("", calendar)
    of = {code: calendars.name(code, f"{where}: exchange") for code in table["exchange"].unique()}
    table["exchange"] = table["exchange"].map(of)
    no_time = ~table["close"].str.fullmatch(_TIME)
    repeated = table.duplicated(["exchange", "date"])
    for bad, why in (
        (no_time, "close must be a local time such as 15:30, or empty where it was closed"),
        (repeated, "this exchange and day came before; keep one"),
    ):
        schema.refuse(given, bad, where, why)
    return {
        str(code): dict(zip(rows["date"], rows["close"], strict=True))
        for code, rows in table.groupby("exchange")
    }
