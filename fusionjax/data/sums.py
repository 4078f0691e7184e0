"""A sum over each file of a folder that is written once: damage is told by name, never read."""

import hashlib
from pathlib import Path

from fusionjax import files
from fusionjax.errors import InputError

NAME = "SHA256SUMS"  # as ``sha256sum --check`` reads it
# Columns above this size are mapped, not read, when a set is opened: so are their sums left to
# ``fusionjax prepare --verify``, which reads all.
_MAPPED, _LARGE = (".npy", ".array_record"), 4_000_000


def of(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def write(folder: Path) -> None:
    """Writes the sums of all files in ``folder``."""
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    files.write_text(folder / NAME, _text({name: of(folder / name) for name in names}))


def check(folder: Path, *, all_files: bool = False) -> None:
    """Compares the files of ``folder`` with their sums; large columns only if ``all_files``.

    Raises:
      InputError: naming the file that is missing or has another sum.
    """
    try:
        raw = (folder / NAME).read_bytes()
        lines = [line.split("  ", 1) for line in raw.decode("ascii").splitlines()]
        stored = {name: digest for digest, name in lines}
    except (OSError, ValueError) as e:
        raise unreadable(folder / NAME, folder, e) from e
    if _text(stored).encode() != raw or not stored:
        raise InputError(_told(folder, NAME, "is not as it was written"))
    for name, digest in stored.items():
        try:
            path = (folder / name).resolve()
            if not path.is_relative_to(folder.resolve()):
                raise InputError(_told(folder, NAME, f"names {name!r}, which lies outside"))
            large = path.stat().st_size > _LARGE and any(s in path.name for s in _MAPPED)
            if (all_files or not large) and of(path) != digest:
                raise InputError(_told(folder, name, "is not as it was written (its sum differs)"))
        except (OSError, ValueError) as e:
            raise unreadable(folder / name, folder, e) from e


def unreadable(path: Path, folder: Path, e: Exception) -> InputError:
    """What to say of a file of ``folder`` whose reading raised ``e``. Only what is damaged or
    missing is to be deleted: not what a full table of open files keeps from being read."""
    if isinstance(e, OSError) and not isinstance(e, FileNotFoundError):
        return InputError(f"{path}: cannot be read ({e.strerror}); it may be whole: run again")
    what = "missing" if isinstance(e, OSError) else f"damaged ({e})"
    return InputError(f"{path}: is {what}; delete {folder} and prepare again")


def _told(folder: Path, name: str, what: str) -> str:
    return f"{folder / name}: {what}; delete {folder} and prepare again"


def _text(by_name: dict[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(by_name.items()))
