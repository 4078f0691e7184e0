"""Turns raw files into a prepared set: validates, joins in time, writes columns and contents."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int64, Shaped
from rich.progress import Progress

from fusionjax import files
from fusionjax.config import DataConfig
from fusionjax.data import (
    calendar,
    contents,
    events,
    facts,
    items,
    join,
    media,
    revisions,
    store,
    sums,
    text,
)
from fusionjax.data.hashes import Hashes
from fusionjax.data.join import Tables
from fusionjax.data.sources import Raw
from fusionjax.errors import InputError
from fusionjax.registry import MODALITIES, SOURCES

# Part of every fingerprint: raise it when a channel or the join changes its meaning.
_FORMAT = 6
HASHES = "hashes"  # in ``config.data.prepared``


def prepare(config: DataConfig, progress: Progress, *, trusted: bool = True) -> Path:
    """Builds the prepared set of ``config`` unless there is one.

    A set's name contains a hash of the raw files' content and of the settings that shape the rows,
    so changed data gives a new set. It is written aside and renamed, so it is complete or absent.
    What texts say and files hold is stored by content, so nothing is embedded or decoded twice.

    Args:
      config: source, root and settings.
      progress: shows how far it is.
      trusted: whether a file of the same size and time of change is taken for unchanged.

    Returns:
      The folder, for ``store.load``.

    Raises:
      InputError: unknown source, raw data that breaks the schema, or a full disk.
    """
    source = SOURCES[config.source]
    root, home = Path(config.root), Path(config.prepared)
    hashes = Hashes(home / HASHES, trusted=trusted)
    settings, raw_state = settings_of(config), raw_fingerprint(config, hashes)
    fingerprint = hashlib.sha256(f"{settings} {raw_state}".encode()).hexdigest()
    folder = home / f"{config.source}-{fingerprint[:12]}"
    if not (folder / sums.NAME).exists():
        with files.locked(home):
            if not (folder / sums.NAME).exists():  # no other process built it meanwhile
                if (home / "parts").is_dir():
                    progress.console.print(
                        f"{home}: holds sets of an older version, which are made anew; "
                        "fusionjax prepare --prune shows what may go",
                        soft_wrap=True,
                    )
                raw = source.read(root, config.calendar)
                identity = {
                    "source": config.source,
                    "root": str(root.absolute()),
                    "raw": raw_state,
                    "fingerprint": fingerprint,
                }
                with writing(folder), files.new_folder(folder) as aside:
                    _write(aside, raw, config, hashes, progress, identity)
                    if raw_fingerprint(config, hashes) != raw_state:
                        raise InputError(
                            f"{root}: its files changed while they were read; run again"
                        )
    hashes.save()
    return folder


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Raises InputError where ``folder`` cannot be written meanwhile, as on a full disk."""
    try:
        yield
    except OSError as e:
        raise InputError(
            f"{folder}: cannot be written ({e.strerror or e}); make room there or set "
            "config.data.prepared, then run the same command: what is finished is kept"
        ) from e


def settings_of(config: DataConfig) -> str:
    """A hash of the settings that shape the rows."""
    shared = f"{_FORMAT} {config.source} {config.calendar} {config.decision_delay_minutes}"
    digest = hashlib.sha256(shared.encode())
    if config.source == "folder":  # shapes and rates of its decoded files
        sizes = {k: MODALITIES[k].shape(config) for k in media.folders()}
        digest.update(f"{sizes} {config.audio_sample_rate} {config.max_media_seconds}".encode())
        digest.update(f" {config.event_horizons}".encode())
    return digest.hexdigest()


def raw_fingerprint(config: DataConfig, hashes: Hashes) -> str:
    """A hash of names and content of the raw files."""
    root, digest = Path(config.root), hashlib.sha256()
    for path in SOURCES[config.source].files(root):
        if content := hashes.of(path):  # the reader has a better message for a missing file
            inside = path.is_relative_to(root)
            name = str(path.relative_to(root) if inside else path.name)
            digest.update(name.encode() + bytes.fromhex(content))
    return digest.hexdigest()


def _write(
    folder: Path,
    raw: Raw,
    config: DataConfig,
    hashes: Hashes,
    progress: Progress,
    identity: dict[str, Any],
) -> None:
    """Writes the set of some raw tables."""
    root, home = Path(config.root), Path(config.prepared) / contents.HOME

    def content(path: str) -> str:
        return hashes.of(root / path)[:32]

    if raw.documents is not None or raw.media:
        contents.import_tfds(progress)
    decisions = decisions_of(raw, config)
    known = []
    if raw.facts is not None:
        known.append(facts.channels(raw.facts, raw.bars["symbol"], decisions))
    if raw.events is not None:
        exchange, horizons = _exchanges(raw, config), config.event_horizons
        known.append(events.channels(raw.events, raw.bars, decisions, exchange, horizons))
    if known:
        raw = dataclasses.replace(raw, channels=pd.concat([raw.channels, *known], axis=1))
    tables, notes = join.place(raw, decisions, content)
    symbols, columns = _bars(tables, raw)
    manifest: dict[str, Any] = {"contents": {}, "decoded": {}, "media": {}}
    placed: dict[str, pd.DataFrame] = {}
    unusable: list[str] = []
    if len(documents := tables.documents):
        documents = _in_order(documents.rename(columns={"author": "source"}), columns, symbols, [])
        name = manifest["contents"]["text"] = items.text_folder()
        texts = documents["text"].to_numpy(object)  # not as wide as the longest
        keys, features = items.text_features(home / name, texts, progress)
        columns |= {f"text_{n}": x for n, x in features.items()}
        placed["text"] = documents.drop(columns="text").assign(key=keys.astype(str))
        manifest |= {"encoder": text.ENCODER, "encoder_data_cutoff": text.DATA_CUTOFF}
    for kind, table in tables.media.items():
        usable, why = items.decoded(kind, table, config, content, progress)
        unusable += why
        placed[kind] = _in_order(usable, columns, symbols, ["content"])
        manifest["contents"][kind] = items.media_folder(kind, config)
        modality = MODALITIES[kind]
        manifest["decoded"][kind] = [str(np.dtype(modality.dtype)), list(modality.shape(config))]
        manifest["media"][kind] = len(usable)
    manifest |= identity | {
        "rows": len(raw.bars),
        "symbols": symbols.tolist(),
        "channels": list(raw.channels),
        "first": f"{raw.bars['date'].min():%Y-%m-%d}",
        "last": f"{raw.bars['date'].max():%Y-%m-%d}",
        "documents": len(tables.documents),
        "notes": [*raw.notes, *notes, *unusable],
        "misaligned": list(raw.misaligned),
        "late_events": [] if raw.events is None else events.late(raw.events),
        "revised": revisions.of_last_set(home.parent, config.source, raw),
        "sectors": raw.sectors,
        "exchanges": raw.exchanges,
        "sessions": raw.sessions,
    }
    store.write(folder, columns, placed, manifest)


def _exchanges(raw: Raw, config: DataConfig) -> Shaped[np.ndarray, "R"]:
    """The exchange_calendars code of each bar."""
    of, distinct = pd.factorize(raw.bars["symbol"].to_numpy())
    return np.array([raw.exchanges.get(symbol, config.calendar) for symbol in distinct])[of]


def decisions_of(raw: Raw, config: DataConfig) -> Shaped[np.ndarray, "R"]:
    """datetime64[s] of each bar's decision, in UTC: after the close of its own exchange."""
    exchange = _exchanges(raw, config)
    sessions = raw.bars["date"].to_numpy().astype("datetime64[D]")
    out = np.empty(len(sessions), "datetime64[s]")
    for code in np.unique(exchange).tolist():
        rows = np.flatnonzero(exchange == code)
        out[rows] = calendar.decision_times(
            sessions[rows],
            code,
            config.decision_delay_minutes,
            raw.sessions.get(calendar.name(code)),
        )
    return out


def _bars(tables: Tables, raw: Raw) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The symbols, and the columns of bars by symbol and session."""
    bars = tables.bars
    symbols, symbol = np.unique(bars["symbol"].to_numpy(str), return_inverse=True)
    session = bars["session"].to_numpy(np.int64)
    order = np.lexsort((session, symbol))
    prices = bars[["open", "high", "low", "close", "volume"]].to_numpy(np.float32)
    columns = {
        "symbol": symbol.astype(np.int32),
        "session": session,
        "decision_time": bars["decision_time"].to_numpy(np.int64),
        "ohlcv": prices,
        "adj_close": bars["adj_close"].to_numpy(np.float64),
        "subset": bars["subset"].to_numpy(bool),
        "channels": bars.iloc[:, len(bars.columns) - raw.channels.columns.size :].to_numpy(
            np.float32
        ),
    }
    if raw.member is not None:
        columns["member"] = raw.member
    columns = {name: column[order] for name, column in columns.items()}
    return symbols, columns | store.derived_columns(columns["symbol"], columns["session"])


def _in_order(
    table: pd.DataFrame, bars: dict[str, np.ndarray], symbols: np.ndarray, ties: list[str]
) -> pd.DataFrame:
    """Items with the bar that may first use them, by bar and time."""
    symbol = np.searchsorted(symbols, table["symbol"].to_numpy(str))
    keys = _sort_key(symbol, table["session"].to_numpy(np.int64))
    bar = np.searchsorted(_sort_key(bars["symbol"], bars["session"]), keys)
    placed = table.assign(bar=bar).sort_values(["bar", "available_time", *ties, "tie"])
    return placed.drop(columns=["symbol", "session", "tie"]).reset_index(drop=True)


def _sort_key(symbol: np.ndarray, session: np.ndarray) -> Int64[np.ndarray, "_"]:
    """A key that sorts rows by symbol, then by session."""
    return (symbol.astype(np.int64) << 32) + session
