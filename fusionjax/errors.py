"""Exceptions that end a command in an expected way, and helpers for their messages."""

import difflib
import importlib.util
from collections.abc import Iterable


class InputError(Exception):
    """Bad input. The message names file and row (or key), what was expected, and the remedy.

    Entry points print it without a traceback and exit with status 2; anything else is a bug and
    keeps its traceback.
    """


class Preempted(Exception):
    """Stopped by a signal. The state is saved; the same command continues from it."""


def require_extra(extra: str, *packages: str) -> None:
    """Checks, before any work, that packages of an extra of pyproject.toml are installed.

    Raises:
      InputError: one is missing; the message says how to install it.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f'the package {package} is not installed: pip install "fusionjax[{extra}]"'
            )


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean ...?`` with the known name closest to ``name``; empty if none is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
