"""The fusion alone on a file of views of your own, as it is or spoilt.

    python studies/ladder.py --split=test --config=studies/configs/views.py --config.ladder.root=F
    … --config.ladder.variant=noise    (or missing, junk, conflict, few, few_junk, wrong_labels)

F is an .npz, or a parquet file, of ``view_*`` [N, D] and ``label`` [N] (docs/fusion.md). Five
seeds. Rows without a time are shuffled, so "later" means nothing then and the meta set is a random
40 % of the training rows.
"""

from ml_collections import ConfigDict

from studies.configs import planted


def get_config() -> ConfigDict:
    c = planted.get_config()
    c.name = "views"
    c.ladder.data, c.ladder.variant, c.ladder.seeds = "views", "clean", 5
    c.ladder.subsets, c.ladder.oracle = (), ()
    return c
