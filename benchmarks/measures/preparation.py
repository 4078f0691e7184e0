"""Time and memory to prepare and to open a market of many bars."""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import Progress

from fusionjax.config import Config
from fusionjax.data import prepare, store

_SESSIONS = 2_500  # of each symbol: ten years


def measure(config: Config, bars: int, progress: Progress) -> str:
    """Prepares and opens random walks as a market folder, and says what that took.

    The peak is of this process's resident memory, the interpreter and its libraries included.

    Args:
      config: its calendar and decision delay count; its data does not.
      bars: at least so many.
      progress: shows how far it is.
    """
    initial_peak = _peak()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write(root / "bars.parquet", -(-bars // _SESSIONS), config)
        config = config.override(
            {"data.source": "folder", "data.root": folder, "data.prepared": str(root / "prepared")}
        )
        start = time.perf_counter()
        prepared = prepare.prepare(config.data, progress)
        preparing, prepared_peak = time.perf_counter() - start, _peak()
        start = time.perf_counter()
        rows = len(store.load(prepared).session)
        opening = time.perf_counter() - start
    return (
        f"{rows:,} bars: prepared at {rows / preparing:,.0f} and opened at {rows / opening:,.0f} "
        f"rows a second; resident memory at most {prepared_peak:.2f} GB while preparing and "
        f"{_peak():.2f} GB while opening, {initial_peak:.2f} GB before"
    )


def _write(path: Path, symbols: int, config: Config) -> None:
    import exchange_calendars

    sessions = exchange_calendars.get_calendar(config.data.calendar, start="2000-01-03").sessions
    days = sessions[:_SESSIONS].strftime("%Y-%m-%d")
    rng = np.random.default_rng(0)
    walks = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (symbols, _SESSIONS)), axis=1)).ravel()
    prices = {"open": walks, "high": walks * 1.01, "low": walks * 0.99, "close": walks}
    pd.DataFrame(
        {
            "symbol": np.repeat([f"S{i:05d}" for i in range(symbols)], _SESSIONS),
            "date": np.tile(days, symbols),
            **prices,
            "adj_close": walks,
            "volume": rng.integers(1, 10**6, len(walks)).astype(float),
        }
    ).to_parquet(path, index=False)


def _peak() -> float:
    """Gigabytes; Linux counts in kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
