"""Atomic writes, append-only logs, and folder locks between processes."""

import contextlib
import fcntl
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file that replaces ``path`` if the block succeeds, and is deleted otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as f:
        try:
            yield f
        except BaseException:
            os.unlink(f.name)
            raise
    os.chmod(f.name, 0o644)
    os.replace(f.name, path)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder aside that becomes ``path`` if the block succeeds, and is deleted otherwise; what an
    interrupted call left there is deleted first. The caller holds a lock."""
    aside = path.with_name(f"{path.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        if path.exists():
            remove_folder(path)
        aside.rename(path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def remove_folder(path: Path) -> None:
    """Deletes a folder; whoever reads it meanwhile finds it whole or gone."""
    aside = path.with_name(f"{path.name}.old.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)
    shutil.rmtree(aside)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    with replaced(path) as f:
        f.write(text.encode())


@contextmanager
def best_effort(path: Path) -> Iterator[None]:
    """Reports an OSError of the block on stderr: a log on a full disk must not end work."""
    try:
        yield
    except OSError as e:
        _report(path, e)


def _report(path: Path, e: OSError) -> None:
    print(f"{path}: cannot be written ({e.strerror or e})", file=sys.stderr)


def arrays(path: Path) -> "dict[str, np.ndarray] | None":
    """The arrays of an ``.npz``, never unpickled; None if it is missing or damaged."""
    import numpy as np

    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as f:
            return {name: f[name] for name in f.files}
    except Exception:  # a damaged zip file may raise an error of any class
        return None


def add_json_line(path: Path, row: dict[str, Any]) -> bool:
    """Appends a row to a log, on a new line even if the last one was cut off; False on an error."""
    try:
        with path.open("ab+") as f:
            cut = f.tell() > 0 and os.pread(f.fileno(), 1, f.tell() - 1) != b"\n"
            f.write(b"\n" * cut + json.dumps(row).encode() + b"\n")
    except OSError as e:
        _report(path, e)
        return False
    return True


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a log. Lines that are not JSON objects are skipped: a line may be unfinished, cut
    off by a kill, or damaged."""
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            row = json.loads(line)
            if isinstance(row, dict):
                yield row


def is_locked(folder: Path) -> bool:
    """Whether a process holds the lock on ``folder``; writes nothing."""
    try:
        with (folder / ".lock").open() as f:
            fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is none
        return False
    return False


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds a lock on ``folder``; the system frees it when the process dies.

    Raises:
      BlockingIOError: another process holds the lock and ``wait`` is False.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as f:
        fcntl.flock(f, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
