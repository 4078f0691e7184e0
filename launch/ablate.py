"""Does a modality matter? Its content changed under a run, and learned as noise beside it.

python launch/ablate.py --config=configs/acl18.py --run=runs/acl18 --placebos=20
python launch/ablate.py --config=configs/maec.py --placebos=20 --split=test    # of a study
Without --placebos nothing is trained. Killed, the same command goes on.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from fusionjax import app, files
from fusionjax.config import Config

if TYPE_CHECKING:
    import pandas as pd

_RUN = flags.DEFINE_string("run", None, "Run folder; config.ladder's study if not given")
_SPLIT = flags.DEFINE_string("split", None, "Split; config.evaluate.split if not given")
_PLACEBOS = flags.DEFINE_integer("placebos", 0, "Train with each modality shuffled, so many times")


def main(config: Config) -> None:
    from fusionjax.report import frames
    from fusionjax.train.telemetry import CONSOLE, say

    config = config.override({"evaluate.split": _SPLIT.value or config.evaluate.split})
    folder = Path(_RUN.value or f"runs/{config.name}")
    tables = of_study(config) if _RUN.value is None else of_run(config, folder)
    for what, table in tables.items():
        title = f"{config.name}, {config.evaluate.split}: {what}"
        CONSOLE.print(
            frames.for_screen(table.T.rename_axis("") if len(table) < 9 else table, title)
        )
    made = {what: json.loads(t.to_json(orient="table")) for what, t in tables.items()}
    path = folder / f"ablation_{config.evaluate.split}.json"
    files.write_text(path, json.dumps(made))
    say(f"written to {path}" + "; launch/report.py shows it" * (_RUN.value is not None))


def of_run(config: Config, folder: Path) -> dict[str, "pd.DataFrame"]:
    """Content changed under a run, and trainings of its config."""
    from fusionjax.data import samples
    from fusionjax.evaluate import ablation
    from fusionjax.evaluate.forecast import merged
    from fusionjax.evaluate.inference import Ensemble, read_info
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.train.run import open_market
    from fusionjax.train.telemetry import progress_bar

    config = merged(config, read_info(folder).config)
    market = open_market(config)
    run, scored = (
        Ensemble(folder, config, market),
        samples.split(market, config, config.evaluate.split),
    )
    tables = {"content": ablation.effects_table(ablation.of_content(run, market, config, scored))}
    if _PLACEBOS.value:
        mesh = make_mesh(config.mesh)
        made = ablation.Trainings(market, config, mesh, scored, folder / "ablation")
        with progress_bar() as progress:
            found = ablation.worth(made, config, scored, _PLACEBOS.value, len(run.seeds), progress)
            weight = ablation.fusion_weights(run, config, scored)
            tables["placebos"] = ablation.worth_table(list(found), weight)
    return tables


def of_study(config: Config) -> dict[str, "pd.DataFrame"]:
    """The same of config.ladder's first fusion."""
    from fusionjax.evaluate import ladder, view_ablation
    from fusionjax.train.telemetry import progress_bar

    with progress_bar() as progress:
        views = ladder.load(config, progress)
        content, worth = view_ablation.ablate(
            config, views, config.evaluate.split, _PLACEBOS.value, progress
        )
    return {"content": content, "placebos": worth}


if __name__ == "__main__":
    app.run(main)
