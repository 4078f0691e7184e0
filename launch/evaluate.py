"""Scores a run beside its floors, with intervals; docs/evaluation.md says how.

python launch/evaluate.py --config=configs/acl18.py --run=runs/acl18 --split=dev
python launch/evaluate.py --config=configs/planted.py --ladder    # fusions, 2 to 6 modalities
python launch/evaluate.py --config=configs/planted.py --truth     # do the weights mean it?
python launch/evaluate.py --config=configs/planted.py --coreset=.3 # 30 % chosen, beside random
A period that was withheld: --data.root=FOLDER of the same layout, --split=test.
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import InputError, require_extra

_RUN = flags.DEFINE_string("run", None, "Run folder (all its seeds) or one seed's")
_ALSO = flags.DEFINE_multi_string("also", [], "Further runs to show in the table")
_SPLIT = flags.DEFINE_string("split", None, "Split; config.evaluate.split if not given")
_ROOT = flags.DEFINE_string("data.root", None, "Short for --config.data.root")
_ALONE = flags.DEFINE_bool("alone", False, "Train every modality alone too, to show beside")
_SUBSET = flags.DEFINE_bool("subset", False, "Score only the published sub-protocol's samples")
_FORCE = flags.DEFINE_bool("force", False, "Score a locked split once more")
_TRUTH = flags.DEFINE_bool("truth", False, "Ask the weights of config.ladder's first fusion")
_LADDER = flags.DEFINE_bool("ladder", False, "Train and score config.ladder instead of a run")
_CORESET = flags.DEFINE_float("coreset", None, "Train on this share, chosen, beside random")
_PLOT = flags.DEFINE_bool("plot", False, "Draw the ladder too (needs the extra plots)")


def main(config: Config) -> None:
    if _LADDER.value or _TRUTH.value or _CORESET.value is not None:
        study(config, _SPLIT.value or config.evaluate.split)
        return
    if _RUN.value is None:
        raise InputError("--run is missing; give the folder that launch/train.py named at its end")
    from fusionjax import ledger
    from fusionjax.evaluate import evaluation, table
    from fusionjax.evaluate.forecast import merged
    from fusionjax.evaluate.inference import Ensemble, read_info
    from fusionjax.train.run import open_market
    from fusionjax.train.telemetry import CONSOLE, say

    config = app.given(config, {"evaluate.split": _SPLIT.value, "data.root": _ROOT.value})
    run, split = Path(_RUN.value), config.evaluate.split
    config = merged(config, read_info(run).config)
    records, forced = ledger.read(Path(app.LEDGER.value)), _FORCE.value
    ledger.require_unread([] if forced else records, config, split)
    market = open_market(config)
    runs = {
        name: Ensemble(Path(name), merged(config, read_info(Path(name)).config), market)
        for name in (_RUN.value, *_ALSO.value)
    }
    alone = run / "ablation" if _ALONE.value else None
    made = evaluation.evaluate(runs, market, config, records, _SUBSET.value, forced, alone)
    say("\n".join(made.scores.headline))
    CONSOLE.print(*table.for_screen(made.scores))
    odd = evaluation.publish(made, config, run, Path(app.LEDGER.value))
    say("\n".join(f"{stage}: {line}" for stage, lines in odd.items() for line in lines))
    say(f"written to {run}/{made.scores.name}.md")
    say(f"next: python launch/report.py {app.config_flag()} --run={run} --split={split}")


def study(config: Config, split: str) -> None:
    """What needs no run: the ladder, a coreset, or the truth about the weights."""
    if _PLOT.value:
        require_extra("plots", "matplotlib")
    from fusionjax.evaluate import coreset, ladder, ladder_table, truth
    from fusionjax.train.telemetry import CONSOLE, progress_bar, say

    if _TRUTH.value:
        CONSOLE.print(truth.for_screen(truth.findings(config), config))
        return
    with progress_bar() as progress:
        views = ladder.load(config, progress)
        if _CORESET.value is not None:
            CONSOLE.print(coreset.for_screen(coreset.compare(config, views, split, _CORESET.value)))
            return
        cells = ladder.climb(config, views, split, progress)
        made = ladder_table.report(config, cells, views, split)
    CONSOLE.print(ladder_table.for_screen(made))
    saved = ladder_table.save(made, config, views[0].names, Path("runs"), split, _PLOT.value)
    say(f"written to {saved}")


if __name__ == "__main__":
    app.run(main)
