"""An append-only file of JSON lines, each of which holds the SHA-256 of the line before it.

A line that was removed, edited or moved breaks the chain. ``head.json`` beside the file counts the
lines, so that removed last ones are missed too. Appending waits for other processes and returns
when the line is on disk.
"""

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fusionjax import files
from fusionjax.errors import InputError

_LINES, _HEAD, _TORN = "records.jsonl", "head.json", "torn.bytes"
_BEFORE, _BETWEEN, _AFTER = b'{"previous": "', b'", "record": ', b"}"  # of a line: sum, row
_TRIES, _PAUSE = 5, 0.02  # seconds


class Unwritable(InputError):
    """A record could not be written."""


def append(folder: Path, row: dict[str, Any]) -> str:
    """Appends a row and returns the SHA-256 of its line, which is then on disk.

    Raises:
      InputError: the chain is broken.
      Unwritable: the folder cannot be written.
    """
    with locked(folder):
        return add(folder, row)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes from appending.

    Raises:
      Unwritable: the folder cannot be written.
    """
    with contextlib.ExitStack() as held:
        with writing(folder):
            held.enter_context(files.locked(folder))
        yield


def add(folder: Path, row: dict[str, Any]) -> str:
    """``append`` by who holds ``locked``.

    A last line that a power loss cut off is moved to ``torn.bytes``: its ``append`` never returned.
    """
    with writing(folder):
        lines, torn = _verified(folder)
        if len(lines) != _head(folder)[0]:  # a kill between the line and its head
            _write_head(folder, lines)
        if torn:
            _write_through(folder / _TORN, torn)
        previous = _sum_of_last(folder, lines).encode()
        line = _BEFORE + previous + _BETWEEN + json.dumps(row).encode() + _AFTER
        with (folder / _LINES).open("ab") as f:
            f.truncate(sum(len(x) + 1 for x in lines))
            _append_line(f.fileno(), line + b"\n")
        _write_head(folder, [*lines, line])
        return hashlib.sha256(line).hexdigest()


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turns the system's refusal to write below ``folder`` into ``Unwritable``."""
    try:
        yield
    except OSError as e:
        raise Unwritable(
            f"{folder}: a record cannot be written ({e.strerror or e}), and no score is shown "
            "without one; make room or let it be written, and run the command again"
        ) from e


def read(folder: Path) -> list[bytes]:
    """All rows as JSON, oldest first; a torn last line is reported on stderr and left out.

    Raises:
      InputError: a line was removed, edited or moved.
    """
    rows, torn = _settled(folder)
    if torn:
        print(
            f"{folder / _LINES}: its last line was cut off while it was written; the next record "
            f"moves it to {_TORN}",
            file=sys.stderr,
        )
    return [_cut(line)[1] for line in rows]


def links(folder: Path) -> list[tuple[bytes, str, bool]]:
    """Of each whole line, oldest first: its row as JSON, empty if it is no line of a chain; its
    sum; and whether it follows the line before. ``read`` says besides whether the last are there.
    """
    path, expected = folder / _LINES, _sum_of_older(folder)
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    found = []
    for line in lines:
        (previous, row), own = _cut(line), hashlib.sha256(line).hexdigest()
        found.append((row, own, previous == expected))
        expected = own
    return found


def _settled(folder: Path) -> tuple[list[bytes], bytes]:
    """``_verified``, asked again where another process may be in the middle of an ``append``.

    Without a lock: a folder may be read-only, and who asks may hold the lock.
    """
    for _ in range(_TRIES - 1):
        with contextlib.suppress(InputError):
            rows, torn = _verified(folder)
            if not torn:
                return rows, torn
        time.sleep(_PAUSE)
    return _verified(folder)


def _verified(folder: Path) -> tuple[list[bytes], bytes]:
    """The whole lines of the file, and what follows the last of them."""
    path, (count, last) = folder / _LINES, _head(folder)
    content = path.read_bytes() if path.exists() else b""
    *lines, torn = content.split(b"\n")
    expected = _sum_of_older(folder)
    for i, line in enumerate(lines):
        if _cut(line)[0] != expected:
            before = f"record {i}" if i else "the records of an older version (*.json)"
            raise _broken(
                path, f"record {i + 1} does not follow {before}: one was edited, moved or removed"
            )
        expected = hashlib.sha256(line).hexdigest()
    if len(lines) < count:
        raise _broken(path, f"has {len(lines)} records and had {count}: the last were removed")
    if count and hashlib.sha256(lines[count - 1]).hexdigest() != last:
        raise _broken(path, f"record {count} was edited after it was written")
    if len(lines) > count + 1:  # one more: a kill between the line and its head
        raise _broken(path, f"has {len(lines)} records, but {_HEAD} counts {count}")
    return lines, torn


def _broken(path: Path, what: str) -> InputError:
    return InputError(
        f"{path}: {what}; restore the folder from a backup, or move it away as it is: a new one "
        "begins, and what the other places hold still counts (docs/evaluation.md)"
    )


def _cut(line: bytes) -> tuple[str, bytes]:
    """The sum that a line holds, and its row as JSON; neither, if it is no line of a chain."""
    sum_of, between, row = line.removeprefix(_BEFORE).partition(_BETWEEN)
    whole = line.startswith(_BEFORE) and between and row.endswith(_AFTER)
    return (sum_of.decode(errors="replace"), row.removesuffix(_AFTER)) if whole else ("", b"")


def _sum_of_older(folder: Path) -> str:
    """A sum over the files of older versions, which held a record each and no sums."""
    digest = hashlib.sha256()
    for path in older(folder):
        digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def older(folder: Path) -> list[Path]:
    """The files of older versions, a record each, oldest first."""
    return [p for p in sorted(folder.glob("*.json")) if p.name != _HEAD]


def begun(folder: Path) -> bool:
    """Whether there is a line."""
    return (folder / _LINES).exists()


def _sum_of_last(folder: Path, lines: list[bytes]) -> str:
    return hashlib.sha256(lines[-1]).hexdigest() if lines else _sum_of_older(folder)


def _append_line(file: int, line: bytes) -> None:
    """Writes a line through to the disk, or not at all."""
    start = os.lseek(file, 0, os.SEEK_END)
    try:
        written = 0
        while written < len(line):
            written += os.write(file, line[written:])
        os.fsync(file)
    except OSError:
        os.ftruncate(file, start)
        raise


def _head(folder: Path) -> tuple[int, str]:
    """How many records there are, and the sum of the last of them."""
    path = folder / _HEAD
    if not path.exists():
        return 0, ""
    try:
        head = json.loads(path.read_text())
        return int(head["records"]), str(head["sum"])
    except (ValueError, KeyError, TypeError) as e:
        raise _broken(path, f"is not what was written ({e})") from e


def _write_head(folder: Path, lines: list[bytes]) -> None:
    head = {"records": len(lines), "sum": hashlib.sha256(lines[-1]).hexdigest()}
    _write_through(folder / _HEAD, json.dumps(head).encode())


def _write_through(path: Path, content: bytes) -> None:
    """Replaces a file; content and name are on disk when this returns."""
    with files.replaced(path) as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
