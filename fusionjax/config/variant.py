"""A variant of a config, as given by ``--against=key=value`` or ``--config.key=value``."""

import json
from collections.abc import Sequence

from fusionjax.config import Config
from fusionjax.errors import InputError


def variant(config: Config, changes: Sequence[str], flag: str = "--against=") -> Config:
    """The config with ``dotted=value`` pairs applied; a value is read as JSON, else as text.

    Args:
      config: what is changed.
      changes: the pairs.
      flag: what stood before each, for messages.

    Raises:
      InputError: no pair, one without a value, or what ``override`` refuses.
    """
    parsed = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise InputError(f"{flag}{change}: expected key=value, e.g. model.fusion=equal")
        try:
            parsed[key] = json.loads(text)
        except json.JSONDecodeError:
            parsed[key] = text
    return config.override(parsed)


def compared(config: Config, changes: Sequence[str]) -> Config:
    """The variant that a config is compared with, on the same mesh.

    Raises:
      InputError: no change, a key of the mesh, or what ``variant`` refuses.
    """
    if not changes:
        raise InputError(
            "--against is missing; say what the config is compared with, for example "
            "--against=model.fusion=equal"
        )
    for change in changes:
        if change.startswith("mesh."):
            raise InputError(f"--against={change}: both run on one mesh; change another key")
    return variant(config, changes)
