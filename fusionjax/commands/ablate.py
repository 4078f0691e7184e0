"""Measures what a modality is worth: changes its content, and trains with it shuffled.

fusionjax ablate --config=acl18 --run=runs/acl18 --placebos=20
Without --placebos nothing is trained. If killed, the same command resumes.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from fusionjax import app
from fusionjax.config import Config

if TYPE_CHECKING:
    import pandas as pd

_RUN = flags.DEFINE_string("run", None, "Run folder", required=True)
_SPLIT = flags.DEFINE_string(
    "split", None, "Split, or FROM:TO, its first and last day; config.evaluate.split if not given"
)
_PLACEBOS = flags.DEFINE_integer("placebos", 0, "Train with each modality shuffled, so many times")


def main(config: Config) -> None:
    from fusionjax.evaluate import leaks
    from fusionjax.report import ablation as report
    from fusionjax.telemetry import CONSOLE, say

    config = config.override({"evaluate.split": _SPLIT.value or config.evaluate.split})
    folder, split = Path(_RUN.value), config.evaluate.split
    tables, warnings = of_run(config, folder)
    CONSOLE.print(*report.for_screen(tables, f"{config.name}, {split}"))
    path = folder / f"ablation_{split}.json"
    report.save(tables, path)
    say("\n".join([*warnings, f"written to {path}; fusionjax report shows it"]))
    suspect = tables["leak alarms"].index.tolist() if "leak alarms" in tables else []
    leaks.require_answered(suspect, config.evaluate)


def of_run(config: Config, folder: Path) -> tuple[dict[str, "pd.DataFrame"], list[str]]:
    """Tables of changed content and, with --placebos, of retrained configs; warnings of reading."""
    from fusionjax import ledger
    from fusionjax.data import samples
    from fusionjax.evaluate import ablation, labels, readings
    from fusionjax.evaluate.forecast import merged
    from fusionjax.evaluate.inference import Ensemble, read_info
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.telemetry import progress_bar
    from fusionjax.train.run import open_market

    config = merged(config, read_info(folder).config)
    market = open_market(config.data)
    run, split = Ensemble(folder, config, market), config.evaluate.split
    scored = samples.split(market, config, split)
    if _PLACEBOS.value:
        ablation.require_placebos(_PLACEBOS.value)
    ours = readings.of_run(run)
    without = [f"{what} {m}" for m in config.modalities for what in ("without", "only")]
    reading = readings.Question(
        "ablate",
        config,
        ledger.Subject(str(folder), market.fingerprint, run.seed_numbers, split),
        labels.of_samples(market, scored),
        (ours, *(readings.variant(ours, w) for w in without if _PLACEBOS.value)),
        (run.info.config,),
        Path(app.LEDGER.value),
        market.encoders,
    ).begin()
    effects = ablation.of_content(run, market, config, scored)
    tables, metrics = {"content": ablation.effects_table(effects)}, ablation.numbers(effects)
    suspect = ablation.suspect_table(run, market, config, scored)
    if len(suspect):
        tables["leak alarms"] = suspect
    if _PLACEBOS.value:
        mesh = make_mesh(config.mesh)
        trainings = ablation.Trainings(market, config, mesh, scored, folder / "ablation")
        with progress_bar() as progress:
            worth = list(
                ablation.worth(trainings, config, scored, _PLACEBOS.value, len(run.seeds), progress)
            )
            weight = ablation.fusion_weights(run, config.modalities, scored)
            tables["placebos"] = ablation.worth_table(worth, weight)
            metrics |= {
                f"gain of {w.modality}: {k}": v.value for w in worth for k, v in w.gain.items()
            }
    reading.finish(ledger.Result(metrics, {}, suspect=tuple(suspect.index)))
    return tables, reading.warnings
