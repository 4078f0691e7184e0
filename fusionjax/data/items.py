"""What texts say and files hold: computed once for each content, whatever sets show it."""

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Shaped
from rich.progress import Progress

from fusionjax.config import DataConfig
from fusionjax.config.sections import STORED_TOKENS
from fusionjax.data import contents, media, text
from fusionjax.errors import InputError
from fusionjax.registry import MODALITIES

# Part of every folder of contents: raise it when a decoder or a feature of texts changes.
_VERSION = 2
# What a part may cost, as an interrupted call loses what is not yet a part: seconds of decoding,
# and characters of texts that are embedded, of which a text has at most ``_READ``.
_SECONDS, _CHARACTERS, _READ = 60, 4_000_000, text.WINDOWS * 500
_OF_FILES = ("length", "decoded", "flaw")
FEATURES = ("embedding", "lexicon", "tokens", "pieces")


def text_folder() -> str:
    """Name of the folder of texts in ``contents.HOME``."""
    return _folder("text", f"{text.ENCODER} {text.LEXICON} {STORED_TOKENS} {text.WINDOWS}")


def media_folder(kind: str, config: DataConfig) -> str:
    """Name of the folder of a kind's decoded files: another one for each shape and rate."""
    rates = f"{config.audio_sample_rate} {config.max_media_seconds}"
    return _folder(kind, f"{MODALITIES[kind].shape(config)} {rates}")


def _folder(kind: str, settings: str) -> str:
    return f"{kind}-{hashlib.sha256(f'{_VERSION} {settings}'.encode()).hexdigest()[:12]}"


def text_features(
    home: Path, texts: np.ndarray, progress: Progress
) -> tuple[Shaped[np.ndarray, "K"], dict[str, np.ndarray]]:
    """Embeds and scores the texts that ``home`` lacks.

    Args:
      home: of the contents.
      texts: strings, repeats allowed.
      progress: shows how far it is.

    Returns:
      The keys of the texts and their ``FEATURES``, row by row.

    Raises:
      InputError: packages are not installed, or a stored part is damaged.
    """
    unique, inverse = np.unique(texts, return_inverse=True)
    store_texts(home, unique, progress)
    keys = np.array([contents.key(t) for t in unique], contents.KEY)
    index = contents.Index.open(home)
    at = index.find(keys)[inverse]
    return keys[inverse], {name: index.column(name, at) for name in FEATURES}


def store_texts(home: Path, unique: Shaped[np.ndarray, "U"], progress: Progress) -> None:
    """Embeds and scores those of some distinct texts that ``home`` lacks, part after part.

    Raises:
      InputError: as ``text_features``.
    """
    keys = np.array([contents.key(t) for t in unique], contents.KEY)
    new = unique[contents.Index.open(home).find(keys) < 0]
    if not len(new):
        return
    bar = progress.add_task("embed texts", total=len(new), note="")
    features = text.featuriser(lambda count: progress.advance(bar, count))
    # Longest last, so that a batch holds texts of one length and little padding.
    sizes = np.array([len(t) for t in new])
    order = np.argsort(sizes, kind="stable")
    new, sizes = new[order], sizes[order]
    pages = (
        np.cumsum(np.minimum(sizes, _READ)) // _CHARACTERS + np.arange(len(new)) // contents.COUNT
    )
    for rows in np.split(np.arange(len(new)), np.flatnonzero(np.diff(pages)) + 1):
        page = [str(t) for t in new[rows]]
        contents.add(home, [contents.key(t) for t in page], page, features(page))
    contents.merge(home)


@dataclasses.dataclass(frozen=True)
class _Files:
    """Files of one kind: by path, relative to ``root``, the hash and the key of their content."""

    kind: str
    root: Path
    home: Path  # of the contents
    hash: dict[str, str]
    key: dict[str, str]


def decoded(
    kind: str,
    items: pd.DataFrame,
    config: DataConfig,
    content: Callable[[str], str],
    progress: Progress,
) -> tuple[pd.DataFrame, list[str]]:
    """Decodes the files of one kind whose content is not stored yet.

    Args:
      kind: of media.
      items: with ``path``, relative to the raw data, and ``content``, its hash.
      config: what files are decoded to, and where they are.
      content: ``content(path)``: the hash of a file as it is now.
      progress: shows how far it is.

    Returns:
      The items that can be used, with ``key``, ``length``, ``decoded`` (a hash of what the file was
      decoded to) and ``flaw`` (why it seems empty), and why each other file cannot.

    Raises:
      InputError: no file can be used, or one changed meanwhile.
    """
    found = _files(kind, items, config)
    home, keys = found.home, found.key
    unusable = _decode_new(found, config, content, progress)
    usable = items[~items["path"].isin(list(unusable))]
    if usable.empty:
        path, why = next(iter(unusable.items()))
        raise InputError(
            f"{found.root}: none of the {len(keys)} files of kind {kind} can be used; {path}: {why}"
        )
    index = contents.Index.open(home)
    usable = usable.assign(key=usable["path"].map(keys))
    at = index.find(usable["key"].to_numpy(contents.KEY))
    usable = usable.assign(**{name: index.column(name, at) for name in _OF_FILES})
    return usable, [f"{kind} {path}: {unusable[path]}" for path in unusable]


def store_files(
    kind: str,
    items: pd.DataFrame,
    config: DataConfig,
    content: Callable[[str], str],
    progress: Progress,
) -> int:
    """Decodes as ``decoded`` does, and returns the number of files that cannot be used."""
    return len(_decode_new(_files(kind, items, config), config, content, progress))


def _files(kind: str, items: pd.DataFrame, config: DataConfig) -> _Files:
    home = Path(config.prepared) / contents.HOME / media_folder(kind, config)
    by_path = dict(zip(items["path"], items["content"], strict=True))
    # A decoder may ask the suffix.
    keys = {p: contents.key(f"{Path(p).suffix.lower()} {c}") for p, c in by_path.items()}
    return _Files(kind, Path(config.root), home, by_path, keys)


def _decode_new(
    of: _Files, config: DataConfig, content: Callable[[str], str], progress: Progress
) -> dict[str, str]:
    """Stores what is not stored yet; returns why each unusable file cannot be used."""
    unusable = {
        path: "is not a regular file" if (of.root / path).exists() else "missing"
        for path, digest in of.hash.items()
        if not digest
    }
    first = {key: path for path, key in reversed(of.key.items()) if path not in unusable}
    known = contents.Index.open(of.home).find(np.array([*first], contents.KEY)) >= 0
    new = [path for path, stored in zip(first.values(), known, strict=True) if not stored]
    if not new:
        return unusable
    bar = progress.add_task(f"decoding {of.kind}", total=len(new), note="")
    modality = MODALITIES[of.kind]
    size = np.dtype(modality.dtype).itemsize * math.prod(modality.shape(config))
    most = min(max(contents.BYTES // size, 1), contents.COUNT)
    done: dict[str, media.Decoded] = {}
    since = time.monotonic()
    found = media.decoded(of.kind, config, (of.root / path for path in new))
    for path, file in zip(new, found, strict=True):
        progress.advance(bar)
        if isinstance(file, media.Undecodable):
            unusable[path] = str(file)
        else:
            done[path] = file
        if len(done) == most or time.monotonic() - since > _SECONDS:
            _add(of, done, content)
            done, since = {}, time.monotonic()
    _add(of, done, content)
    contents.merge(of.home)
    # Of several files with one content one was tried.
    why = {of.key[path]: reason for path, reason in unusable.items()}
    return {path: why[key] for path, key in of.key.items() if key in why}


def _add(of: _Files, done: dict[str, media.Decoded], content: Callable[[str], str]) -> None:
    """Stores what files were decoded to, unless one changed meanwhile."""
    if any(content(path) != of.hash[path] for path in done):
        raise InputError(f"{of.root}: its files changed while they were read; run again")
    columns = {
        "length": np.array([f.length for f in done.values()], np.int64),
        "decoded": np.array([f.digest for f in done.values()], str),
        "flaw": np.array([f.flaw for f in done.values()], str),
    }
    values = [f.data for f in done.values()]
    contents.add(of.home, [of.key[path] for path in done], values, columns)
