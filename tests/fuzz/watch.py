"""What every fuzz test asks of a reader: it answers or refuses, and opens nothing outside."""

import collections
import contextlib
import os
import sys
import sysconfig
import tempfile
import zoneinfo
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings

from fusionjax.errors import InputError

T = TypeVar("T")
READ, REFUSED = "read", "refused"
OUTCOMES: collections.Counter[str] = collections.Counter()  # of the cases so far, for drive.py

_FORBIDDEN = (
    *("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove"),
    *("os.rename", "os.rmdir", "shutil.rmtree", "subprocess.Popen", "socket.connect"),
    *("socket.getaddrinfo", "urllib.Request"),
)
_TREE = Path(__file__).resolve().parents[2]
# Packages are imported, and time zones looked up, when a reader first needs them.
_OWN = tuple(
    f"{Path(p).resolve()}{os.sep}"
    for p in (
        *(sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), _TREE / "fusionjax"),
        *(_TREE / "configs", *zoneinfo.TZPATH),
        "/sys/fs/cgroup",  # how many processors a library may use
        os.environ.get("JAX_COMPILATION_CACHE_DIR", os.devnull),  # compiled programs are kept
    )
)
_watched: list[tuple[Path, list[str]]] = []  # folders of the readers that run, and what they did


def _is_own(path: str) -> bool:
    return os.path.realpath(path).startswith(_OWN)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    """Notes what a reader must not do. It does not raise: a reader might catch that."""
    if not _watched or (event != "open" and event not in _FORBIDDEN):
        return
    root, deeds = _watched[-1]
    if event != "open":
        own = event == "os.rename" and all(_is_own(os.fsdecode(name)) for name in args[:2])
        if not own:  # what is imported becomes bytecode under its last name at once
            deeds.append(f"{event} {args}")
    elif isinstance(args[0], str | bytes | os.PathLike):
        path = os.path.realpath(os.fsdecode(args[0]))
        writes = (args[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if not _is_own(path) and (writes or not Path(path).is_relative_to(root)):
            deeds.append(f"open {path} {args[1]}")


sys.addaudithook(_hook)  # for good: the interpreter knows no way to take it out


def fuzzed(examples: int) -> settings:
    """How a property runs in the test suite; ``drive.py`` runs the same one for much longer.

    ``make test`` tries fewer examples (``FUZZ_EXAMPLES``), ``make test-full`` all.
    """
    return settings(
        max_examples=min(examples, int(os.environ.get("FUZZ_EXAMPLES", examples))),
        derandomize=True,  # the same cases every time
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """An empty folder for one case."""
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as made:
        yield Path(made).resolve()


@contextlib.contextmanager
def watched(root: Path) -> Iterator[None]:
    """Fails afterwards where the block opened a file outside ``root``, wrote, ran or unpickled."""
    deeds: list[str] = []
    _watched.append((root, deeds))
    try:
        yield
    finally:
        _watched.pop()
    assert not deeds, f"a reader did what it must not: {deeds}"


def judged(
    read: Callable[[], T],
    root: Path,
    *names: str,
    refusal: type[Exception] = InputError,
) -> T | None:
    """What a reader of ``root`` returns, or None where it refuses.

    Args:
      read: the reader.
      root: all that it may open.
      names: one of these stands in a refusal's message.
      refusal: the one exception that it documents.
    """
    why, value = None, None
    with watched(root):
        try:
            value = read()
        except refusal as e:
            why = str(e)
    if why is not None:
        assert why.strip(), "a refusal without a word"
        assert not names or any(n in why for n in names), f"{why} names none of {names}"
    OUTCOMES[READ if why is None else REFUSED] += 1
    return value
