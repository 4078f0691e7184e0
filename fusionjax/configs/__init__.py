"""Configs that are installed with the package."""

from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Of all that a command knows without a path."""
    return sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != "__init__")
