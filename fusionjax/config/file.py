"""A config file: a Python program that is run, whose ``get_config`` returns the settings."""

import re
import runpy
import traceback
from pathlib import Path

from ml_collections import ConfigDict

from fusionjax.config.renamed import now_called
from fusionjax.errors import InputError

_EXAMPLE = "fusionjax/configs/base.py shows one"
# What ml_collections says of a key that does not exist.
_UNKNOWN = re.compile(r'Key "(?P<own>\w+)" does not exist|^\W*(?P<alone>\w+)\W*$')
_CLOSE = re.compile(r'Did you mean "(\w+)" instead of "(\w+)"')


def read(path: Path) -> ConfigDict:
    """Runs a config file.

    Raises:
      InputError: it cannot be run, naming the line, or returns something else.
    """
    try:
        found = runpy.run_path(str(path))
        config = found["get_config"]() if "get_config" in found else None
    except Exception as e:  # whatever a program of the user's does
        raise InputError(f"{path}: {_in_words(e, path)}") from e
    if "get_config" not in found:
        raise InputError(f"{path}: no function get_config; {_EXAMPLE}")
    if not isinstance(config, ConfigDict):
        forgotten = "; it may lack its last line, return c" if config is None else ""
        raise InputError(
            f"{path}: get_config returns {config!r:.40}, no config{forgotten} ({_EXAMPLE})"
        )
    return config.lock()


def _in_words(error: Exception, path: Path) -> str:
    """An error that a file raised, with its last line that took part."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    told = str(error) if isinstance(error, InputError) else unknown_key(error)
    told = told or f"{type(error).__name__}: {' '.join(str(error).split())}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f"line {lines[-1]}: {told}" if lines else told


def unknown_key(error: Exception) -> str | None:
    """An error of ml_collections about a key that does not exist, in our words; else None."""
    text = str(error.args[0]) if error.args else ""
    if close := _CLOSE.search(text):
        return f"no key {close[2]!r}; did you mean {close[1]!r}?"
    if isinstance(error, AttributeError | KeyError) and (found := _UNKNOWN.search(text)):
        name = found["own"] or found["alone"]
        known = now_called(name) or "; fusionjax config --explain=SECTION lists them"
        return f"no key {name!r}{known}"
    return None
