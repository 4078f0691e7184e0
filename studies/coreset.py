"""Trains config.ladder's first fusion on a chosen share of the samples, beside random and all.

python studies/coreset.py --config=studies/configs/planted.py --share=.3 --split=test
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from studies.schema import StudyConfig

_SHARE = flags.DEFINE_float("share", None, "Of the training samples, in (0, 1)", required=True)
_SPLIT = flags.DEFINE_string("split", None, "Split; config.evaluate.split if not given")


def main(config: StudyConfig) -> None:
    from fusionjax.telemetry import CONSOLE, progress_bar
    from studies.fusion import coreset, ladder
    from studies.fusion.reading import StudyReading

    split = _SPLIT.value or config.evaluate.split
    with progress_bar() as progress:
        views = ladder.load(config, progress)
        config = ladder.with_subsets(config, views[0])
        reading = StudyReading("coreset", config, views[0], split, Path(app.LEDGER.value))
        comparison = coreset.compare(config, views, split, _SHARE.value)
    reading.finish(comparison.cells.values())
    CONSOLE.print(coreset.for_screen(comparison), *reading.reading.warnings)


if __name__ == "__main__":
    app.run(main, app.Needs(schema=StudyConfig))
