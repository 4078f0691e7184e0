"""Exchange rates of eight countries (studies/exchange_rates.py writes them as a folder).

    C=--config=studies/configs/exchange_rates.py
    python studies/exchange_rates.py $C --rates=exchange_rate.txt.gz
    python benchmarks/experts.py $C
    fusionjax train $C --seeds=5
    fusionjax evaluate $C --run=runs/exchange_rates

The published split is 7:1:2 of 7,588 rows: the first seven tenths train and the next is dev. Days
are numbers (there are none in the file). The rate is all there is, so ranges say nothing.
"""

from ml_collections import ConfigDict

from fusionjax.configs import base


def get_config() -> ConfigDict:
    c = base.get_config()
    c.name = "exchange_rates"
    c.data.source, c.data.root, c.data.calendar = "folder", "exchange_rates", "24/5"
    c.data.splits.train = ("1990-01-01", "2010-05-10")  # rows 1 to 5,311
    c.data.splits.dev = ("2010-05-11", "2013-04-08")
    c.modalities.price = base.modality("numeric")
    c.evaluate.market_channel = "market_ret"
    return c
