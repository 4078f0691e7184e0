"""Parts of a prepared set: written once, never changed, shared by the sets that grow from them."""

import contextlib
import dataclasses
import hashlib
import io
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import UInt64
from rich.progress import Progress

from fusionjax import files
from fusionjax.config import DataConfig
from fusionjax.data import media, text
from fusionjax.errors import InputError
from fusionjax.registry import MODALITIES

if TYPE_CHECKING:
    from tensorflow_datasets.core import GeneratorBasedBuilder

_PRICES = ["open", "high", "low", "close", "volume"]
_BAR = ["symbol", "session", "decision_time", *_PRICES, "adj_close", "subset"]  # then the channels
_ITEM = ["symbol", "session", "event_time", "available_time", "source", "path", "content"]
_DIGESTS = "digests.npz"  # written last: a part without it was interrupted


Digests = dict[str, UInt64[np.ndarray, "_"]]  # row hashes, by table


@dataclasses.dataclass(frozen=True)
class _Destination:
    """Where a part goes, where its raw files are, and how they are decoded."""

    part: Path
    root: Path
    config: DataConfig
    progress: Progress


@dataclasses.dataclass(frozen=True)
class Tables:
    """Rows of a set, placed in time: bars, texts and items by kind. Times are whole seconds."""

    bars: pd.DataFrame
    documents: pd.DataFrame
    media: dict[str, pd.DataFrame]
    digests: Digests  # a hash of each row's content; equal rows have different ones

    @staticmethod
    def of(bars: pd.DataFrame, documents: pd.DataFrame, media: dict[str, pd.DataFrame]) -> "Tables":
        """Tables of these rows, with their digests."""
        tables = {"bars": bars, "documents": documents, **media}
        return Tables(bars, documents, media, {name: _digest(t) for name, t in tables.items()})

    def without(self, known: Digests) -> "Tables":
        """The rows whose digests are not ``known``."""
        empty = np.zeros(0, np.uint64)
        return self._take(lambda name, own: np.flatnonzero(~np.isin(own, known.get(name, empty))))

    def in_order(self) -> "Tables":
        """The rows in the order of their digests, whatever the order of the raw files."""
        return self._take(lambda name, own: np.argsort(own))

    def _take(self, rows: Callable[[str, np.ndarray], np.ndarray]) -> "Tables":
        at = {name: rows(name, digests) for name, digests in self.digests.items()}
        return Tables(
            self.bars.iloc[at["bars"]],
            self.documents.iloc[at["documents"]],
            {kind: table.iloc[at[kind]] for kind, table in self.media.items()},
            {name: digests[at[name]] for name, digests in self.digests.items()},
        )


def _digest(table: pd.DataFrame) -> UInt64[np.ndarray, "_"]:
    row_hash = pd.util.hash_pandas_object(table, index=False)
    occurrence = row_hash.groupby(row_hash).cumcount().to_numpy(np.uint64)
    return row_hash.to_numpy(np.uint64) + occurrence * np.uint64(0x9E3779B97F4A7C15)


def name(tables: Tables, settings: str) -> str:
    """Name of the part that holds these rows: a hash of their digests and the settings."""
    digest = hashlib.sha256(settings.encode())
    for key, rows in sorted(tables.digests.items()):
        digest.update(key.encode() + np.sort(rows).tobytes())
    return digest.hexdigest()[:12]


def digests(part: Path) -> Digests | None:
    """The digests stored in a part; None if it is incomplete or damaged."""
    stored = files.arrays(part / _DIGESTS)
    if stored is None:
        return None
    return stored if all(x.dtype == np.uint64 and x.ndim == 1 for x in stored.values()) else None


def write(
    part: Path,
    tables: Tables,
    root: Path,
    config: DataConfig,
    known: set[str],
    progress: Progress,
) -> Digests:
    """Writes the rows as records; an interrupted call is continued.

    Args:
      part: the folder.
      tables: its rows.
      root: of the raw files.
      config: what files are decoded to, and where embeddings are cached.
      known: kinds of media that earlier parts have.
      progress: shows how far it is.

    Returns:
      The digests of the rows written: all except those whose files could not be used.

    Raises:
      InputError: the disk is full, or no file of a kind can be used and no earlier part has one.
    """
    stored = digests(part)
    if stored is not None:
        return stored
    tables = tables.in_order()  # as an interrupted call had them: its finished records are kept
    for unfinished in part.rglob("incomplete.*"):  # by tfds
        shutil.rmtree(unfinished)
    # An array of fixed-width strings would make each text as wide as the longest.
    texts = tables.documents["text"].to_numpy(object) if len(tables.documents) else None
    features = None if texts is None else _text_features(texts, config, progress)
    try:
        return _write_tables(_Destination(part, root, config, progress), tables, features, known)
    except (OSError, RuntimeError) as e:  # the record writer raises RuntimeError
        reason = str(e).strip().partition("\n")[0]
        raise InputError(
            f"{part}: cannot be written ({reason}); make room there or set config.data.prepared, "
            "then run the same command: what is finished is kept"
        ) from e


def _text_features(
    texts: np.ndarray, config: DataConfig, progress: Progress
) -> dict[str, np.ndarray]:
    """Embedding, lexicon scores and tokens of each text."""
    embedding, lexicon = text.featurise(texts, Path(config.prepared) / "text_cache", progress)
    return {"embedding": embedding, "lexicon": lexicon, "tokens": text.tokenise(texts)}


def _write_tables(
    to: _Destination, tables: Tables, features: dict[str, np.ndarray] | None, known: set[str]
) -> Digests:
    from fusionjax.data.builder.bars import bars_dataset_builder
    from fusionjax.data.builder.documents import documents_dataset_builder

    if len(tables.bars):
        _write(
            bars_dataset_builder.Builder(
                rows=_bar_rows(tables.bars),
                channels=len(tables.bars.columns) - len(_BAR),
                data_dir=to.part,
                file_format="array_record",
            )
        )
    if features is not None:
        _write(
            documents_dataset_builder.Builder(
                rows=_document_rows(tables.documents, features),
                **{name: x.shape[1] for name, x in features.items()},
                data_dir=to.part,
                file_format="array_record",
            )
        )
    written = dict(tables.digests)
    for kind, items in tables.media.items():
        if len(items):
            table = _write_media(to, kind, items, kind not in known)
            used = (table["record"] >= 0).to_numpy()
            written[kind] = written[kind][used]  # the others are tried again with the next part
    with files.replaced(to.part / _DIGESTS) as f:
        np.savez(f, **written)  # type: ignore[arg-type]
    return written


def set_aside(part: Path, kind: str) -> dict[str, str]:
    """The files of one kind in a part that could not be used, and why."""
    path = part / kind / "items.parquet"
    if not path.exists():
        return {}
    table = pd.read_parquet(path)
    unusable = table[table["record"] < 0].drop_duplicates("path")
    return dict(zip(unusable["path"], unusable["why"], strict=True))


def _write_media(to: _Destination, kind: str, items: pd.DataFrame, needed: bool) -> pd.DataFrame:
    """Decodes each file of one kind once into a record, and lists the items.

    Returns:
      The list: each item's record and length, or record -1 and why its file cannot be used.
    """
    from fusionjax.data.builder.media import media_dataset_builder

    folder, root = to.part / kind, to.root
    table_path = folder / "items.parquet"
    if table_path.exists():
        return pd.read_parquet(table_path)
    # The table is written last: without it the folder was left by an interrupted call.
    shutil.rmtree(folder, ignore_errors=True)
    modality = MODALITIES[kind]
    paths = items["path"].drop_duplicates()
    known: dict[str, dict] = {}  # what is known of each usable file
    unusable: dict[str, str] = {}

    def rows() -> Iterator[dict]:
        bar = to.progress.add_task(f"decoding {kind}", total=len(paths), note="")
        found = media.decoded(kind, to.config, (root / path for path in paths))
        for path, file in zip(paths, found, strict=True):
            to.progress.advance(bar)
            if isinstance(file, media.Undecodable):
                unusable[path] = str(file)
                continue
            known[path] = {
                "record": len(known),
                "length": file.length,
                "decoded": file.digest,
                "flaw": file.flaw,
            }
            yield {"data": file.data}

    decoded = rows()
    first = next(decoded, None)
    if first is not None:
        _write(
            media_dataset_builder.Builder(
                rows=itertools.chain([first], decoded),
                shape=modality.shape(to.config),
                dtype=np.dtype(modality.dtype).type,
                data_dir=folder,
                file_format="array_record",
            )
        )
    elif needed:
        path, why = next(iter(unusable.items()))
        raise InputError(
            f"{root}: none of the {len(paths)} files of kind {kind} can be used; {path}: {why}"
        )
    none = {"record": -1, "length": 0, "decoded": "", "flaw": ""}
    rows_of = [known.get(path, none) for path in items["path"]]
    columns = {name: [row[name] for row in rows_of] for name in none}
    columns["why"] = [unusable.get(path, "") for path in items["path"]]
    table = items[_ITEM].assign(**columns)
    with files.replaced(table_path) as f:
        table.to_parquet(f, index=False)
    return table


def _write(builder: "GeneratorBasedBuilder") -> None:
    import tensorflow_datasets as tfds

    # tfds draws progress bars of its own on stderr, across ours.
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        tfds.disable_progress_bar()
        builder.download_and_prepare()


def _bar_rows(bars: pd.DataFrame) -> Iterator[dict]:
    fields = ("symbol", "session", "decision_time", "adj_close", "subset")
    columns = [bars[name] for name in fields]
    prices = bars[_PRICES].to_numpy(np.float32)
    channels = bars.drop(columns=_BAR).to_numpy(np.float32)
    for *cells, ohlcv, values in zip(*columns, prices, channels, strict=True):
        yield {**dict(zip(fields, cells, strict=True)), "ohlcv": ohlcv, "channels": values}


def _document_rows(documents: pd.DataFrame, features: dict[str, np.ndarray]) -> Iterator[dict]:
    names = ("symbol", "session", "event_time", "available_time", "author", "text")
    columns = [documents[name] for name in names]
    for cells in zip(*columns, *features.values(), strict=True):
        yield dict(zip((*names, *features), cells, strict=True))
