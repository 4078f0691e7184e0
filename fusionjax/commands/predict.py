"""Forecasts one stock at one time, or a list, with the weight of each modality.

fusionjax predict --config=demo --run=runs/demo --symbol=SPX --at=2018-06-29
Several: --symbol=AAPL,XOM --at=2015-09-01,2015-09-02. To a file: --out=forecasts.csv or .json.
"""

import json
from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import InputError

_RUN = flags.DEFINE_string("run", None, "Run folder (all its seeds) or one seed's", required=True)
_SYMBOL = flags.DEFINE_list("symbol", None, "One or more symbols; all if not given")
_AT = flags.DEFINE_list("at", ["last"], "Dates or ISO timestamps (UTC), or last: the newest bar")
_DATA = flags.DEFINE_string("data", None, "Folder of the raw files, in place of config.data.root")
_WITHOUT = flags.DEFINE_list("without", [], "Modalities to leave out")
_OUT = flags.DEFINE_string("out", None, "File to write, .json or .csv")


def main(config: Config) -> None:
    if _SYMBOL.value == [] or not _AT.value:
        raise InputError("--symbol and --at need a value if given, e.g. --symbol=SPX --at=last")
    from fusionjax import api
    from fusionjax.evaluate.forecast import write

    run = api.load(_RUN.value, app.with_flags(config, {"data.root": _DATA.value}))
    records = run.forecasts(_SYMBOL.value, _AT.value, without=_WITHOUT.value)
    print(json.dumps(records, indent=2))
    if _OUT.value is not None:
        write(records, Path(_OUT.value))
