"""What a head gives to a run's page."""

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

SMOOTH = 20  # days, of rolling curves


@dataclasses.dataclass(frozen=True)
class Curves:
    """A figure of the run's page.

    Attributes:
      section: of the page that it stands in.
      title: above it, if any.
      lines: by name, x and y of each.
      x: what x is.
      y: what y is.
    """

    section: Literal["Prices", "Capital", "Calibration", "Drift"]
    title: str
    lines: dict[str, tuple[Any, Any]]
    x: str = ""
    y: str = ""


@dataclasses.dataclass(frozen=True)
class Calls:
    """What the run's page shows of single forecasts, one entry a row of the outcomes.

    Attributes:
      up: bool [S], the direction that was called.
      label: on the mark of each.
      right: float [S], 1 or 0; NaN where no label counts.
      confidence: float [S], to order mistakes by.
      move: float [S], size of what came, to order equally confident ones by.
      outcome: forecast and outcome in words.
    """

    up: "np.ndarray"
    label: list[str]
    right: "np.ndarray"
    confidence: "np.ndarray"
    move: "np.ndarray"
    outcome: list[str]


def dates(days: Any) -> list[str]:
    """Days as the x of a curve."""
    import pandas as pd

    return pd.DatetimeIndex(days).strftime("%Y-%m-%d").tolist()


def smoothed(daily: Any) -> Any:
    """A daily pandas series as its rolling mean, from the first day that has all of it on: the mean
    of a day or two would stretch the axis."""
    return daily.rolling(min(SMOOTH, len(daily))).mean().dropna()
