"""Scores a run and the baselines, with intervals; docs/evaluation.md says how.

python launch/evaluate.py --config=configs/acl18.py --run=runs/acl18 --split=dev
A withheld period: --data.root=FOLDER of the same layout, --split=test.
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import InputError

_RUN = flags.DEFINE_string("run", None, "Run folder (all its seeds) or one seed's")
_ALSO = flags.DEFINE_multi_string("also", [], "Further runs to show in the table")
_SPLIT = flags.DEFINE_string("split", None, "Split; config.evaluate.split if not given")
_ROOT = flags.DEFINE_string("data.root", None, "Short for --config.data.root")
_ALONE = flags.DEFINE_bool("alone", False, "Also train each modality alone, for the table")
_SUBSET = flags.DEFINE_bool("subset", False, "Score only the published sub-protocol's samples")
_FORCE = flags.DEFINE_bool("force", None, "Short for --config.evaluate.read_again")


def main(config: Config) -> None:
    if _RUN.value is None:
        raise InputError("--run is missing; give the folder that launch/train.py named at its end")
    from fusionjax.evaluate import answer, evaluation, leaks, table
    from fusionjax.evaluate.forecast import merged
    from fusionjax.evaluate.inference import Ensemble, read_info
    from fusionjax.train.run import open_market
    from fusionjax.train.telemetry import CONSOLE, say

    given = {
        "evaluate.split": _SPLIT.value,
        "evaluate.read_again": _FORCE.value,
        "data.root": _ROOT.value,
    }
    config = app.with_flags(config, given)
    run, split = Path(_RUN.value), config.evaluate.split
    config = merged(config, read_info(run).config)
    market = open_market(config.data)
    runs = {
        name: Ensemble(Path(name), merged(config, read_info(Path(name)).config), market)
        for name in (_RUN.value, *_ALSO.value)
    }
    alone = run / "ablation" if _ALONE.value else None
    options, ledger = evaluation.Options(_SUBSET.value, alone), Path(app.LEDGER.value)
    answered = answer.answer(runs, config, options, run, ledger)
    if answered is not None:
        say("\n".join(answered.marks))
        say(f"not scored again; written to {run}/{answered.name}.md")
        return
    evaluated = evaluation.evaluate(runs, market, config, ledger, options)
    scores = evaluated.scores
    anomalies = evaluation.publish(evaluated, config, run)
    say("\n".join([*scores.headline, *scores.marks]))
    CONSOLE.print(*table.for_screen(scores))
    say("\n".join(f"{stage}: {line}" for stage, lines in anomalies.items() for line in lines))
    say(f"written to {run}/{scores.name}.md")
    say(f"next: python launch/report.py {app.config_flag()} --run={run} --split={split}")
    leaks.require_answered(scores.suspect, config.evaluate)


if __name__ == "__main__":
    app.run(main)
