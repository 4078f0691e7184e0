"""Where compiled programs are kept, so that a second start compiles nothing."""

import hashlib
import os
import platform
from importlib import metadata
from pathlib import Path

from fusionjax.errors import InputError

LIMIT = 2**30  # bytes


def folder_for(root: Path) -> Path:
    """The folder under ``root`` for this jaxlib and this CPU.

    A program compiled for another CPU may crash on this one, and JAX's own key for a program does
    not name the CPU.
    """
    kind = hashlib.sha256("\n".join(_cpu()).encode()).hexdigest()[:8]
    return root / f"jaxlib-{metadata.version('jaxlib')}-{platform.machine()}-{kind}"


def _cpu() -> list[str]:
    """Model and instruction sets, as Linux names them; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return [platform.processor()]
    wanted = ("model name", "flags", "CPU implementer", "CPU part", "Features")
    return sorted({line for line in lines if line.startswith(wanted)})


def prune(folder: Path, limit: int) -> None:
    """Deletes the programs written first until what is left has at most ``limit`` bytes."""
    found = [(path, path.stat()) for path in folder.glob("*-cache")]
    total = sum(stat.st_size for _, stat in found)
    for path, stat in sorted(found, key=lambda each: each[1].st_mtime):
        if total <= limit:
            return
        path.unlink(missing_ok=True)  # another start may prune too
        total -= stat.st_size


def use(root: Path) -> None:
    """Keeps this process's compiled programs under ``root``; a cache that is set already stays.

    Before the first program is compiled. JAX makes the folder when it has something to keep.

    Raises:
      InputError: nothing can be written there.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = folder_for(root).absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise InputError(
            f"{there}: compiled programs cannot be kept there; choose another folder with "
            "--compile_cache=FOLDER, or do without by --compile_cache="
        )
    prune(folder, LIMIT)
    # Which JAX reads when it is imported; commands have not done that yet.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
