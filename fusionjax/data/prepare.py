"""Turns raw files into a prepared set: validates, joins in time, writes one record a row."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import Progress

from fusionjax import files
from fusionjax.config import DataConfig
from fusionjax.data import calendar, join, media, parts, revisions, text
from fusionjax.data.parts import Digests
from fusionjax.data.sources import Raw
from fusionjax.errors import InputError
from fusionjax.registry import MODALITIES, SOURCES

# Part of every fingerprint: raise it when a feature or the join changes its meaning.
_FORMAT = 5


def prepare(config: DataConfig, progress: Progress) -> Path:
    """Builds the prepared set of ``config`` unless there is one.

    A set is a manifest that lists parts. Its name contains a hash of the raw files' content and
    of the settings that shape the rows, so changed data gives a new set. The manifest is written
    last, so a set is complete or absent. If all rows of an earlier set are unchanged, its parts
    are shared and only the new rows are written.

    Returns:
      The folder, for ``store.load``.

    Raises:
      InputError: unknown source, or raw data that breaks the schema.
    """
    source = SOURCES[config.source]
    root, home = Path(config.root), Path(config.prepared)
    settings = _settings(config)
    fingerprint = _fingerprint(settings, root, source.files(root))
    folder = home / f"{config.source}-{fingerprint[:12]}"
    if _read_set(folder) is None:
        with files.locked(home):
            if _read_set(folder) is None:  # no other process built it meanwhile
                raw = source.read(root, config.calendar)
                manifest = _extend(raw, config, settings, progress)
                manifest |= {"source": config.source, "fingerprint": fingerprint}
                if _fingerprint(settings, root, source.files(root)) != fingerprint:
                    raise InputError(f"{root}: its files changed while they were read; run again")
                files.write_text(folder / "manifest.json", json.dumps(manifest, indent=2))
    return folder


def _extend(raw: Raw, config: DataConfig, settings: str, progress: Progress) -> dict:
    """Writes the rows that the largest usable earlier set lacks; returns the new manifest."""
    root, home = Path(config.root), Path(config.prepared)
    tables, late = join.place(raw, root, _decisions(raw, config))
    parent, parent_digests = _largest_subset(home, settings, tables.digests)
    new = tables.without(parent_digests)
    part_names, added, unusable = parent.get("parts", []), {}, []
    if any(len(rows) for rows in new.digests.values()):
        part = home / "parts" / parts.name(new, settings)
        known = {kind for kind, rows in parent_digests.items() if len(rows)}
        added = parts.write(part, new, root, config, known, progress)
        part_names = [*part_names, part.name]
        unusable = [
            f"{kind} {name}: {why}"
            for kind in new.media
            for name, why in parts.set_aside(part, kind).items()
        ]
    items = {k: len(parent_digests.get(k, ())) + len(added.get(k, ())) for k in tables.media}
    manifest = {
        "settings": settings,
        "grown_from": parent.get("fingerprint"),
        "parts": part_names,
        "channels": list(raw.channels),
        "rows": len(raw.bars),
        "symbols": raw.bars["symbol"].nunique(),
        "first": f"{raw.bars['date'].min():%Y-%m-%d}",
        "last": f"{raw.bars['date'].max():%Y-%m-%d}",
        "documents": len(tables.documents),
        "media": {kind: count for kind, count in items.items() if count},
        "notes": [*raw.notes, *late, *unusable],
        "misaligned": list(raw.misaligned),
        "revised": [] if parent else revisions.of_last_set(home, config.source, raw),
        "sectors": raw.sectors,
        "exchanges": raw.exchanges,
        "sessions": raw.sessions,
    }
    if len(tables.documents):
        manifest |= {"encoder": text.ENCODER, "encoder_data_cutoff": text.DATA_CUTOFF}
    return manifest


def _decisions(raw: Raw, config: DataConfig) -> np.ndarray:
    """datetime64[s] of each bar's decision, in UTC: after the close of its own exchange."""
    symbols = raw.bars["symbol"].to_numpy()
    sessions = raw.bars["date"].to_numpy().astype("datetime64[D]")
    of, distinct = pd.factorize(symbols)
    exchange = np.array([raw.exchanges.get(symbol, config.calendar) for symbol in distinct])
    out = np.empty(len(symbols), "datetime64[s]")
    for code in np.unique(exchange).tolist():
        rows = np.flatnonzero((exchange == code)[of])
        out[rows] = calendar.decision_times(
            sessions[rows],
            code,
            config.decision_delay_minutes,
            raw.sessions.get(calendar.name(code)),
        )
    return out


def _settings(config: DataConfig) -> str:
    """A hash of the settings that shape the rows."""
    shared = f"{_FORMAT} {config.source} {config.calendar} {config.decision_delay_minutes}"
    digest = hashlib.sha256(shared.encode())
    if config.source == "folder":  # shapes and rates of its decoded files
        sizes = {k: MODALITIES[k].shape(config) for k in media.folders()}
        digest.update(f"{sizes} {config.audio_sample_rate} {config.max_media_seconds}".encode())
    return digest.hexdigest()


def _fingerprint(settings: str, root: Path, raw: list[Path]) -> str:
    digest = hashlib.sha256(settings.encode())
    for path in raw:
        if path.exists():  # the reader has a better message for a missing file
            inside = path.is_relative_to(root)
            digest.update(str(path.relative_to(root) if inside else path.name).encode())
            with path.open("rb") as f:
                digest.update(hashlib.file_digest(f, "sha256").digest())
    return digest.hexdigest()


def _read_set(folder: Path) -> tuple[dict, list[Digests]] | None:
    """The manifest of a set and the digests of its parts; None unless all are complete."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, json.JSONDecodeError):
        return None
    if "parts" not in manifest:  # a set of an older format
        return None
    digests = [parts.digests(folder.parent / "parts" / name) for name in manifest["parts"]]
    complete = [r for r in digests if r is not None]
    return (manifest, complete) if len(complete) == len(digests) else None


def _largest_subset(home: Path, settings: str, wanted: Digests) -> tuple[dict, Digests]:
    """Manifest and digests of the largest earlier set whose rows are all ``wanted``; else empty."""
    best: tuple[int, dict, Digests] = (0, {}, {})
    for path in sorted(home.glob("*/manifest.json")):
        stored = _read_set(path.parent)
        if stored is None or stored[0].get("settings") != settings:
            continue
        manifest, by_part = stored
        names = {name for digests in by_part for name in digests}
        joined = {n: np.concatenate([d[n] for d in by_part if n in d]) for n in names}
        count = sum(map(len, joined.values()))
        is_subset = all(np.isin(rows, wanted.get(n, [])).all() for n, rows in joined.items())
        if is_subset and count > best[0]:
            best = (count, manifest, joined)
    return best[1], best[2]
