"""Readers of raw data: each reads one layout of files into the same checked tables.

A new reader is a file that ends with ``SOURCES.register(name)(Source(files, read))``. A config file
of your own may register one too.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from fusionjax.data.calendar import Changes


@dataclasses.dataclass(frozen=True)
class Raw:
    """Checked tables, before they are joined in time.

    Attributes:
      bars: columns of ``schema.BARS``, sorted by symbol and date.
      channels: one float column a numeric channel, aligned with ``bars``; NaN means missing.
      documents: columns of ``schema.DOCUMENTS``, or None where the source has no text.
      subset: True for the rows of a published sub-protocol (the sample whose target is this row).
      notes: what was left out and why, for the manifest.
      media: by kind (``media.folders``): stamped items with ``symbol``, ``source`` and ``path``.
      misaligned: descriptions of events with unequal numbers of items.
      sectors: by symbol, where known.
      exchanges: exchange_calendars code by symbol, where it is not ``config.data.calendar``.
      sessions: by code: days on which an exchange did not do what its calendar says.
      facts: as of ``facts.channels``, or None where the source has none.
      member: bool [R], whether a bar's symbol was of the universe; None: all were.
      events: as of ``events.channels``, or None where the source has none.
    """

    bars: pd.DataFrame
    channels: pd.DataFrame
    documents: pd.DataFrame | None
    subset: np.ndarray
    notes: tuple[str, ...]
    media: dict[str, pd.DataFrame] = dataclasses.field(default_factory=dict)
    misaligned: tuple[str, ...] = ()
    sectors: dict[str, str] = dataclasses.field(default_factory=dict)
    exchanges: dict[str, str] = dataclasses.field(default_factory=dict)
    sessions: dict[str, Changes] = dataclasses.field(default_factory=dict)
    facts: pd.DataFrame | None = None
    member: np.ndarray | None = None
    events: pd.DataFrame | None = None


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
