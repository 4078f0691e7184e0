"""Compares the weights of config.ladder's first fusion with a known ground truth.

python studies/ground_truth.py --config=studies/configs/planted.py
python studies/ground_truth.py --config=studies/configs/digits.py
--config.ladder.variant=wrong_labels
"""

from fusionjax import app
from studies.schema import StudyConfig


def main(config: StudyConfig) -> None:
    from fusionjax.telemetry import CONSOLE
    from studies.fusion import ground_truth

    CONSOLE.print(ground_truth.for_screen(ground_truth.findings(config), config))


if __name__ == "__main__":
    app.run(main, app.Needs(schema=StudyConfig))
