"""S&P 500, 1999-2018: three modalities, two targets, nothing to download.

    make demo            (or: fusionjax train --config=demo)

price: the index's own bars with NASDAQ and WTI as context. vix: implied volatility, which exists
only from 2014 on and is missing before. chart: candlesticks drawn from the look-back window.
Fine-tuning: --from a run on 2017, then score 2018 with --split=late.
Targets: the next session's direction and the volatility of the next five. Trains on 1999-2016,
scores 2017-2018, which chose nothing: width, dropout and loss weights are those that ACL18's
rolling origin selected.
"""

from ml_collections import ConfigDict

from fusionjax.configs import base
from fusionjax.data.names import PRICE_CHANNELS


def get_config() -> ConfigDict:
    c = base.get_config()
    c.name = "demo"
    c.data.splits.stream = ("2017-01-01", "2017-12-31")
    c.data.splits.late = ("2018-01-01", "2018-12-31")
    c.modalities.price = base.modality(
        "numeric", sessions=64, patch=8, channels=(*PRICE_CHANNELS, "nasdaq_ret", "wti_ret")
    )
    c.modalities.vix = base.modality("numeric", sessions=16, channels=("vix_level", "vix_change"))
    c.modalities.chart = base.modality("chart", sessions=32, height=60)
    c.finetune.split, c.evaluate.market_channel = "stream", "nasdaq_ret"
    c.model.dropout, c.train.modality_dropout = 0.3, 0.3
    c.targets.direction.weight, c.model.width = 0.1, 32
    c.selection.fold_sessions = 252
    return c
