"""Scores a run beside its floors, with intervals.

python launch/evaluate.py --config=configs/acl18.py --run=runs/acl18 --split=dev
A period that was withheld: --data.root=FOLDER of the same layout, --split=test.
"""

from pathlib import Path

import numpy as np
from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.evaluate import table
from fusionjax.evaluate.forecast import merged
from fusionjax.evaluate.inference import Ensemble, read_info
from fusionjax.train.run import open_market
from fusionjax.train.telemetry import CONSOLE, say

_RUN = flags.DEFINE_string("run", None, "Run folder (all its seeds) or one seed's", required=True)
_ALSO = flags.DEFINE_multi_string("also", [], "Further runs to show in the table")
_SPLIT = flags.DEFINE_string(
    "split", None, "Split of the config; config.evaluate.split if not given"
)
_ROOT = flags.DEFINE_string("data.root", None, "Short for --config.data.root")
_SUBSET = flags.DEFINE_bool("subset", False, "Score only the published sub-protocol's samples")


def main(config: Config) -> None:
    changes = {"evaluate.split": _SPLIT.value, "data.root": _ROOT.value}
    config = config.override({k: v for k, v in changes.items() if v is not None})
    run = Path(_RUN.value)
    info = read_info(run)
    config = merged(config, info.config)
    market = open_market(config)
    first = np.datetime64(info.config.data.splits["train"][0], "D")
    train = samples.between(market, config, first, np.datetime64(info.trained_until, "D"))
    scored = samples.split(market, config, config.evaluate.split)
    others = {
        also: Ensemble(Path(also), merged(config, read_info(Path(also)).config), market)
        for also in _ALSO.value
    }
    scores = table.score_run(
        Ensemble(run, config, market),
        others,
        market,
        config,
        train,
        scored,
        str(run),
        _SUBSET.value,
    )
    for line in table.headline(scores):
        say(line)
    for made in table.tables(scores, config):
        CONSOLE.print(made)
    scores.save(run)
    say(
        f"written to {run}/scores_{config.evaluate.split}*.md and .json\n"
        f"next: python launch/predict.py {app.config_flag()} --run={run} "
        f"--symbol={market.symbols[0]} --at={scored.target_day.max()}"
    )


if __name__ == "__main__":
    app.run(main)
