"""News of several forms as the texts of a market folder."""

import dataclasses
import html
import re
from pathlib import Path

import pandas as pd

from fusionjax.data import schema
from fusionjax.errors import InputError
from fusionjax.imports import values
from fusionjax.imports.columns import Recognised
from fusionjax.imports.values import Order


@dataclasses.dataclass(frozen=True)
class Texts:
    """Texts of all files.

    Attributes:
      table: columns ``schema.DOCUMENTS``, or None where no file holds texts.
      spans: of each file, how many, symbols, first and last day.
      notes: what was assumed and left out, in sentences.
    """

    table: pd.DataFrame | None
    spans: dict[Path, tuple[int, int, str, str]]
    notes: list[str]


def texts_of(
    files: list[Recognised], symbols: set[str], calendar: str, order: Order | None
) -> Texts:
    """Reads texts; those of no symbol that has bars are left out and counted.

    Args:
      files: of texts.
      symbols: that have bars.
      calendar: of the exchange, in whose zone a date alone ends.
      order: of dates such as 03/04/2024.

    Raises:
      InputError: a time is missing or has no zone, or no text is of a symbol that has bars.
    """
    if not files:
        return Texts(None, {}, [])
    dates = [(f.cells.path, f.cells.rows[f.columns["event_time"][0]]) for f in files]
    order = values.date_order(dates, order)
    parts, spans = [], {}
    for file in files:
        part = schema.stamped(_texts(file, order), file.cells.path, calendar)
        parts.append(part)
        named = {symbol for cell in part["symbol"] for symbol in cell.split("|")} - {""}
        first, last = (f"{of(part['event_time']):%Y-%m-%d}" for of in (min, max))
        spans[file.cells.path] = (len(part), len(named), first, last)
    table = pd.concat(parts, ignore_index=True)
    notes = [
        "texts are known from the time of their last change on, where a file has it, as they say "
        "what they said then"
    ]
    empty = table["text"] == ""
    own = table["symbol"].map(lambda cell: "|".join(s for s in cell.split("|") if s in symbols))
    if not (own != "").any():
        some = ", ".join(sorted({s for c in table["symbol"] for s in c.split("|")})[:5])
        raise InputError(
            f"{files[0].cells.path}: no text is of a symbol that has bars; texts name {some}, bars "
            f"{', '.join(sorted(symbols)[:5])}: spell them alike"
        )
    if empty.any():
        notes.append(f"left out: {int(empty.sum()):,} texts without a word")
    if (other := (own == "") & ~empty).any():
        notes.append(f"left out: {int(other.sum()):,} texts of no symbol that has bars")
    table = table.assign(symbol=own)[(own != "") & ~empty]
    table = table.sort_values(["available_time", *schema.DOCUMENTS], ignore_index=True)
    if (again := table.duplicated()).any():
        notes.append(f"left out: {int(again.sum()):,} texts that repeat another exactly")
    return Texts(table[~again].reset_index(drop=True)[[*schema.DOCUMENTS]], spans, notes)


def _texts(file: Recognised, order: Order | None) -> pd.DataFrame:
    """A file's texts; times in ISO 8601 or typed."""
    rows, columns = file.cells.rows, file.columns
    event = values.stamp_texts(rows[columns["event_time"][0]], order)
    available = event
    if "available_time" in columns:
        changed = values.stamp_texts(rows[columns["available_time"][0]], order)
        available = changed.where(changed.notna(), event)
    headlines = [rows[at].map(_words) for at in columns.get("headline", ())]
    bodies = [rows[at].map(_words) for at in columns.get("text", ())]
    longest = pd.Series("", index=rows.index, dtype=object)
    for body in bodies:
        longest = longest.mask(body.str.len() > longest.str.len(), body)
    text = headlines[0].str.cat(longest, sep="\n").str.strip() if headlines else longest
    author = pd.Series("", index=rows.index, dtype=object)
    for at in columns.get("author", ()):
        author = author.mask(author == "", rows[at].map(_name))
    return pd.DataFrame(
        {
            "symbol": rows[columns["symbol"][0]].map(_symbols),
            "event_time": event,
            "available_time": available,
            "author": author,
            "text": text,
        }
    )


def _words(cell: object) -> str:
    """A text without the tags that some vendors leave in it."""
    if not isinstance(cell, str):
        return ""
    return " ".join(html.unescape(re.sub(r"<[^<>]+>", " ", cell)).split())


def _name(cell: object) -> str:
    """An author or source, which may be an object with a name."""
    name = cell.get("name") if isinstance(cell, dict) else cell
    return name.strip() if isinstance(name, str) else ""


def _symbols(cell: object) -> str:
    """``A|B`` of a list, or of names with commas or bars between them; each once."""
    text = cell if isinstance(cell, str) else ""
    parts = cell if isinstance(cell, list) else re.split(r"[,|;]", text)
    return "|".join(dict.fromkeys(str(part).strip() for part in parts if str(part).strip()))
