"""Paths that untrusted tables and links name: they stay in their folder."""

from pathlib import Path

from fusionjax.errors import InputError


def inside(where: Path, row: int, cell: object) -> Path:
    """Path of a file that a manifest names; it must lie in the manifest's folder.

    Raises:
      InputError: naming the row.
    """
    home = where.parent.resolve()
    try:
        path = (home / cell).resolve()  # type: ignore[operator]
        if path.is_relative_to(home):
            str(path).encode()
            path.is_file()  # fails if the name is too long for the file system
    except (TypeError, ValueError, OSError, RuntimeError) as e:
        raise InputError(f"{where}: row {row}: path {cell!r} is not a file name ({e})") from e
    if not path.is_relative_to(home):
        raise InputError(f"{where}: row {row}: path {cell!r} leaves {home}; name a file inside it")
    return path


def lies_in(folder: Path, path: Path) -> bool:
    """Whether ``path``, its links followed, is in ``folder``, which may be a link itself."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a link to itself
        return False
