"""KDD17's last two years by LightGBM, from raw prices, without fusionjax; see docs/peers.md.

    python3 -m venv peers && peers/bin/pip install -r benchmarks/peers/requirements.txt
    peers/bin/python benchmarks/peers/outside_lightgbm.py ../shared/datasets/kdd17 lightgbm.csv

One model for all stocks: direction and quantiles of the next session's return, quantiles of the
next five sessions' return, and their volatility. Learned once, from 2007 to 2012; nothing is tuned.
"""

import sys
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd

TRAINED_UNTIL = "2012-12-31"
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
SETTINGS: dict[str, Any] = {
    "n_estimators": 200,
    "learning_rate": 0.02,
    "num_leaves": 15,
    "min_child_samples": 200,
    "n_jobs": 1,
}


def features(bars: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Inputs known at each close, and what followed: log returns, log volatility, last day."""
    price = bars.pivot(index="date", columns="symbol", values="adj_close")
    ret = price.apply(np.log).diff()
    volatility = {n: np.sqrt((ret**2).rolling(n).mean()) for n in (5, 20, 60)}
    wide: dict[str, Any] = {f"ret{k}": ret.shift(k) for k in range(5)}
    wide |= {f"sum{n}": ret.rolling(n).sum() for n in (5, 20, 60)}
    wide |= {f"vol{n}": np.log(v + 1e-4) for n, v in volatility.items()}
    wide |= {"market": ret.apply(lambda column: ret.mean(axis=1))}
    ahead: dict[str, Any] = {f"return{h}": np.log(price.shift(-h) / price) for h in (1, 5)}
    ahead["log_volatility5"] = 0.5 * np.log((ret**2).rolling(5).mean().shift(-5) + 1e-8)
    scale: Any = pd.DataFrame(volatility[20]).stack()
    x, y = (pd.DataFrame({k: v.stack() for k, v in d.items()}) for d in (wide, ahead))
    x = x.loc[scale.index].dropna()
    return x.assign(scale=scale), y.reindex(x.index)


def main(root: Path, out: Path) -> None:
    bars = pd.read_parquet(root / "prices_raw.parquet").rename(
        columns={"Date": "date", "Adj Close": "adj_close"}
    )
    x, y = features(bars)
    days = x.index.get_level_values("date")
    last = {h: np.unique(days[days <= TRAINED_UNTIL])[-1 - h] for h in (1, 5)}  # its label is known
    later = x[days >= last[1]]
    rows = []
    for h in (1, 5):
        known = (days <= last[h]) & y[f"return{h}"].notna()
        own, unit = x[known], x["scale"][known] * np.sqrt(h)
        frame = later.index.to_frame(index=False).assign(horizon=h)
        if h == 1:
            up = lightgbm.LGBMClassifier(**SETTINGS, verbose=-1)
            up.fit(own, y["return1"][known] > 0)
            frame["probability_up"] = np.asarray(up.predict_proba(later))[:, 1]
        else:
            spread = lightgbm.LGBMRegressor(**SETTINGS, verbose=-1)
            spread.fit(own, y["log_volatility5"][known])
            frame["log_volatility"] = spread.predict(later)
        cuts = []
        for level in LEVELS:
            cut = lightgbm.LGBMRegressor(objective="quantile", alpha=level, **SETTINGS, verbose=-1)
            cut.fit(own, y[f"return{h}"][known] / unit)
            cuts.append(cut.predict(later) * later["scale"] * np.sqrt(h))
        names = [f"return_q{level}" for level in LEVELS]
        frame[names] = np.sort(np.stack(cuts, 1), axis=1)  # each level is a model of its own
        rows.append(frame)
    table = pd.concat(rows).rename(columns={"date": "decision_time"})
    table.assign(trained_until=TRAINED_UNTIL).to_csv(out, index=False)
    print(f"{len(table):,} rows to {out}: {', '.join(table.columns)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
