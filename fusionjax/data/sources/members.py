"""A universe by date: when each symbol belonged to it, and which bars are of members."""

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from fusionjax.data import schema
from fusionjax.data.sources.sessions import days
from fusionjax.errors import InputError


def of_bars(
    where: Path, bars: pd.DataFrame, calendar: str
) -> tuple[Bool[np.ndarray, "R"], list[str]]:
    """Which bars are of sessions in which their symbol was a member.

    Args:
      where: a table ``symbol``, ``from`` and ``to``, the first and the last day of a membership;
        ``to`` is empty where it lasts. A symbol may come and go.
      bars: ``symbol`` and ``date``.
      calendar: of the exchange, whose midnights are days too.

    Returns:
      A value a bar; and notes.

    Raises:
      InputError: naming the row: no day, an end before its beginning, overlapping memberships.
    """
    given = schema.read_table(where)
    schema.require_columns(given, ("symbol", "from", "to"), where)
    table = pd.DataFrame({"symbol": schema.names(given, "symbol", where)})
    for column in ("from", "to"):
        table[column] = days(given, column, where, calendar, optional=column == "to")
    table["to"] = table["to"].fillna(pd.Timestamp.max.normalize())
    schema.refuse(given, table["to"] < table["from"], where, "to lies before from; swap them")
    order = table.sort_values(["symbol", "from"], kind="stable")
    overlap = order["from"] <= order.groupby("symbol")["to"].shift()
    why = "overlaps another membership of the symbol; make one of them"
    schema.refuse(given, overlap.reindex(table.index), where, why)
    known = set(bars["symbol"])
    strange = sorted(set(table["symbol"]) - known)
    notes = [f"{', '.join(strange[:8])} of {where.name}: no prices"] if strange else []
    member = np.zeros(len(bars), bool)
    rows = bars.groupby("symbol").indices
    for symbol, first, last in order.itertuples(index=False):
        at = rows.get(symbol, np.zeros(0, int))
        dates = bars["date"].to_numpy()[at]
        member[at[(dates >= first.to_datetime64()) & (dates <= last.to_datetime64())]] = True
    if not member.any():
        raise InputError(f"{where}: no bar is of a member; check symbols and days")
    never = sorted(known - set(bars["symbol"][member]))
    if never:
        notes.append(f"{', '.join(never[:8])}: never members by {where.name}, so not forecast")
    return member, notes
