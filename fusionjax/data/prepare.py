"""Raw files to a prepared set: validated, joined in time, one record a row, with a fingerprint."""

import contextlib
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds
from rich.progress import Progress

from fusionjax import files
from fusionjax.config import DataConfig
from fusionjax.data import calendar, text
from fusionjax.data.builder.bars import bars_dataset_builder
from fusionjax.data.builder.documents import documents_dataset_builder
from fusionjax.data.sources import Raw, acl18, sp500
from fusionjax.errors import InputError

_SOURCES: dict[str, ModuleType] = {"sp500": sp500, "acl18": acl18}
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
    folder = Path(config.prepared) / f"{config.source}-{fingerprint[:12]}"
    if (folder / "manifest.json").exists():
        return folder
    raw = source.read(root)
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
        "notes": list(raw.notes),
    }
    at = decisions[np.searchsorted(days, sessions)]
    _write(
        bars_dataset_builder.Builder(
            rows=_bar_rows(raw, at),
            channels=len(raw.channels.columns),
            data_dir=folder,
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
                data_dir=folder,
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
    files.write_text(folder / "manifest.json", json.dumps(manifest, indent=2))
    return folder


def _fingerprint(config: DataConfig, files: list[Path]) -> str:
    digest = hashlib.sha256(f"{_FORMAT} {config.calendar} {config.decision_delay_minutes}".encode())
    for path in files:
        if path.exists():  # the reader says better what a missing file means
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


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
    """Gives each text the first bar of its symbol that decides at or after its available_time.

    Returns:
      The texts that have such a bar, ordered by bar and time, and how many have none yet.
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
