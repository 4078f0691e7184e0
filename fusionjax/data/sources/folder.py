"""A market folder: a desk's own bars, texts, pictures, sound and video, each item stamped.

``bars.parquet|csv``: columns of ``schema.BARS``; ``sector``, if known, is the symbol's (the last
counts); other columns beside them are numbers and become channels.
``texts.parquet|jsonl|csv``: ``symbol``, ``event_time``, ``available_time``, ``text`` and, if known,
``author``. ``images/``, ``audio/``, ``video/`` hold files and ``manifest.parquet|jsonl|csv`` with
``symbol``, ``event_time``, ``available_time``, ``source`` and ``path``, which stays in that folder.
All but the bars may be absent. One item may name several symbols: ``A|B``. A column ``id`` must
not repeat; a column ``event`` names what items of several tables belong to, such as a call whose
lines and clips should pair up. A true ``sound`` in the videos' manifest makes the sound track an
item of audio too. ``frames/`` holds tables of features computed elsewhere, a row a frame.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from fusionjax.data import features, media, schema
from fusionjax.data.sources import Raw, Source
from fusionjax.errors import InputError
from fusionjax.registry import MODALITIES, SOURCES

_TABLES = (".parquet", ".csv")
_LISTS = (".parquet", ".jsonl", ".csv")
_STAMPS = ("symbol", "event_time", "available_time")


def files(root: Path) -> list[Path]:
    """The files whose content the prepared set depends on, in order; others may lie beside.

    A link that leads out of its folder counts as nothing: what it leads to is never opened.
    """
    tables = [root / f"{stem}{suffix}" for stem in ("bars", "texts") for suffix in _LISTS]
    homes = [root / folder for folder in media.folders().values()]
    inside = (p for home in homes for p in home.rglob("*") if schema.lies_in(home, p))
    return sorted(p for p in (*tables, *inside) if p.is_file())


def read(root: Path, calendar: str) -> Raw:
    """Reads and checks all tables of ``root``; files are only listed.

    Args:
      root: the market folder.
      calendar: of the exchange; a date without a time is over when its day is, there.

    Raises:
      InputError: a table is missing or damaged, or a row breaks the schema.
    """
    where = _one(root, "bars", _TABLES)
    if where is None:
        raise InputError(f"{root}: holds neither bars.parquet nor bars.csv; expected one of them")
    bars = schema.check_bars(schema.read_table(where), where)
    sectors = _sectors(bars, where)
    bars = bars.drop(columns="sector", errors="ignore")
    channels = features.price_channels(bars)
    for name in (str(c) for c in bars if c not in schema.BARS):
        if name in channels:
            raise InputError(f"{where}: column {name} is also computed from prices; rename it")
        if name in schema.RESERVED:
            raise InputError(f"{where}: column {name} has a meaning of its own here; rename it")
        channels[name] = schema.numbers(bars, name, where)
    known = set(bars["symbol"])
    notes: list[str] = []
    events: dict[str, pd.Series] = {}  # how many items each has, by table

    def items(where: Path, columns: tuple[str, ...]) -> pd.DataFrame:
        table = schema.read_table(where)
        schema.require_columns(table, (*_STAMPS, *columns), where)
        if "id" in table:
            schema.check_ids(table, where)
        if "event" in table:
            named = schema.labels(table, "event", where)
            events[str(where.relative_to(root))] = named[named != ""].value_counts()
        table = schema.stamped(table, where, calendar)
        table["symbol"] = schema.names(table, "symbol", where)
        for column in ("author", "source"):
            if column in table:
                table[column] = schema.labels(table, column, where)
        table = _each_symbol(table, where)
        priced = table["symbol"].isin(known)
        notes.extend(
            f"{n} items of {s} in {where.name}: no prices"
            for s, n in table.loc[~priced, "symbol"].value_counts().items()
        )
        return table[priced].reset_index(drop=True)

    documents = None
    if (where := _one(root, "texts", _LISTS)) is not None:
        documents = items(where, ("text",))
        if "author" not in documents:
            documents["author"] = ""
    listed = {}
    for kind, folder in media.folders().items():
        if (where := _one(root / folder, "manifest", _LISTS)) is not None:
            table = items(where, ("source", "path"))
            named = zip(table["item"], table["path"], strict=True)
            inside = [schema.inside(where, row, cell) for row, cell in named]
            home = (root / folder).resolve()  # it may be a link
            listed[kind] = table.assign(path=[f"{folder}/{p.relative_to(home)}" for p in inside])
            for column, other in MODALITIES[kind].also.items():
                if column in table:
                    shared = listed[kind][schema.flags(table, column, where)]
                    both = [x for x in (listed.get(other), shared) if x is not None]
                    listed[other] = pd.concat(both, ignore_index=True)
        elif (root / folder).is_dir():
            raise InputError(
                f"{root / folder}: files without a manifest cannot be placed in time; add "
                "manifest.parquet, .jsonl or .csv"
            )
    return Raw(
        bars,
        channels,
        documents,
        np.ones(len(bars), bool),
        tuple(notes),
        listed,
        _misaligned(events),
        sectors,
    )


def _sectors(bars: pd.DataFrame, where: Path) -> dict[str, str]:
    """The last that each symbol names."""
    if "sector" not in bars:
        return {}
    named = bars.assign(sector=schema.labels(bars, "sector", where))
    named = named[named["sector"] != ""]
    return dict(zip(named["symbol"].astype(str), named["sector"], strict=True))


def _misaligned(events: dict[str, pd.Series]) -> tuple[str, ...]:
    """Events that have more items in one table than in another."""
    counts = pd.DataFrame(events).fillna(0).astype(int)
    uneven = counts[counts.nunique(axis=1) > 1]
    return tuple(
        f"event {event}: " + ", ".join(f"{n} in {table}" for table, n in row.items())
        for event, row in uneven.iterrows()
    )


def _one(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path | None:
    found = [p for suffix in suffixes if (p := folder / f"{stem}{suffix}").exists()]
    if len(found) > 1:
        raise InputError(f"{folder}: holds {found[0].name} and {found[1].name}; keep one")
    return found[0] if found else None


def _each_symbol(table: pd.DataFrame, where: Path) -> pd.DataFrame:
    """A row for each symbol that an item names; the rows keep the item's position as ``item``."""
    named = table["symbol"].str.split("|")
    table = table.assign(symbol=named, item=np.arange(len(table))).explode("symbol")
    again = table.duplicated(["symbol", "item"])
    if again.any():
        raise InputError(f"{where}: row {table['item'][again].iloc[0]}: names a symbol twice")
    return table


SOURCES.register("folder")(Source(files, read))
