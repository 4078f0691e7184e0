"""Does a modality matter to config.ladder's first fusion? Content changed, and placebos trained.

python studies/ablate.py --config=studies/configs/maec.py --placebos=20 --split=test
fusionjax ablate does the same for a run.
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from studies.schema import StudyConfig

_SPLIT = flags.DEFINE_string("split", None, "Split; config.evaluate.split if not given")
_PLACEBOS = flags.DEFINE_integer("placebos", 0, "Train with each modality shuffled, so many times")


def main(config: StudyConfig) -> None:
    from fusionjax.report import ablation as report
    from fusionjax.telemetry import CONSOLE, progress_bar, say
    from studies.fusion import ladder, view_ablation
    from studies.fusion.reading import StudyReading

    split = _SPLIT.value or config.evaluate.split
    with progress_bar() as progress:
        views = ladder.load(config, progress)
        config = ladder.with_subsets(config, views[0])
        reading = StudyReading("ablate", config, views[0], split, Path(app.LEDGER.value))
        content, worth = view_ablation.ablate(config, views, split, _PLACEBOS.value, progress)
    reading.finish([])
    tables = {"content": content, "placebos": worth}
    CONSOLE.print(*report.for_screen(tables, f"{config.name}, {split}"))
    path = Path(f"runs/{config.name}/ablation_{split}.json")
    report.save(tables, path)
    say("\n".join([*reading.reading.warnings, f"written to {path}"]))


if __name__ == "__main__":
    app.run(main, app.Needs(schema=StudyConfig))
