"""Configs that are installed with the package."""

from pathlib import Path

from fusionjax.errors import InputError, nearest

FOLDER = Path(__file__).parent


def installed(name: str) -> Path | None:
    """The file of an installed config by its name, or as a checkout has it (configs/demo.py); None
    of any other name, and where there is a file of that name, which comes first."""
    path = FOLDER / f"{Path(name).stem}.py"
    meant = path.stem in names() and name in (path.stem, f"configs/{path.name}")
    return path if meant and not Path(name).is_file() else None


def require(name: str) -> Path:
    """The file of a config that is named as on a command line.

    Raises:
      InputError: there is none.
    """
    path = installed(name) or Path(name)
    if not path.is_file():
        known = names()
        beside = Path(f"{name}.py")
        hint = f"; did you mean {beside}?" if beside.is_file() else nearest(name, known)
        raise InputError(
            f"{name}: no such file, nor an installed config{hint}; installed are {', '.join(known)}"
        )
    return path


def names() -> list[str]:
    """Of all that a command knows without a path."""
    return sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != "__init__")
