"""Downloads as yfinance writes them."""

from pathlib import Path

import numpy as np
import pandas as pd
from exchange_calendars import get_calendar


def downloads(folder: Path) -> None:
    """A year and a half of three stocks, a file each."""
    rng = np.random.default_rng(3)
    days = get_calendar("XNYS").sessions_window("2022-01-03", 400)
    folder.mkdir()
    for symbol in ("AAA", "BBB", "CCC"):
        close = 50 * np.exp(0.015 * rng.standard_normal(len(days)).cumsum())
        opened = close * np.exp(0.005 * rng.standard_normal(len(days)))
        frame = pd.DataFrame(
            {
                "Date": days.strftime("%Y-%m-%d"),
                "Open": opened,
                "High": np.maximum(opened, close) * 1.01,
                "Low": np.minimum(opened, close) * 0.99,
                "Close": close,
                "Adj Close": close,
                "Volume": rng.integers(10**6, 10**7, len(days)),
            }
        )
        frame.to_csv(folder / f"{symbol}.csv", index=False)
