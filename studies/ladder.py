"""Trains and scores each fusion of config.ladder, and a baseline, on growing sets of modalities.

python studies/ladder.py --config=studies/configs/planted.py --split=test --plot
python studies/ladder.py --config=studies/configs/maec.py --split=test    # earnings calls
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.errors import require_extra
from studies.schema import StudyConfig

_SPLIT = flags.DEFINE_string("split", None, "Split; config.evaluate.split if not given")
_PLOT = flags.DEFINE_bool("plot", False, "Draw the ladder too (needs the extra plots)")


def main(config: StudyConfig) -> None:
    if _PLOT.value:
        require_extra("plots", "matplotlib")
    from fusionjax.telemetry import CONSOLE, progress_bar, say
    from studies.fusion import ladder, ladder_table
    from studies.fusion.reading import StudyReading

    split = _SPLIT.value or config.evaluate.split
    with progress_bar() as progress:
        views = ladder.load(config, progress)
        config = ladder.with_subsets(config, views[0])
        reading = StudyReading("ladder", config, views[0], split, Path(app.LEDGER.value))
        cells = ladder.climb(config, views, split, progress)
        report = ladder_table.report(config, cells, views, split)
    reading.finish(report.cells)
    CONSOLE.print(
        ladder_table.for_screen(report),
        ladder_table.against_best(report),
        *reading.reading.warnings,
    )
    saved = ladder_table.save(report, config, views[0].names, Path("runs"), split, _PLOT.value)
    say(f"written to {saved}")


if __name__ == "__main__":
    app.run(main, app.Needs(schema=StudyConfig))
