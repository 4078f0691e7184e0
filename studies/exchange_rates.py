"""Writes the exchange rates of eight countries as a market folder, config.data.root.

python studies/exchange_rates.py --config=studies/configs/exchange_rates.py \\
    --rates=exchange_rate.txt.gz
The file is that of Lai et al. ("Modeling Long- and Short-Term Temporal Patterns with Deep Neural
Networks", 2018): a row a day, a column a country, without dates, ranges or volume. So its days are
numbered from January 1990 on, Mondays to Fridays, and each bar's prices are the day's rate.
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config

_RATES = flags.DEFINE_string("rates", None, "The file of rates", required=True)
_COUNTRIES = ("AUS", "GBR", "CAN", "CHE", "CHN", "JPN", "NZL", "SGP")


def main(config: Config) -> None:
    import pandas as pd
    from exchange_calendars import get_calendar

    from fusionjax.errors import InputError
    from fusionjax.telemetry import say

    try:
        rates = pd.read_csv(_RATES.value, header=None, dtype=float)
    except (OSError, ValueError) as e:
        raise InputError(f"{_RATES.value}: cannot be read as numbers ({e})") from e
    if rates.shape[1] != len(_COUNTRIES) or not (rates > 0).all(axis=None):
        raise InputError(
            f"{_RATES.value}: expected {len(_COUNTRIES)} columns of positive rates, and has "
            f"{rates.shape[1]} columns with a least value of {rates.to_numpy().min():g}"
        )
    calendar = get_calendar(config.data.calendar, start="1990-01-01")
    days = calendar.sessions_window("1990-01-01", len(rates))
    long = rates.set_axis(_COUNTRIES, axis=1).assign(date=days).melt("date", var_name="symbol")
    prices = dict.fromkeys(["open", "high", "low", "close", "adj_close"], long["value"])
    folder = Path(config.data.root)
    folder.mkdir(parents=True, exist_ok=True)
    bars = long[["symbol", "date"]].assign(**prices, volume=1.0).sort_values(["symbol", "date"])
    bars.to_parquet(folder / "bars.parquet", index=False)
    say(f"{len(rates):,} days to {folder}; fusionjax prepare reads it")


if __name__ == "__main__":
    app.run(main)
