"""A variant of a config, as given by ``--against=key=value``."""

import json
from collections.abc import Sequence

from fusionjax.config import Config
from fusionjax.errors import InputError


def variant(config: Config, changes: Sequence[str]) -> Config:
    """The config with ``dotted=value`` pairs applied; a value is read as JSON, else as text.

    Raises:
      InputError: no pair, one without a value, a key of the mesh, or what ``override`` refuses.
    """
    if not changes:
        raise InputError(
            "--against is missing; say what the config is compared with, for example "
            "--against=model.fusion=equal"
        )
    parsed = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise InputError(f"--against={change}: expected key=value, e.g. model.fusion=equal")
        if key.startswith("mesh."):
            raise InputError(f"--against={change}: both run on one mesh; change another key")
        try:
            parsed[key] = json.loads(text)
        except json.JSONDecodeError:
            parsed[key] = text
    return config.override(parsed)
