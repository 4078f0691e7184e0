"""Parts of a prepared set: each written once, never touched again, shared by the sets that grow."""

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


Digests = dict[str, UInt64[np.ndarray, "_"]]  # of rows, by table


@dataclasses.dataclass(frozen=True)
class _Target:
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
        """All rows that there are."""
        tables = {"bars": bars, "documents": documents, **media}
        return Tables(bars, documents, media, {name: _digest(t) for name, t in tables.items()})

    def without(self, known: Digests) -> "Tables":
        """The rows that are not among known digests."""
        none = np.zeros(0, np.uint64)
        return self._take(lambda name, own: np.flatnonzero(~np.isin(own, known.get(name, none))))

    def in_order(self) -> "Tables":
        """The rows in the order of their digests, whatever the order of the raw files."""
        return self._take(lambda name, own: np.argsort(own))

    def _take(self, rows: Callable[[str, np.ndarray], np.ndarray]) -> "Tables":
        at = {name: rows(name, own) for name, own in self.digests.items()}
        return Tables(
            self.bars.iloc[at["bars"]],
            self.documents.iloc[at["documents"]],
            {kind: table.iloc[at[kind]] for kind, table in self.media.items()},
            {name: own[at[name]] for name, own in self.digests.items()},
        )


def _digest(table: pd.DataFrame) -> UInt64[np.ndarray, "_"]:
    row = pd.util.hash_pandas_object(table, index=False)
    again = row.groupby(row).cumcount().to_numpy(np.uint64)
    return row.to_numpy(np.uint64) + again * np.uint64(0x9E3779B97F4A7C15)


def name(tables: Tables, settings: str) -> str:
    """Of the part that would hold these rows: a hash of them."""
    digest = hashlib.sha256(settings.encode())
    for key, rows in sorted(tables.digests.items()):
        digest.update(key.encode() + np.sort(rows).tobytes())
    return digest.hexdigest()[:12]


def digests(part: Path) -> Digests | None:
    """Of the rows that a part holds; None where it is not whole."""
    try:
        with (part / _DIGESTS).open("rb") as raw, np.load(raw, allow_pickle=False) as f:
            held = {key: f[key] for key in f.files}
    except Exception:  # a damaged zip file may raise an error of any class
        return None
    return held if all(x.dtype == np.uint64 and x.ndim == 1 for x in held.values()) else None


def write(
    part: Path,
    tables: Tables,
    root: Path,
    config: DataConfig,
    known: set[str],
    progress: Progress,
) -> Digests:
    """Writes the rows as records; what an interrupted call finished is kept.

    Args:
      part: the folder.
      tables: its rows.
      root: of the raw files.
      config: what files are decoded to, and where embeddings are cached.
      known: kinds of media that earlier parts hold.
      progress: shows how far it is.

    Returns:
      The digests of the rows it holds: all but those whose files could not be used.

    Raises:
      InputError: of a kind that no earlier part holds, no file can be used; or the disk is full.
    """
    held = digests(part)
    if held is not None:
        return held
    tables = tables.in_order()  # that of an interrupted call, whose records are kept
    for cut in part.rglob("incomplete.*"):  # what tfds had begun
        shutil.rmtree(cut)
    # As objects: an array of text would make each as wide as the longest.
    texts = tables.documents["text"].to_numpy(object) if len(tables.documents) else None
    read = None if texts is None else _read_texts(texts, config, progress)
    try:
        return _write_tables(_Target(part, root, config, progress), tables, read, known)
    except (OSError, RuntimeError) as e:  # the record writer raises no OSError
        why = str(e).strip().partition("\n")[0]
        raise InputError(
            f"{part}: cannot be written ({why}); make room there or set config.data.prepared, then "
            "run the same command: what is finished is kept"
        ) from e


def _read_texts(texts: np.ndarray, config: DataConfig, progress: Progress) -> dict[str, np.ndarray]:
    """What is kept of each text beside itself."""
    embedding, lexicon = text.featurise(texts, Path(config.prepared) / "text_cache", progress)
    return {"embedding": embedding, "lexicon": lexicon, "tokens": text.tokenise(texts)}


def _write_tables(
    to: _Target, tables: Tables, read: dict[str, np.ndarray] | None, known: set[str]
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
    if read is not None:
        _write(
            documents_dataset_builder.Builder(
                rows=_document_rows(tables.documents, read),
                **{name: x.shape[1] for name, x in read.items()},
                data_dir=to.part,
                file_format="array_record",
            )
        )
    kept = dict(tables.digests)
    for kind, items in tables.media.items():
        if len(items):
            listed = _write_media(to, kind, items, kind not in known)
            used = (listed["record"] >= 0).to_numpy()
            kept[kind] = kept[kind][used]  # the others are tried again
    with files.replaced(to.part / _DIGESTS) as f:
        np.savez(f, **kept)  # type: ignore[arg-type]
    return kept


def set_aside(part: Path, kind: str) -> dict[str, str]:
    """The files of a part that could not be used, and why."""
    listed = part / kind / "items.parquet"
    if not listed.exists():
        return {}
    table = pd.read_parquet(listed)
    bad = table[table["record"] < 0].drop_duplicates("path")
    return dict(zip(bad["path"], bad["why"], strict=True))


def _write_media(to: _Target, kind: str, items: pd.DataFrame, needed: bool) -> pd.DataFrame:
    """Decodes the files of one kind, once each, into records and a table of what each is.

    Returns:
      The table: each item's record and length, or -1 and why its file was set aside.
    """
    from fusionjax.data.builder.media import media_dataset_builder

    folder, root = to.part / kind, to.root
    listed = folder / "items.parquet"
    if listed.exists():
        return pd.read_parquet(listed)
    # It is written last: what lies there without it was interrupted.
    shutil.rmtree(folder, ignore_errors=True)
    decode = media.decoder(kind, to.config)
    paths = items["path"].drop_duplicates()
    lengths: dict[str, int] = {}
    bad: dict[str, str] = {}

    def rows() -> Iterator[dict]:
        bar = to.progress.add_task(f"decoding {kind}", total=len(paths), note="")
        for path in paths:
            to.progress.advance(bar)
            try:
                data, lengths[path] = decode(root / path)
            except media.Undecodable as e:
                bad[path] = str(e)
                continue
            yield {"data": data}

    decoded = rows()
    first = next(decoded, None)
    if first is not None:
        _write(
            media_dataset_builder.Builder(
                rows=itertools.chain([first], decoded),
                shape=MODALITIES[kind].shape(to.config),
                dtype=np.dtype(MODALITIES[kind].dtype).type,
                data_dir=folder,
                file_format="array_record",
            )
        )
    elif needed:
        path, why = next(iter(bad.items()))
        raise InputError(
            f"{root}: none of the {len(paths)} files of kind {kind} can be used; {path}: {why}"
        )
    record = {path: i for i, path in enumerate(lengths)}
    table = items[_ITEM].assign(
        record=[record.get(path, -1) for path in items["path"]],
        length=[lengths.get(path, 0) for path in items["path"]],
        why=[bad.get(path, "") for path in items["path"]],
    )
    with files.replaced(listed) as f:
        table.to_parquet(f, index=False)
    return table


def _write(builder: "GeneratorBasedBuilder") -> None:
    import tensorflow_datasets as tfds

    # tfds draws its own bars on stderr, which would tear ours.
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


def _document_rows(documents: pd.DataFrame, read: dict[str, np.ndarray]) -> Iterator[dict]:
    names = ("symbol", "session", "event_time", "available_time", "author", "text")
    columns = [documents[name] for name in names]
    for cells in zip(*columns, *read.values(), strict=True):
        yield dict(zip((*names, *read), cells, strict=True))
