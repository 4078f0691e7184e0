"""ACL18 as a stream: a parent that knows only what was known in May 2015, updated on June and July.

    fusionjax train --config=acl18_stream --seeds=5
    fusionjax finetune --config=acl18_stream --from=runs/acl18_stream
    fusionjax evaluate --config=acl18_stream --run=runs/acl18_stream_finetuned \\
        --also=runs/acl18_stream --also=runs/acl18

The table sets the fine-tuned child beside the stale parent and beside the model retrained from
scratch to the end of July (configs/acl18.py), all scored on August and September.
"""

from ml_collections import ConfigDict

from fusionjax.configs import acl18


def get_config() -> ConfigDict:
    c = acl18.get_config()
    c.name = "acl18_stream"
    c.data.splits = {
        "train": ("2014-01-01", "2015-05-31"),
        "stream": ("2015-06-01", "2015-07-31"),
        "live": ("2015-06-02", "2015-09-30"),  # of studies/stream.py: from June 1st on
        "dev": ("2015-08-01", "2015-09-30"),
    }
    c.finetune.split = "stream"
    c.finetune.steps = 32  # 8 % of the parent's 400
    c.finetune.promotion_sessions = 0  # all of June and July, as the retrained model has
    c.evaluate.locked = ()
    return c
