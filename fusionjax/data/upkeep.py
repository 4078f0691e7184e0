"""Checks a prepared set in full, and removes what no set needs any more."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from fusionjax import files
from fusionjax.data import contents, store, sums
from fusionjax.data.hashes import Hashes
from fusionjax.data.prepare import HASHES

_OLD = ("parts", "text_cache")  # of versions whose sets were parts


def verify(folder: Path) -> int:
    """Compares every file of a set, and of the contents that it shows, with its sum.

    Returns:
      The number of folders that are whole.

    Raises:
      InputError: naming the file that is missing or damaged.
    """
    sums.check(folder, all_files=True)
    homes = {folder.parent / contents.HOME / n for n in _homes(folder).values()}
    return 1 + sum(map(contents.check, homes))


@dataclasses.dataclass(frozen=True)
class Unneeded:
    """What no set needs.

    Attributes:
      folders: to delete whole, and why.
      contents: by home, the keys that are needed; the rest goes.
      size: bytes of all of it.
      lines: the same in words.
    """

    folders: dict[Path, str]
    contents: dict[Path, Shaped[np.ndarray, "_"]]
    size: int
    lines: list[str]


def unneeded(current: Path) -> Unneeded:
    """What may go: earlier states of the raw files of ``current``, sets of older versions, what an
    interrupted call left, and contents that no other set shows.

    Every command opens the set of its raw files as they are, so an earlier state is opened again
    only if those files come back; then it is prepared again.

    Args:
      current: the set of the present raw files.

    Raises:
      InputError: a set is damaged.
    """
    home, now = current.parent, store.read_manifest(current)
    kept, folders = [current], {}
    for folder in sorted(p.parent for p in home.glob("*/manifest.json")):
        if folder.suffix == ".tmp" or folder == current:
            continue
        if not (folder / sums.NAME).exists():
            folders[folder] = "a set of an older version"
            continue
        manifest = store.read_manifest(folder)
        same = all(manifest[k] == now[k] for k in ("source", "root"))
        if same and manifest["raw"] != now["raw"]:
            folders[folder] = "a set of an earlier state of the raw files"
        else:
            kept.append(folder)
    folders |= {home / n: "of sets of an older version" for n in _OLD if (home / n).is_dir()}
    folders |= dict.fromkeys(home.glob("*.tmp"), "left by an interrupted call")
    lines = [f"{folder}: {why}, {in_words(_bytes(folder))}" for folder, why in folders.items()]
    size, partly = sum(map(_bytes, folders)), {}
    for place in sorted(p for p in (home / contents.HOME).glob("*") if p.is_dir()):
        keys = [
            pd.read_parquet(f / f"{kind}.parquet", columns=["key"])["key"].to_numpy(contents.KEY)
            for f in kept
            for kind, name in _homes(f).items()
            if name == place.name
        ]
        needed = np.unique(np.concatenate([np.zeros(0, contents.KEY), *keys]))
        count, waste = contents.unused(place, needed)
        if count:
            partly[place] = needed
            size += waste
            lines.append(f"{place}: {count:,} contents that no set shows, {in_words(waste)}")
    return Unneeded(folders, partly, size, lines)


def prune(current: Path) -> Unneeded:
    """Removes what is ``unneeded``, and returns it."""
    home = current.parent
    with files.locked(home):
        found = unneeded(current)
        for folder in found.folders:
            files.remove_folder(folder)
        for place, needed in found.contents.items():
            contents.keep(place, needed)
        hashes = Hashes(home / HASHES)
        hashes.forget_missing()
        hashes.save()
    return found


def in_words(size: int) -> str:
    """Bytes as megabytes."""
    return f"{size / 1e6:,.1f} MB"


def _homes(folder: Path) -> dict[str, str]:
    """The folders of the contents that a set shows, by kind."""
    return store.read_manifest(folder)["contents"]


def _bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
