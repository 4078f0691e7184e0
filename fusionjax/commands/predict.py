"""Forecasts one stock at one time, or a list, with the weight of each modality.

fusionjax predict --config=demo --run=runs/demo --symbol=SPX --at=2018-06-29
Several: --symbol=AAPL,XOM --at=2015-09-01,2015-09-02. To a file: --out=forecasts.csv or .json.
"""

import json
from pathlib import Path

from absl import flags

from fusionjax.config import Config
from fusionjax.errors import InputError

_RUN = flags.DEFINE_string("run", None, "Run folder (all its seeds) or one seed's", required=True)
_SYMBOL = flags.DEFINE_list("symbol", None, "One or more symbols", required=True)
_AT = flags.DEFINE_list("at", None, "One or more dates or ISO timestamps (UTC)", required=True)
_WITHOUT = flags.DEFINE_list("without", [], "Modalities to leave out")
_OUT = flags.DEFINE_string("out", None, "File to write, .json or .csv")


def main(config: Config) -> None:
    if not _SYMBOL.value or not _AT.value:
        raise InputError("--symbol and --at each need a value, e.g. --symbol=SPX --at=2018-06-29")
    from fusionjax.evaluate.forecast import forecast, merged, row_at, write
    from fusionjax.evaluate.inference import Ensemble, read_info
    from fusionjax.train.run import open_market

    run = Path(_RUN.value)
    config = merged(config, read_info(run).config)
    market = open_market(config.data)
    rows = [row_at(market, config.data, s, at) for s in _SYMBOL.value for at in _AT.value]
    records = forecast(
        Ensemble(run, config, market), market, config, rows, frozenset(_WITHOUT.value)
    )
    print(json.dumps(records, indent=2))
    if _OUT.value is not None:
        write(records, Path(_OUT.value))
