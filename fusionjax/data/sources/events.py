"""Dates that are known ahead: what a table says, and when it said so."""

from pathlib import Path

import numpy as np
import pandas as pd

from fusionjax.data import schema

_KEY = ["symbol", "name", "occurrence", "known_time"]


def read(where: Path, calendar: str, exchanges: dict[str, str]) -> pd.DataFrame:
    """The rows of a table ``symbol``, ``name``, ``known_time`` and ``due_time``, and perhaps
    ``occurrence`` and ``value``.

    A later row of an occurrence replaces an earlier one; an empty ``due_time`` cancels it. A row
    without ``occurrence`` is of the one that is due then. Of a date alone, what is known is known
    when the day is over, and what is due is due when it begins.

    Args:
      where: the table.
      calendar: of symbols that are not in ``exchanges``; its zone is that of a date alone.
      exchanges: calendars of others.

    Returns:
      As of ``data.events.channels``; rows that repeat another are left out.

    Raises:
      InputError: naming the row: a time as of ``schema.instants``, known in the future, a name or
        value as of facts, a cancellation of nothing that is named, or two rows that were known at
        once and differ.
    """
    given = schema.read_table(where).reset_index(drop=True)
    schema.require_columns(given, ("symbol", "name", "known_time", "due_time"), where)
    table = given.assign(symbol=schema.names(given, "symbol", where))
    table["name"] = schema.names(table, "name", where)
    zones = schema.zones_of(table, calendar, exchanges)
    table["known_time"] = schema.instants(table, "known_time", where, zones)
    schema.refuse_future(table, "known_time", where)
    cancelled = table["due_time"].isna()
    label = pd.Series("", table.index)
    if "occurrence" in table:
        label = schema.labels(table, "occurrence", where)
    why = "due_time is empty, which cancels an occurrence; name it in a column occurrence"
    schema.refuse(table, cancelled & (label == ""), where, why)
    zoned = isinstance(table["due_time"].dtype, pd.DatetimeTZDtype)
    due = table["due_time"] if zoned else table["due_time"].astype(object)
    shown = due.mask(cancelled, table["known_time"] if zoned else "2000-01-01")  # any that is one
    due = schema.instants(table.assign(due_time=shown), "due_time", where, zones, begins=True)
    table["due_time"] = due.mask(cancelled)
    table["occurrence"] = label.where(label != "", due.astype(str))
    table["value"] = schema.numbers(table, "value", where) if "value" in table else np.nan
    table = table[[*_KEY, "due_time", "value"]].drop_duplicates()
    why = "another row of this occurrence, known at the same time, says otherwise; keep one"
    differs = table.duplicated(_KEY).reindex(given.index, fill_value=False)
    schema.refuse(given, differs, where, why)
    return table
