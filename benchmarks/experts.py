"""Do experts weighed together ever do worse than the one that the meta set would have chosen?

python benchmarks/experts.py --config=configs/kdd17.py    # and demo, acl18; minutes

Rolling origins over the later half of training and scored period: before each part everything is
fitted and weighed anew, and the part is scored. Losses are squared errors of log volatility, log
losses of direction, pinball losses of returns. docs/fusion.md has the tables. ``--plot=FILE.svg``
draws how much each expert of volatility counts after each origin (needs the extra plots).
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import require_extra

_BLOCKS = flags.DEFINE_integer("blocks", 5, "Parts of the later half")
_PLOT = flags.DEFINE_string("plot", None, "Where to draw the weights of volatility's experts")


def main(config: Config) -> None:
    import pandas as pd

    from benchmarks.measures import expert_origins
    from fusionjax.report import frames
    from fusionjax.telemetry import CONSOLE
    from fusionjax.train.run import open_market

    if _PLOT.value:
        require_extra("plots", "matplotlib")
    rows = []
    blocks = list(expert_origins.blocks(open_market(config.data), config, _BLOCKS.value))
    for b in blocks:
        best = min(b.alone, key=lambda k: b.alone[k])
        head, at = b.task
        rows.append(
            {
                "head": f"{head} {config.targets[head].horizons[at]}d",
                "from": str(b.first),
                "together": b.together,
                "chosen": b.chosen,
                "harm": f"{100 * b.harm:+.2f} %",
                "equal": b.equal,
                "best": f"{b.alone[best]:.4g} {best}",
                "weights": ", ".join(f"{k} {w:.2f}" for k, w in b.weight.items()),
            }
        )
    table = pd.DataFrame(rows).sort_values(["head", "from"]).set_index("head")
    CONSOLE.print(frames.for_screen(table, f"{config.name}: experts after each origin"))
    if _PLOT.value:
        expert_origins.plot([b for b in blocks if b.task == ("volatility", 0)], Path(_PLOT.value))


if __name__ == "__main__":
    app.run(main)
