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
        if "get_config" not in found:
            raise InputError(f"{path}: no function get_config; {_EXAMPLE}")
        config = found["get_config"]()
    except InputError:
        raise
    except SyntaxError as e:
        raise InputError(f"{path}: line {e.lineno}: {e.msg}") from e
    except Exception as e:  # whatever a program of the user's does
        lines = [f.lineno for f in traceback.extract_tb(e.__traceback__) if f.filename == str(path)]
        where = f"line {lines[-1]}: " if lines else ""
        said = unknown_key(e) or f"{type(e).__name__}: {' '.join(str(e).split())}"
        raise InputError(f"{path}: {where}{said}") from e
    if not isinstance(config, ConfigDict):
        forgotten = "; it may lack its last line, return c" if config is None else ""
        raise InputError(
            f"{path}: get_config returns {config!r:.40}, no config{forgotten} ({_EXAMPLE})"
        )
    return config.lock()


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
