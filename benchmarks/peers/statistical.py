"""KDD17's last two years by statsforecast, in an environment of its own; see docs/peers.md.

    python3 -m venv peers && peers/bin/pip install -r benchmarks/peers/requirements.txt
    peers/bin/python benchmarks/peers/statistical.py ../shared/datasets/kdd17 statistical.parquet

A random walk with drift of the adjusted close, fitted again at every close of 2013 and 2014 on the
250 sessions before it, five sessions ahead: the package's own frame.
"""

import sys
from pathlib import Path

import pandas as pd
from statsforecast import StatsForecast
from statsforecast.models import RandomWalkWithDrift

AHEAD, SCORED_FROM = 5, "2012-12-31"


def main(root: Path, out: Path) -> None:
    bars = pd.read_parquet(root / "prices_raw.parquet", columns=["symbol", "Date", "Adj Close"])
    series = bars.set_axis(["unique_id", "ds", "y"], axis=1).sort_values(["unique_id", "ds"])
    series["ds"] = pd.to_datetime(series["ds"])
    windows = int((series["ds"] >= SCORED_FROM).groupby(series["unique_id"]).sum().max())
    frame = StatsForecast(models=[RandomWalkWithDrift()], freq="B").cross_validation(
        df=series, h=AHEAD, n_windows=windows, step_size=1, input_size=250, level=[50, 90]
    )
    frame = frame.rename(
        columns={"RWD": "RWD-median"}
    )  # a normal distribution's mean is its median
    frame["trained_until"] = frame["cutoff"]
    frame.to_parquet(out, index=False)
    print(f"{len(frame):,} rows to {out}: {', '.join(frame.columns)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
