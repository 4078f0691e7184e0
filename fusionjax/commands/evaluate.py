"""Scores a run, or any model's forecasts, and the baselines; docs/evaluation.md says how.

fusionjax evaluate --config=acl18 --run=runs/acl18 --split=dev
A withheld period: --data.root=FOLDER of the same layout, --split=test.
Forecasts of another package, with or without a run beside them (docs/peers.md):
fusionjax evaluate --config=acl18 --forecasts=lightgbm.csv
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import InputError

_RUN = flags.DEFINE_string("run", None, "Run folder (all its seeds) or one seed's")
_ALSO = flags.DEFINE_multi_string("also", [], "Further runs to show in the table")
_FORECASTS = flags.DEFINE_multi_string("forecasts", [], "Files of forecasts: CSV, parquet, jsonl")
_SCALE = flags.DEFINE_string(
    "scale", None, "What forecasts are whose columns do not say: price, close, return, ..."
)
_TRAINED_UNTIL = flags.DEFINE_string(
    "trained_until", None, "Last day that the forecasts may have learned from"
)
_COMMON = flags.DEFINE_bool("common", False, "Score only the samples that all forecasts have")
_SPLIT = flags.DEFINE_string(
    "split", None, "Split, or FROM:TO, its first and last day; config.evaluate.split if not given"
)
_DATA = flags.DEFINE_string("data", None, "Folder of the raw files, in place of config.data.root")
flags.DEFINE_alias("data.root", "data")
_ALONE = flags.DEFINE_bool("alone", False, "Also train each modality alone, for the table")
_SUBSET = flags.DEFINE_bool("subset", False, "Score only the published sub-protocol's samples")
_FORCE = flags.DEFINE_bool("force", None, "Short for --config.evaluate.read_again")


def main(config: Config) -> None:
    if _RUN.value is None and not _FORECASTS.value:
        raise InputError(
            "--run is missing; give the folder that fusionjax train named at its end, or a file of "
            "forecasts with --forecasts"
        )
    if _RUN.value is None and (_ALONE.value or _ALSO.value):
        raise InputError("--alone and --also go with --run; further files: --forecasts again")
    app.begin()
    from fusionjax.evaluate import answer, evaluation, file_forecasts, leaks, table
    from fusionjax.evaluate.forecast import merged
    from fusionjax.evaluate.inference import Ensemble, read_info
    from fusionjax.forecast_files import reader
    from fusionjax.telemetry import CONSOLE, say
    from fusionjax.train.run import open_market

    given = {
        "evaluate.split": _SPLIT.value,
        "evaluate.read_again": _FORCE.value,
        "data.root": _DATA.value,
    }
    config = app.with_flags(config, given)
    split = config.evaluate.split
    runs = [] if _RUN.value is None else [Path(name) for name in (_RUN.value, *_ALSO.value)]
    if runs:
        config = merged(config, read_info(runs[0]).config)
    market = open_market(config.data)
    paths = [Path(name) for name in _FORECASTS.value]
    told = reader.Told(_SCALE.value, _TRAINED_UNTIL.value)
    files = [f for path in paths for f in reader.read(path, market, config.data, told)]
    folder = runs[0] if runs else Path("runs/forecasts") / paths[0].stem
    config = config if runs else file_forecasts.forecast_targets(files[0], config)
    trained = {
        str(name): Ensemble(name, merged(config, read_info(name).config), market) for name in runs
    }
    forecasters = file_forecasts.beside(trained, files, market, config)
    alone, ledger = folder / "ablation" if _ALONE.value else None, Path(app.LEDGER.value)
    options = evaluation.Options(_SUBSET.value, alone, _COMMON.value)
    answered = answer.answer(forecasters, config, options, folder, ledger)
    if answered is not None:
        say("\n".join(answered.marks))
        say(f"not scored again; written to {folder}/{answered.name}.md")
        return
    evaluated = evaluation.evaluate(forecasters, market, config, ledger, options)
    scores = evaluated.scores
    anomalies = evaluation.publish(evaluated, config, folder)
    if not runs:
        file_forecasts.describe(folder, config)
    say("\n".join([*scores.headline, *scores.marks]))
    CONSOLE.print(*table.for_screen(scores))
    say("\n".join(f"{stage}: {line}" for stage, lines in anomalies.items() for line in lines))
    say(f"written to {folder}/{scores.name}.md")
    say(f"next: {app.command('report', f'--run={folder}', f'--split={split}')}")
    leaks.require_answered(scores.suspect, config.evaluate)
