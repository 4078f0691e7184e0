"""Do the weights of config.ladder's first fusion mean what they say, where the truth is known?

python studies/truth.py --config=studies/configs/planted.py
python studies/truth.py --config=studies/configs/digits.py --config.ladder.variant=wrong_labels
"""

from fusionjax import app
from studies.schema import StudyConfig


def main(config: StudyConfig) -> None:
    from fusionjax.train.telemetry import CONSOLE
    from studies.fusion import truth

    CONSOLE.print(truth.for_screen(truth.findings(config), config))


if __name__ == "__main__":
    app.run(main, schema=StudyConfig)
