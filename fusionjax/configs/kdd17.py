"""KDD17 as a stream: 50 US stocks, trained on 2007-2012, updated and scored through 2013 and 2014.

    fusionjax train --config=kdd17 --seeds=5
    python studies/stream.py --config=kdd17 --from=runs/kdd17

The second command runs the 503 sessions under every rule, from no update to a training from scratch
every month, with five seeds each: some forty minutes on one core; docs/adaptation.md has
the table. Raw data: --config.data.root, the folder with prices_raw.parquet. The model's settings
are those that were chosen for configs/acl18.py; those of an update were set so that all of a
month's cost less than 2 % of a training from scratch.
"""

from ml_collections import ConfigDict

from fusionjax.configs import acl18


def get_config() -> ConfigDict:
    c = acl18.get_config()
    c.name = "kdd17"
    c.data.source = "kdd17"
    c.data.root = "../shared/datasets/kdd17"
    c.data.splits = {
        "train": ("2007-01-01", "2012-12-31"),
        "live": ("2013-01-03", "2014-12-31"),
    }
    del c.modalities["text"]
    c.modalities.market.channels = tuple(
        x for x in c.modalities.market.channels if x != "sector_ret"
    )
    c.evaluate.split = "live"
    c.evaluate.locked = ()
    c.finetune.split = "live"
    c.finetune.update_interval, c.finetune.steps, c.finetune.warmup_steps = 7, 2, 0
    c.finetune.learning_rate = 1e-3
    return c
