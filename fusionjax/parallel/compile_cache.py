"""A cache of compiled programs, so that a second start compiles nothing."""

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
    prefixes = ("model name", "flags", "CPU implementer", "CPU part", "Features")
    return sorted({line for line in lines if line.startswith(prefixes)})


def prune(folder: Path, limit: int) -> None:
    """Deletes the oldest programs until at most ``limit`` bytes are left."""
    entries = [(path, path.stat()) for path in folder.glob("*-cache")]
    total = sum(stat.st_size for _, stat in entries)
    for path, stat in sorted(entries, key=lambda entry: entry[1].st_mtime):
        if total <= limit:
            return
        path.unlink(missing_ok=True)  # another start may prune too
        total -= stat.st_size


def use(root: Path) -> None:
    """Keeps this process's compiled programs under ``root``; a cache that is set already stays.

    Call it before JAX is imported. JAX creates the folder when it first writes to it.

    Raises:
      InputError: nothing can be written there.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = folder_for(root).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        raise InputError(
            f"{existing}: compiled programs cannot be kept there; choose another folder with "
            "--compile_cache=FOLDER, or do without by --compile_cache="
        )
    prune(folder, LIMIT)
    # JAX reads these when it is imported.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
