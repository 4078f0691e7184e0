"""A market folder: a user's own bars, texts, pictures, sound and video, each item with its times.

``bars.parquet|csv``: columns of ``schema.BARS``; optionally ``sector``, of which a symbol's last
row counts, and ``exchange``, the calendar's code where it is another than ``config.data.calendar``;
further columns of numbers become channels, those of words are left out and named.
``sessions.parquet|csv``: days on which an exchange did not do what exchange_calendars says:
``date``, ``close`` (local, 15:30; empty if it was closed) and, unless one is meant, ``exchange``.
``facts.parquet|jsonl|csv``: numbers known at a time, which become channels: ``symbol`` (``*`` for
all), ``name``, ``value``, ``event_time`` and ``available_time``.
``events.parquet|jsonl|csv``: what is known ahead, which becomes channels too: ``symbol`` (``*`` for
all), ``name``, ``known_time``, ``due_time`` and, if they have any, ``occurrence`` and ``value``.
``members.parquet|csv``: the universe by date: ``symbol``, ``from`` and ``to`` (empty: still in it).
``texts.parquet|jsonl|csv``: ``symbol``, ``event_time``, ``available_time``, ``text`` and, if known,
``author``. ``images/``, ``audio/``, ``video/`` hold files and ``manifest.parquet|jsonl|csv`` with
``symbol``, ``event_time``, ``available_time``, ``source`` and ``path``, which stays in that folder.
``frames/`` holds tables of features computed elsewhere, a row a frame. Only the bars are required.

An item may name several symbols: ``A|B``. Values of an optional column ``id`` must not repeat. An
optional column ``event`` groups items of several tables, such as a call whose lines and clips
should pair up. Where ``sound`` is true in the videos' manifest, the sound track is also audio.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from fusionjax.data import events as ahead
from fusionjax.data import facts, features, media, schema
from fusionjax.data.paths import inside, lies_in
from fusionjax.data.sources import Raw, Source, events, members, sessions
from fusionjax.errors import InputError
from fusionjax.registry import MODALITIES, SOURCES

_TABLES = (".parquet", ".csv")
_LISTS = (".parquet", ".jsonl", ".csv")
_STEMS = {
    "bars": _TABLES,
    "texts": _LISTS,
    "facts": _LISTS,
    "events": _LISTS,
    "members": _TABLES,
    "sessions": _TABLES,
}
_STAMPS = ("symbol", "event_time", "available_time")


def files(root: Path) -> list[Path]:
    """The files whose content the prepared set depends on, sorted.

    A link that leads out of its folder is ignored and never opened.
    """
    tables = [root / f"{stem}{suffix}" for stem, of in _STEMS.items() for suffix in of]
    media_folders = [root / folder for folder in media.folders().values()]
    within = (p for home in media_folders for p in home.rglob("*") if lies_in(home, p))
    return sorted(p for p in (*tables, *within) if p.is_file())


def read(root: Path, calendar: str) -> Raw:
    """Reads and checks all tables of ``root``; media files are only listed.

    Args:
      root: the market folder.
      calendar: of the exchange, in whose zone a date without a time means the end of that day.

    Raises:
      InputError: a table is missing or damaged, or a row breaks the schema.
    """
    where = _table(root, "bars")
    if where is None:
        schema.require_folder(root)
        raise InputError(
            f"{root}: holds neither bars.parquet nor bars.csv but {schema.listing(root)}; "
            "expected one of them"
        )
    notes = _unread(root)
    table = _with_prices(schema.read_table(where), where, notes)
    exchanges = sessions.exchanges(table, where)
    told = _table(root, "sessions")
    changes = {} if told is None else sessions.changes(told, calendar)
    bars = schema.check_bars(table, where, calendar, exchanges, changes)
    sectors = _sectors(bars, where)
    bars = bars.drop(columns=["sector", "exchange"], errors="ignore")
    channels = _channels(bars, where, notes)
    known = set(bars["symbol"])
    paired: dict[str, pd.Series] = {}  # items of each event, by table

    def items(where: Path, columns: tuple[str, ...], symbols: set[str] = known) -> pd.DataFrame:
        table = schema.read_table(where)
        schema.require_columns(table, (*_STAMPS, *columns), where)
        if "id" in table:
            schema.check_ids(table, where)
        if "event" in table:
            event_names = schema.labels(table, "event", where)
            paired[str(where.relative_to(root))] = event_names[event_names != ""].value_counts()
        table["symbol"] = schema.names(table, "symbol", where)
        table = schema.stamped(table, where, calendar, exchanges)
        for column in ("author", "source"):
            if column in table:
                table[column] = schema.labels(table, column, where)
        return _priced(table, where, symbols, notes)

    documents = None
    if (where := _table(root, "texts")) is not None:
        documents = items(where, ("text",))
        if "author" not in documents:
            documents["author"] = ""
    member = None
    if (where := _table(root, "members")) is not None:
        member, more = members.of_bars(where, bars, calendar)
        notes += more
    numbers = None
    if (where := _table(root, "facts")) is not None:
        table = items(where, ("name", "value"), known | {facts.ALL})
        numbers = _facts(table, where, channels)
    due = None
    if (where := _table(root, "events")) is not None:
        table = events.read(where, calendar, exchanges)
        due = _priced(table, where, known | {ahead.ALL}, notes)
        names = [] if numbers is None else numbers["name"].unique().tolist()
        taken = {*channels, *names, *(f"{name}{facts.AGE}" for name in names)}
        _check_names(due, where, ahead.ENDS, taken)
    listed = _media(root, items)
    return Raw(
        bars,
        channels,
        documents,
        np.ones(len(bars), bool),
        tuple(notes),
        listed,
        _misaligned(paired),
        sectors,
        exchanges,
        changes,
        numbers,
        member,
        due,
    )


def _with_prices(table: pd.DataFrame, where: Path, notes: list[str]) -> pd.DataFrame:
    """The bars without rows that have no price, which ``notes`` count; row numbers stay."""
    empty = schema.without_prices(table)
    if empty.any() and not empty.all():
        first = ", ".join(
            f"{c}={table[c][empty].iloc[0]}" for c in ("symbol", "date") if c in table
        )
        notes.append(f"{int(empty.sum())} rows of {where.name} without prices, the first {first}")
        table = table[~empty]
    return table


def _priced(table: pd.DataFrame, where: Path, symbols: set[str], notes: list[str]) -> pd.DataFrame:
    """A row for each symbol that an item names, of those in ``symbols``; notes on the others."""
    table = _each_symbol(table, where)
    priced = table["symbol"].isin(symbols)
    notes.extend(
        f"{n} items of {s} in {where.name}: no prices"
        for s, n in table.loc[~priced, "symbol"].value_counts().items()
    )
    return table[priced].reset_index(drop=True)


def _facts(table: pd.DataFrame, where: Path, channels: pd.DataFrame) -> pd.DataFrame:
    """Checked facts, whose names must be free to name channels."""
    table = table.assign(
        name=schema.names(table, "name", where), value=schema.numbers(table, "value", where)
    )
    _check_names(table, where, facts.ENDS, {*channels})
    return table


def _check_names(table: pd.DataFrame, where: Path, ends: str, channels: set[str]) -> None:
    """Raises InputError unless the names of facts or events, with these ends (a regular
    expression), may name channels."""
    names = set(table["name"])
    for name in sorted(names):
        others = {*channels, *schema.BARS, *schema.RESERVED, *(names - {name})}
        taken = name.isidentifier() and any(re.fullmatch(f"{name}{ends}", c) for c in others)
        if taken or not name.isidentifier():
            why = "is a channel or column already" if taken else "is no word of letters and digits"
            raise InputError(f"{where}: the name {name!r} {why}; rename it")


def _channels(bars: pd.DataFrame, where: Path, notes: list[str]) -> pd.DataFrame:
    """The channels computed from prices, and the table's further columns of numbers."""
    channels = features.price_channels(bars)
    for name in (str(c) for c in bars if c not in schema.BARS):
        if name in channels:
            raise InputError(f"{where}: column {name} is also computed from prices; rename it")
        if name in schema.RESERVED:
            raise InputError(f"{where}: column {name} is a reserved name; rename it")
        if schema.holds_no_number(bars[name]):
            notes.append(f"column {name} of {where.name}: holds no numbers, so it is no channel")
        else:
            channels[name] = schema.numbers(bars, name, where)
    return channels


def _media(
    root: Path, items: Callable[[Path, tuple[str, ...]], pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """The files of each kind, as their manifests list them; ``items`` reads and checks a table."""
    listed: dict[str, pd.DataFrame] = {}
    for kind, folder in media.folders().items():
        if (where := _only_file(root / folder, "manifest", _LISTS)) is not None:
            table = items(where, ("source", "path"))
            entries = zip(table["item"], table["path"], strict=True)
            paths = [inside(where, row, cell) for row, cell in entries]
            home = (root / folder).resolve()  # it may be a link
            paths = _spelled_as_stored(paths, home)
            listed[kind] = table.assign(path=[f"{folder}/{p.relative_to(home)}" for p in paths])
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
    return listed


def _spelled_as_stored(paths: list[Path], home: Path) -> list[Path]:
    """The paths with missing files replaced by those whose names differ in Unicode's form alone:
    macOS takes letters such as ü apart, tables hold them in one."""
    missing = {p for p in paths if not p.exists()}
    if not missing:
        return paths
    stored = {_composed(p): p for p in home.rglob("*") if lies_in(home, p)}
    return [stored.get(_composed(p), p) if p in missing else p for p in paths]


def _composed(path: Path) -> str:
    return unicodedata.normalize("NFC", str(path))


def _unread(root: Path) -> list[str]:
    """What lies beside the right names and looks as if it should be read."""
    tables = [f"{stem}{suffix}" for stem, of in _STEMS.items() for suffix in of]
    expected = [*tables, *media.folders().values()]
    stems = [*_STEMS, *media.folders().values()]

    def resembles(path: Path) -> bool:
        if path.name in expected:
            return False
        if path.is_dir() and any(path.glob("manifest.*")):
            return True
        if path.is_file() and path.suffix.lower() in _LISTS:
            return True
        return bool(difflib.get_close_matches(path.name.lower().split(".")[0], stems, cutoff=0.8))

    ignored = sorted(p.name + "/" * p.is_dir() for p in root.iterdir() if resembles(p))
    right = [f"{stem}.{'|'.join(s[1:] for s in of)}" for stem, of in _STEMS.items()]
    right += [f"{folder}/" for folder in media.folders().values()]
    return [f"{', '.join(ignored)}: not read; expected {', '.join(right)}"] if ignored else []


def _sectors(bars: pd.DataFrame, where: Path) -> dict[str, str]:
    """The last sector given for each symbol."""
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


def _table(root: Path, stem: str) -> Path | None:
    """The table of this name, if there is one."""
    return _only_file(root, stem, _STEMS[stem])


def _only_file(folder: Path, stem: str, suffixes: tuple[str, ...]) -> Path | None:
    paths = [p for suffix in suffixes if (p := folder / f"{stem}{suffix}").exists()]
    if len(paths) > 1:
        raise InputError(f"{folder}: holds {paths[0].name} and {paths[1].name}; keep one")
    return paths[0] if paths else None


def _each_symbol(table: pd.DataFrame, where: Path) -> pd.DataFrame:
    """One row for each symbol that an item names; column ``item`` is the item's row in the file."""
    symbols = table["symbol"].str.split("|")
    table = table.assign(symbol=symbols, item=np.arange(len(table))).explode("symbol")
    repeated = table.duplicated(["symbol", "item"])
    if repeated.any():
        raise InputError(f"{where}: row {table['item'][repeated].iloc[0]}: names a symbol twice")
    return table


SOURCES.register("folder")(Source(files, read))
