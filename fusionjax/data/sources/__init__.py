"""Readers of raw data: each turns one layout of files into the same checked tables.

A new one is a file that ends with ``SOURCES.register(name)(Source(files, read))``; a config file of
your own may register one as well.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd


@dataclasses.dataclass(frozen=True)
class Raw:
    """Checked tables, before they are joined in time.

    Attributes:
      bars: columns of ``schema.BARS``, sorted by symbol and date.
      channels: one float column a numeric channel, aligned with ``bars``; NaN means missing.
      documents: columns of ``schema.DOCUMENTS``, or None where the source has no text.
      subset: True for the rows of a published sub-protocol (the sample whose target is this row).
      notes: what was left out on the way and why, for the manifest.
      media: by kind (``media.folders``): stamped items with ``symbol``, ``source`` and ``path``.
      misaligned: events whose items do not pair up, in words.
      sectors: of the symbols, where they are known.
    """

    bars: pd.DataFrame
    channels: pd.DataFrame
    documents: pd.DataFrame | None
    subset: np.ndarray
    notes: tuple[str, ...]
    media: dict[str, pd.DataFrame] = dataclasses.field(default_factory=dict)
    misaligned: tuple[str, ...] = ()
    sectors: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Source:
    """How a layout of files is read.

    Attributes:
      files: ``files(root)``: those whose content the prepared set depends on.
      read: ``read(root, calendar)``: the tables. Raises InputError where a file is missing or
        damaged, or a row breaks the schema.
    """

    files: Callable[[Path], list[Path]]
    read: Callable[[Path, str], Raw]
