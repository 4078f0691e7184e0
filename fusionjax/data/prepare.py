"""Raw files to a prepared set: validated, joined in time, one record a row, with a fingerprint."""

import hashlib
import json
from pathlib import Path

import numpy as np
from rich.progress import Progress

from fusionjax import files
from fusionjax.config import DataConfig
from fusionjax.data import calendar, join, media, parts, text
from fusionjax.data.parts import Digests
from fusionjax.data.sources import Raw
from fusionjax.errors import InputError
from fusionjax.registry import MODALITIES, SOURCES

# Part of every fingerprint: raise it when a feature or the join changes its meaning.
_FORMAT = 4


def prepare(config: DataConfig, progress: Progress) -> Path:
    """Builds the prepared set of ``config`` unless there is one.

    A set is a manifest that lists parts. Its name holds a hash of the raw files' content and of
    the settings that shape the rows, so changed data never meets an old set; it appears whole or
    not at all, as the manifest is written last. Where all rows of an earlier set are still there
    as they were, its parts are shared and only what is new is written.

    Returns:
      The folder, for ``store.load``.

    Raises:
      InputError: unknown source, or raw data that breaks the schema.
    """
    source = SOURCES[config.source]
    root, home = Path(config.root), Path(config.prepared)
    settings = _settings(config)
    fingerprint = _fingerprint(settings, root, source.files(root))
    made = home / f"{config.source}-{fingerprint[:12]}"
    if _held(made) is None:
        with files.locked(home):
            if _held(made) is None:  # not made by another process since
                raw = source.read(root, config.calendar)
                manifest = _grow(raw, config, settings, progress)
                manifest |= {"source": config.source, "fingerprint": fingerprint}
                if _fingerprint(settings, root, source.files(root)) != fingerprint:
                    raise InputError(f"{root}: its files changed while they were read; run again")
                files.write_text(made / "manifest.json", json.dumps(manifest, indent=2))
    return made


def _grow(raw: Raw, config: DataConfig, settings: str, progress: Progress) -> dict:
    """Adds what is new to the largest set that fits; returns the manifest of the grown one."""
    root, home = Path(config.root), Path(config.prepared)
    sessions = raw.bars["date"].to_numpy().astype("datetime64[D]")
    days, day = np.unique(sessions, return_inverse=True)
    decisions = calendar.decision_times(days, config.calendar, config.decision_delay_minutes)
    tables, late = join.place(raw, root, decisions[day])
    parent, held = _grown_from(home, settings, tables.digests)
    new = tables.without(held)
    chain, added, aside = parent.get("parts", []), {}, []
    if any(len(rows) for rows in new.digests.values()):
        part = home / "parts" / parts.name(new, settings)
        known = {kind for kind, rows in held.items() if len(rows)}
        added = parts.write(part, new, root, config, known, progress)
        chain = [*chain, part.name]
        aside = [
            f"{kind} {name}: {why}"
            for kind in new.media
            for name, why in parts.set_aside(part, kind).items()
        ]
    items = {k: len(held.get(k, ())) + len(added.get(k, ())) for k in tables.media}
    manifest = {
        "settings": settings,
        "grown_from": parent.get("fingerprint"),
        "parts": chain,
        "channels": list(raw.channels),
        "rows": len(raw.bars),
        "symbols": raw.bars["symbol"].nunique(),
        "first": str(days[0]),
        "last": str(days[-1]),
        "documents": len(tables.documents),
        "media": {kind: count for kind, count in items.items() if count},
        "notes": [*raw.notes, *late, *aside],
        "misaligned": list(raw.misaligned),
        "sectors": raw.sectors,
    }
    if len(tables.documents):
        manifest |= {"encoder": text.ENCODER, "encoder_data_cutoff": text.DATA_CUTOFF}
    return manifest


def _settings(config: DataConfig) -> str:
    """A hash of what shapes the rows beside the raw files."""
    shared = f"{_FORMAT} {config.source} {config.calendar} {config.decision_delay_minutes}"
    digest = hashlib.sha256(shared.encode())
    if config.source == "folder":  # what its files are decoded to
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


def _held(made: Path) -> tuple[dict, list[Digests]] | None:
    """The manifest of a set and the rows of its parts; None where it is not there with them all."""
    try:
        manifest = json.loads((made / "manifest.json").read_text())
    except (OSError, json.JSONDecodeError):
        return None
    if "parts" not in manifest:  # a set of an older format
        return None
    rows = [parts.digests(made.parent / "parts" / name) for name in manifest["parts"]]
    whole = [r for r in rows if r is not None]
    return (manifest, whole) if len(whole) == len(rows) else None


def _grown_from(home: Path, settings: str, wanted: Digests) -> tuple[dict, Digests]:
    """The largest earlier set of which every row is wanted, and its rows; or nothing."""
    best: tuple[int, dict, Digests] = (0, {}, {})
    for path in sorted(home.glob("*/manifest.json")):
        found = _held(path.parent)
        if found is None or found[0].get("settings") != settings:
            continue
        manifest, chain = found
        names = {name for digests in chain for name in digests}
        held = {n: np.concatenate([d[n] for d in chain if n in d]) for n in names}
        count = sum(map(len, held.values()))
        within = all(np.isin(rows, wanted.get(n, [])).all() for n, rows in held.items())
        if within and count > best[0]:
            best = (count, manifest, held)
    return best[1], best[2]
