"""Files that appear whole or not at all, and folders that one process at a time works in."""

import contextlib
import fcntl
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes ``path``'s place when the block ends well, and vanishes if not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as f:
        try:
            yield f
        except BaseException:
            os.unlink(f.name)
            raise
    os.chmod(f.name, 0o644)
    os.replace(f.name, path)


def write_text(path: Path, text: str) -> None:
    """Replaces ``path`` by ``text``."""
    with replaced(path) as f:
        f.write(text.encode())


@contextmanager
def spared(path: Path) -> Iterator[None]:
    """A log that cannot be written, as the disk is full, ends no work; it is said instead."""
    try:
        yield
    except OSError as e:
        _say(path, e)


def _say(path: Path, e: OSError) -> None:
    print(f"{path}: cannot be written ({e.strerror or e})", file=sys.stderr)


def add_json_line(path: Path, row: dict[str, Any]) -> bool:
    """Adds a row to a log, on a line of its own where a kill cut the last one; whether it could."""
    try:
        with path.open("ab+") as f:
            cut = f.tell() > 0 and os.pread(f.fileno(), 1, f.tell() - 1) != b"\n"
            f.write(b"\n" * cut + json.dumps(row).encode() + b"\n")
    except OSError as e:
        _say(path, e)
        return False
    return True


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a log. What is no row is left out: a line that is being written, that a kill cut
    short, that a disk spoiled."""
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            row = json.loads(line)
            if isinstance(row, dict):
                yield row


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Lets one process at a time work in ``folder``; the system frees a dead one's lock.

    Raises:
      BlockingIOError: another works there and ``wait`` is not wanted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as f:
        fcntl.flock(f, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
