"""KDD17's last two years by neuralforecast, in an environment of its own; see docs/peers.md.

    python3 -m venv peers && peers/bin/pip install -r benchmarks/peers/requirements.txt
    peers/bin/python benchmarks/peers/neural.py ../shared/datasets/kdd17 neural.parquet

NHITS and PatchTST learn quantiles of the adjusted close of 50 stocks from 2007 to 2012, once, and
forecast five sessions at every close of 2013 and 2014. The file is the package's own frame:
unique_id, ds, cutoff, NHITS-lo-90, NHITS-median, ...
"""

import logging
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MQLoss
from neuralforecast.models import NHITS, PatchTST

QUANTILES = ("-lo-90", "-lo-50", "-median", "-hi-50", "-hi-90")
AHEAD, SCORED_FROM, TRAINED_UNTIL = 5, "2012-12-31", "2012-12-31"


def main(root: Path, out: Path) -> None:
    bars = pd.read_parquet(root / "prices_raw.parquet", columns=["symbol", "Date", "Adj Close"])
    series = bars.set_axis(["unique_id", "ds", "y"], axis=1).sort_values(["unique_id", "ds"])
    series["ds"] = pd.to_datetime(series["ds"])
    windows = int((series["ds"] >= SCORED_FROM).groupby(series["unique_id"]).sum().max())
    shared = {
        "h": AHEAD,
        "input_size": 64,
        "loss": MQLoss(level=[50, 90]),
        "scaler_type": "standard",  # of each window: a price level says nothing
        "max_steps": 300,
        "random_seed": 0,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
    }
    models = [
        NHITS(learning_rate=1e-3, **shared),
        PatchTST(hidden_size=32, n_heads=4, encoder_layers=2, patch_len=8, **shared),
    ]
    forecaster = NeuralForecast(models=models, freq="B")
    frame = forecaster.cross_validation(
        series, n_windows=None, test_size=windows + AHEAD - 1, step_size=1, refit=False
    )
    frame = frame.reset_index(drop="unique_id" in frame.columns)
    for (
        model
    ) in models:  # each quantile is an output of its own; in 5 % of rows some of PatchTST's cross
        names = [f"{model.alias or type(model).__name__}{x}" for x in QUANTILES]
        frame[names] = np.sort(frame[names].to_numpy(), axis=1)
    frame["trained_until"] = TRAINED_UNTIL
    frame.to_parquet(out, index=False)
    print(f"{len(frame):,} rows to {out}: {', '.join(frame.columns)}")


if __name__ == "__main__":
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
