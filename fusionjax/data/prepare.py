"""Raw files to a prepared set: validated, joined in time, one record a row, with a fingerprint."""

import contextlib
import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds
from rich.progress import Progress

from fusionjax import files
from fusionjax.config import DataConfig
from fusionjax.data import calendar, media, text
from fusionjax.data.builder.bars import bars_dataset_builder
from fusionjax.data.builder.documents import documents_dataset_builder
from fusionjax.data.builder.media import media_dataset_builder
from fusionjax.data.sources import Raw, acl18, folder, sp500
from fusionjax.errors import InputError

_SOURCES: dict[str, ModuleType] = {"sp500": sp500, "acl18": acl18, "folder": folder}
# Part of every fingerprint: raise it when a feature or the join changes its meaning.
_FORMAT = 1


def prepare(config: DataConfig, progress: Progress) -> Path:
    """Makes the prepared set of ``config``, or finds it made already.

    The folder's name holds a hash of the raw files' content and of the settings that shape the
    rows, so that changed data never meets an old set. It appears whole or not at all: the manifest
    is written last.

    Returns:
      The folder, for ``store.load``.

    Raises:
      InputError: unknown source, or raw data that breaks the schema.
    """
    source = _SOURCES.get(config.source)
    if source is None:
        raise InputError(
            f"config.data.source is {config.source!r}; expected one of {', '.join(_SOURCES)}"
        )
    root = Path(config.root)
    fingerprint = _fingerprint(config, source.files(root))
    made = Path(config.prepared) / f"{config.source}-{fingerprint[:12]}"
    if (made / "manifest.json").exists():
        return made
    raw = source.read(root, config.calendar)
    bars = raw.bars
    sessions = bars["date"].to_numpy().astype("datetime64[D]")
    days = np.unique(sessions)
    decisions = calendar.decision_times(days, config.calendar, config.decision_delay_minutes)
    manifest = {
        "source": config.source,
        "fingerprint": fingerprint,
        "channels": list(raw.channels),
        "rows": len(bars),
        "symbols": bars["symbol"].nunique(),
        "first": str(days[0]),
        "last": str(days[-1]),
        "documents": 0,
        "media": {},
        "notes": list(raw.notes),
    }
    at = decisions[np.searchsorted(days, sessions)]
    _write(
        bars_dataset_builder.Builder(
            rows=_bar_rows(raw, at),
            channels=len(raw.channels.columns),
            data_dir=made,
            file_format="array_record",
        )
    )
    if raw.documents is not None:
        documents, late = _join(raw.documents, bars, at)
        embedding, lexicon = text.featurise(
            documents["text"].to_numpy(str), Path(config.prepared) / "text_cache", progress
        )
        _write(
            documents_dataset_builder.Builder(
                rows=_document_rows(documents, embedding, lexicon),
                embedding=embedding.shape[1],
                lexicon=lexicon.shape[1],
                data_dir=made,
                file_format="array_record",
            )
        )
        manifest |= {
            "documents": len(documents),
            "encoder": text.ENCODER,
            "encoder_data_cutoff": text.DATA_CUTOFF,
        }
        if late:
            manifest["notes"].append(f"{late} texts after their symbol's last decision: not used")
    for kind, items in raw.media.items():
        joined, late = _join(items, bars, at)
        if len(joined):
            kept, set_aside = _write_media(kind, joined, root, config, made, progress)
            manifest["media"][kind] = kept
            manifest["notes"] += [f"{kind} {name}: {why}" for name, why in set_aside.items()]
        if late:
            manifest["notes"].append(f"{late} items of {kind} after the last decision: not used")
    files.write_text(made / "manifest.json", json.dumps(manifest, indent=2))
    return made


def _fingerprint(config: DataConfig, files: list[Path]) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {config.calendar} {config.decision_delay_minutes}".encode())
    if config.source == "folder":  # what its files are decoded to
        sizes = {k: media.shape(k, config) for k in media.KINDS}
        digest.update(f"{sizes} {config.audio_hertz} {config.media_seconds}".encode())
    for path in files:
        if path.exists():  # the reader says better what a missing file means
            digest.update(path.name.encode())
            with path.open("rb") as f:
                digest.update(hashlib.file_digest(f, "sha256").digest())
    return digest.hexdigest()


def _write_media(
    kind: str,
    items: pd.DataFrame,
    root: Path,
    config: DataConfig,
    made: Path,
    progress: Progress,
) -> tuple[int, dict[str, str]]:
    """Decodes the files of one kind, once each, into records and a table of what each is.

    A file that cannot be decoded is set aside, and so are its items.

    Returns:
      How many items there are, and why each bad file was set aside.
    """
    listed = made / kind / "items.parquet"
    if not listed.exists():  # it is written last: what lies there without it was interrupted
        shutil.rmtree(made / kind, ignore_errors=True)
        decoded = _decode_all(kind, items, root, config, made, progress)
        with files.replaced(listed) as f:
            decoded.to_parquet(f, index=False)
    table = pd.read_parquet(listed)
    bad = table[table["record"] < 0].drop_duplicates("path")
    kept = int((table["record"] >= 0).sum())
    return kept, dict(zip(bad["path"], bad["why"], strict=True))


def _decode_all(
    kind: str, items: pd.DataFrame, root: Path, config: DataConfig, made: Path, progress: Progress
) -> pd.DataFrame:
    """Writes the records; returns what each item is, with ``record`` -1 where it is set aside."""
    decode = media.decoder(kind, config)
    paths = items["path"].drop_duplicates()
    lengths: dict[str, int] = {}
    bad: dict[str, str] = {}

    def rows() -> Iterator[dict]:
        bar = progress.add_task(f"decoding {kind}", total=len(paths), note="")
        for name in paths:
            progress.advance(bar)
            try:
                data, lengths[name] = decode(root / name)
            except media.Undecodable as e:
                bad[name] = str(e)
                continue
            yield {"data": data}
        if not lengths:
            name, why = next(iter(bad.items()))
            raise InputError(
                f"{root}: none of the {len(paths)} files of kind {kind} can be used; {name}: {why}"
            )

    _write(
        media_dataset_builder.Builder(
            rows=rows(),
            shape=media.shape(kind, config),
            dtype=media.DTYPES[kind],
            data_dir=made / kind,
            file_format="array_record",
        )
    )
    record = {name: i for i, name in enumerate(lengths)}
    return items[["bar", "available_time", "symbol", "source", "path"]].assign(
        record=[record.get(name, -1) for name in items["path"]],
        length=[lengths.get(name, 0) for name in items["path"]],
        why=[bad.get(name, "") for name in items["path"]],
    )


def _write(builder: tfds.core.GeneratorBasedBuilder) -> None:
    # tfds draws its own bars on stderr, which would tear ours.
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        tfds.disable_progress_bar()
        builder.download_and_prepare()


def _bar_rows(raw: Raw, decision: np.ndarray) -> Iterator[dict]:
    columns = (
        raw.bars["symbol"],
        raw.bars["date"].to_numpy().astype("datetime64[D]").astype(int),
        decision.astype(int),
        raw.bars[["open", "high", "low", "close", "volume"]].to_numpy(np.float32),
        raw.bars["adj_close"].to_numpy(float),
        raw.subset,
        raw.channels.to_numpy(np.float32),
    )
    names = ("symbol", "session", "decision_time", "ohlcv", "adj_close", "subset", "channels")
    for cells in zip(*columns, strict=True):
        yield dict(zip(names, cells, strict=True))


def _join(
    documents: pd.DataFrame, bars: pd.DataFrame, decision: np.ndarray
) -> tuple[pd.DataFrame, int]:
    """Gives each item the first bar of its symbol that decides at or after its available_time.

    Returns:
      The items that have such a bar, ordered by bar and time, and how many have none yet.
    """
    available = (
        documents["available_time"]
        .dt.ceil("s")  # never usable before its last fraction of a second
        .dt.tz_convert("UTC")
        .dt.tz_localize(None)
        .to_numpy()
        .astype("datetime64[s]")
    )
    bar = np.full(len(documents), -1)
    rows_of = bars.groupby("symbol").indices
    for symbol, rows in documents.groupby("symbol").indices.items():
        own = rows_of[symbol]
        first = calendar.first_session_after(available[rows], decision[own])
        in_time = first < len(own)
        bar[rows[in_time]] = own[first[in_time]]
    joined = documents.assign(available_time=available, bar=bar)[bar >= 0]
    joined = joined.sort_values(["bar", "available_time"], kind="stable", ignore_index=True)
    return joined, int((bar < 0).sum())


def _document_rows(
    documents: pd.DataFrame, embedding: np.ndarray, lexicon: np.ndarray
) -> Iterator[dict]:
    columns = (
        documents["bar"].to_numpy(),
        documents["available_time"].to_numpy().astype("datetime64[s]").astype(int),
        documents["author"].astype(str),
        documents["text"],
        embedding,
        lexicon,
    )
    names = ("bar", "available_time", "author", "text", "embedding", "lexicon")
    for cells in zip(*columns, strict=True):
        yield dict(zip(names, cells, strict=True))
