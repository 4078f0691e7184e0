"""What fitted baselines learned, kept on disk: an entry depends on training data alone.

An entry is one ``.npz`` without pickled objects. It holds its whole key and a sum of its bytes; one
that is damaged, or of another key, counts as missing, so it is fitted again and replaced.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np

from fusionjax import files
from fusionjax.heads.baseline import Baseline, Learned
from fusionjax.telemetry import say

_VERSION = 2  # part of every key: raise it when a baseline of the same settings learns otherwise
_LIBRARIES = ("numpy", "pandas", "scipy", "scikit-learn", "lightgbm", "arch")
_KEY, _SUM = "key", "sum"  # names in an entry beside those of what was learned


def digest(*arrays: np.ndarray) -> str:
    """A hash of arrays: shapes, dtypes and bytes."""
    h = hashlib.sha256()
    for a in arrays:
        h.update(f"{a.shape}{a.dtype.str}".encode())
        h.update(np.ascontiguousarray(a).tobytes())
    return h.hexdigest()


def described(baseline: Baseline) -> str:
    """The class and the fields of a baseline, but for what it reads beside the market."""
    fields = {f.name: getattr(baseline, f.name) for f in dataclasses.fields(baseline)}
    fields.pop("features", None)
    return f"{type(baseline).__name__} {fields}"


@dataclasses.dataclass(frozen=True)
class Cache:
    """Entries of one folder."""

    folder: Path

    def read(self, key: dict[str, Any]) -> Learned | None:
        """What was learned under a key; None if nothing usable is there."""
        text, path = _text(key), self._path(key)
        if not path.exists():
            return None
        stored = files.arrays(path) or {}
        kept, total = stored.pop(_KEY, None), stored.pop(_SUM, None)
        if kept is None or total is None or str(kept) != text or str(total) != _sum(text, stored):
            say(f"{path}: damaged, or of another fit; fitted again")
            return None
        return stored

    def write(self, key: dict[str, Any], learned: Learned) -> None:
        """Keeps what was learned; a full or read-only disk is reported and does not end work."""
        text, path = _text(key), self._path(key)
        learned = {name: np.asarray(x) for name, x in learned.items()}
        entry: dict[str, Any] = {_KEY: np.array(text), _SUM: np.array(_sum(text, learned))}
        with files.best_effort(path), files.replaced(path) as f:
            np.savez_compressed(f, **entry | learned)

    def _path(self, key: dict[str, Any]) -> Path:
        return self.folder / f"{hashlib.sha256(_text(key).encode()).hexdigest()[:24]}.npz"


def _text(key: dict[str, Any]) -> str:
    """A key with the versions that may change what is learned."""
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return json.dumps({"version": _VERSION, **versions, **key}, sort_keys=True)


def _sum(text: str, learned: Learned) -> str:
    names = sorted(learned)
    return hashlib.sha256(
        "".join([text, *names, digest(*(learned[n] for n in names))]).encode()
    ).hexdigest()
