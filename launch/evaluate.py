"""Scores a run beside its floors, with intervals.

python launch/evaluate.py --config=configs/acl18.py --run=runs/acl18 --split=dev
python launch/evaluate.py --config=configs/planted.py --ladder    # fusions, 2 to 6 modalities
python launch/evaluate.py --config=configs/planted.py --truth     # do the weights mean it?
python launch/evaluate.py --config=configs/planted.py --coreset=.3 # 30 % chosen, beside random
python launch/evaluate.py --config=configs/acl18.py --run=runs/acl18 --placebos=20 # what matters?
python launch/evaluate.py --config=configs/maec.py --ladder --placebos=20 # the same of a study
python launch/evaluate.py --shock    # method | coverage | worst 250 days | width, 20 simulations
A period that was withheld: --data.root=FOLDER of the same layout, --split=test.
"""

import json
import time
from pathlib import Path

from absl import flags

from fusionjax import app, files, ledger
from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import (
    ablation,
    coreset,
    diagnostics,
    evaluation,
    ladder,
    ladder_table,
    shock,
    table,
    truth,
    view_ablation,
)
from fusionjax.evaluate.forecast import merged
from fusionjax.evaluate.inference import Ensemble, read_info
from fusionjax.parallel.mesh import make_mesh
from fusionjax.report import frames
from fusionjax.train.run import open_market
from fusionjax.train.telemetry import CONSOLE, progress_bar, say

_RUN = flags.DEFINE_string("run", None, "Run folder (all its seeds) or one seed's")
_ALSO = flags.DEFINE_multi_string("also", [], "Further runs to show in the table")
_SPLIT = flags.DEFINE_string("split", None, "Split; config.evaluate.split if not given")
_ROOT = flags.DEFINE_string("data.root", None, "Short for --config.data.root")
_SUBSET = flags.DEFINE_bool("subset", False, "Score only the published sub-protocol's samples")
_ABLATE = flags.DEFINE_bool("ablate", False, "Change each modality's content under the run")
_PLACEBOS = flags.DEFINE_integer("placebos", 0, "Also train with each modality shuffled, so often")
_FORCE = flags.DEFINE_bool("force", False, "Score a locked split once more")
_TRUTH = flags.DEFINE_bool("truth", False, "Ask the weights of config.ladder's first fusion")
_LADDER = flags.DEFINE_bool("ladder", False, "Train and score config.ladder instead of a run")
_CORESET = flags.DEFINE_float("coreset", None, "Train on this share, chosen, beside random")
_SHOCK = flags.DEFINE_bool("shock", False, "Do intervals cover when volatility jumps? Simulated")
_PLOT = flags.DEFINE_bool("plot", False, "Draw the ladder too (needs the extra plots)")


def main(config: Config | None) -> None:
    if _SHOCK.value:
        for row in shock.study(range(20)):
            say(str(row))
        return
    if config is None:
        raise InputError("--config is missing; for example --config=configs/demo.py")
    if _LADDER.value or _TRUTH.value or _CORESET.value is not None:
        study(config, _SPLIT.value or config.evaluate.split)
        return
    if _RUN.value is None:
        raise InputError("--run is missing; give the folder that launch/train.py named at its end")
    begun = time.perf_counter()
    changes = {"evaluate.split": _SPLIT.value, "data.root": _ROOT.value}
    config = config.override({k: v for k, v in changes.items() if v is not None})
    folder, split = Path(_RUN.value), config.evaluate.split
    config = merged(config, read_info(folder).config)
    records = ledger.read(Path(app.LEDGER.value))
    if not _FORCE.value:
        ledger.require_unread(records, config, split)
    market = open_market(config)
    if _ABLATE.value or _PLACEBOS.value:
        ablate(Ensemble(folder, config, market), market, config, folder)
        return
    runs = {
        name: Ensemble(Path(name), merged(config, read_info(Path(name)).config), market)
        for name in (_RUN.value, *_ALSO.value)
    }
    scores, outcomes = evaluation.evaluate(runs, market, config, records, subset=_SUBSET.value)
    say("\n".join(scores.headline))
    CONSOLE.print(*table.for_screen(scores))
    evaluation.require_answered(scores, config)
    scores.save(folder)
    outcomes.save(folder)
    odd = diagnostics.diagnose(folder, config, None if _SUBSET.value else split)
    for stage, lines in odd.items():
        for line in lines:
            say(f"{stage}: {line}")
    first = runs[_RUN.value]
    ledger.append(
        Path(app.LEDGER.value),
        ledger.record(
            "evaluate",
            config,
            run=_RUN.value,
            data=market.fingerprint,
            seeds=first.seed_numbers,
            split=split,
            metrics=scores.metrics,
            daily=outcomes.daily,
            cost={"seconds": time.perf_counter() - begun},
            forced=_FORCE.value,
        ),
    )
    say(
        f"written to {folder}/{scores.name}.md and .json\n"
        f"next: python launch/report.py {app.config_flag()} --run={folder} --split={split}\n"
        f"or: python launch/predict.py {app.config_flag()} --run={folder} "
        f"--symbol={market.symbols[0]} --at={outcomes.last_day}"
    )


def ablate(run: Ensemble, market: Market, config: Config, folder: Path) -> None:
    """What each modality is worth to a run: its content changed, and against placebos."""
    split = config.evaluate.split
    scored = samples.split(market, config, split)
    tables = {"content": ablation.effects_table(ablation.of_content(run, market, config, scored))}
    CONSOLE.print(frames.for_screen(tables["content"], f"{folder}, {split}: rise of the loss"))
    if _PLACEBOS.value:
        mesh = make_mesh(config.mesh)
        trainings = ablation.Trainings(market, config, mesh, scored, folder / "ablation")
        seeds = len(run.seeds)
        with progress_bar() as progress:
            found = list(
                ablation.worth(trainings, market, config, scored, _PLACEBOS.value, seeds, progress)
            )
        weight = ablation.fusion_weights(run, config, scored)
        tables["placebos"] = ablation.worth_table(found, weight)
        title = f"{_PLACEBOS.value} placebos a modality, {seeds} seeds of the rest"
        CONSOLE.print(frames.for_screen(tables["placebos"].T.rename_axis(""), title))
    made = {name: json.loads(t.to_json(orient="table")) for name, t in tables.items()}
    files.write_text(folder / f"ablation_{split}.json", json.dumps(made))
    say(f"written to {folder}/ablation_{split}.json; launch/report.py shows it")


def study(config: Config, split: str) -> None:
    """What needs no run: the ladder, a coreset, or the truth about the weights."""
    if _TRUTH.value:
        CONSOLE.print(truth.for_screen(truth.findings(config), config))
        return
    with progress_bar() as progress:
        views = ladder.load(config, progress)
        if _CORESET.value is not None:
            CONSOLE.print(coreset.for_screen(coreset.compare(config, views, split, _CORESET.value)))
            return
        if _PLACEBOS.value:
            tables = view_ablation.ablate(config, views, split, _PLACEBOS.value, progress)
            for table_, what in zip(tables, ("content changed", "against placebos"), strict=True):
                CONSOLE.print(frames.for_screen(table_, f"{config.name}, {split}: {what}"))
            return
        cells = ladder.climb(config, views, split, progress)
        made = ladder_table.report(config, cells, views, split)
    CONSOLE.print(ladder_table.for_screen(made))
    saved = ladder_table.save(made, config, views[0].names, Path("runs"), split, _PLOT.value)
    say(f"written to {saved}")


if __name__ == "__main__":
    app.run(main, needs_config=False)
