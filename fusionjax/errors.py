"""How a command ends other than well: by a user's mistake, or stopped on request."""

import difflib
import importlib.util
from collections.abc import Iterable


class InputError(Exception):
    """Bad input. The message names the file and row (or key), what was expected, and the remedy.

    Entry points print it without a traceback and exit with status 2; anything else is a bug and
    keeps its traceback.
    """


class Preempted(Exception):
    """Asked to stop by a signal; the state is saved and the same command goes on from there."""


def require_extra(extra: str, *packages: str) -> None:
    """Asks for packages that an extra of pyproject.toml brings, before any work is done.

    Raises:
      InputError: one is not installed; says how to install it.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f'the package {package} is not installed: pip install "fusionjax[{extra}]"'
            )


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known one that looks like it, if any does."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
