"""Hashes of raw files, remembered: a file whose size and time of change are as before is not read
again."""

import hashlib
import json
import time
from pathlib import Path

from fusionjax import files
from fusionjax.data import sums

# A file may change again within the resolution of its time stamp (2 s on FAT, and clocks of servers
# differ): one that was so young when it was hashed is hashed again, as git does.
_SETTLED = 10_000_000_000  # nanoseconds


class Hashes:
    """SHA-256 by path.

    Args:
      path: of the file that remembers them; damaged or missing, all are hashed anew.
      trusted: False hashes every file, whatever is remembered.
    """

    def __init__(self, path: Path, *, trusted: bool = True) -> None:
        self._path = path
        self._known = _read(path)
        self._trusted = self._known if trusted else {}
        self._changed = False
        self._gone: set[str] = set()

    def of(self, path: Path) -> str:
        """The hash of a file; empty where there is no regular file."""
        if not path.is_file():
            return ""
        name, now = str(path.absolute()), time.time_ns()
        stat = path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns]
        known = self._trusted.get(name)
        if known is not None and known[:2] == stamp:
            return known[2]
        digest = sums.of(path)
        if now - stat.st_mtime_ns > _SETTLED:
            self._known[name] = self._trusted[name] = [*stamp, digest]
            self._changed = True
        return digest

    def save(self) -> None:
        """Remembers what was hashed, beside what other processes remembered meanwhile. Where that
        cannot be written, or two do it in one moment, the next start hashes again."""
        if self._changed:
            with files.best_effort(self._path):
                others = {n: h for n, h in _read(self._path).items() if n not in self._gone}
                content = json.dumps(others | self._known)
                files.write_text(self._path, f"{_sum(content)}\n{content}")

    def forget_missing(self) -> None:
        """Forgets files that are gone."""
        self._gone = {name for name in self._known if not Path(name).exists()}
        for name in self._gone:
            del self._known[name]
        self._changed |= bool(self._gone)


def _sum(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _read(path: Path) -> dict[str, list]:
    try:
        digest, _, content = path.read_text().partition("\n")
    except (OSError, UnicodeDecodeError):
        return {}
    return json.loads(content) if _sum(content) == digest else {}
