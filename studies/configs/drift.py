"""How soon detectors notice known changes and update rules recover from them.

    python benchmarks/detectors.py                                    # detectors, simulated
    python studies/drift_recovery.py --config=studies/configs/drift.py      # update rules

The second plants a clue to the next move into KDD17's prices (training: 2011 and 2012, stream:
2013; the change is on 2013-05-01) and runs the stream under each rule; half an hour.
"""

from ml_collections import ConfigDict

from fusionjax.configs import kdd17


def get_config() -> ConfigDict:
    c = kdd17.get_config()
    c.name = "drift"
    c.data.splits = {
        "train": ("2011-01-01", "2012-12-31"),
        "live": ("2013-01-03", "2013-12-31"),
    }
    del c.modalities["market"]
    c.targets.direction.weight = 1.0
    c.train.steps = 200
    c.distill.experts = ()  # updates of the network are compared
    c.model.dropout, c.train.modality_dropout = 0.1, 0.0
    return c
