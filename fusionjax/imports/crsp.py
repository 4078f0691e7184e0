"""CRSP's daily stock file: its signs, and an adjusted close from its returns."""

import numpy as np
import pandas as pd


def mended(bars: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Bars with positive closes and an adjusted close, the last day's that day's own.

    Args:
      bars: ``symbol``, ``date`` and ``close`` (PRC), and what there is of ``returns`` (RET, since
        the last day with a price, dividends included) and ``factor`` (CFACPR, of splits alone).

    Returns:
      The bars sorted by symbol and date without these two, and notes: how many closes are means of
      bid and ask, and whether nothing tells their adjustment.
    """
    bars = bars.sort_values(["symbol", "date"], kind="stable", ignore_index=True)
    quoted = bars["close"] < 0
    close = bars["close"].abs().where(lambda c: c > 0)
    factor = bars["factor"].where(bars["factor"] > 0) if "factor" in bars else 1.0
    level = pd.Series(np.log(close / factor))
    by_symbol = bars["symbol"]
    step = level - level.groupby(by_symbol).ffill().groupby(by_symbol).shift()
    if "returns" in bars:  # letters are reasons why there is none
        known = pd.to_numeric(bars["returns"], errors="coerce")
        step = np.log1p(known.where(known > -1)).fillna(step)
    total = step.fillna(0.0).groupby(by_symbol).cumsum()
    last = (np.log(close) - total).groupby(by_symbol).transform("last")
    bars = bars.assign(close=close, adj_close=np.exp(total + last))
    unadjusted = not {"returns", "factor"} & {*bars}
    bars = bars.drop(columns=["returns", "factor"], errors="ignore")
    notes = [f"{int(quoted.sum()):,} closes are means of bid and ask"] if quoted.any() else []
    notes += ["neither RET nor CFACPR: closes are not adjusted"] if unadjusted else []
    return bars, notes
