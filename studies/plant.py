"""Writes a planted market as a market folder: prices, posts, PNG, WAV and MP4 with a known truth.

python studies/plant.py --config=planted_folder --sessions=4000
The folder is config.data.root, the seed config.seed.
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config

_SESSIONS = flags.DEFINE_integer("sessions", None, "So many, from January 1990 on", required=True)
_REGIME = flags.DEFINE_string("regime", "full", "Which market of studies/data/planted.py")


def main(config: Config) -> None:
    import numpy as np

    from fusionjax.telemetry import say
    from studies.data import planted, planted_folder

    market = planted.plant(planted.regime(_REGIME.value), config.seed)
    planted_folder.write(market, Path(config.data.root), np.arange(_SESSIONS.value))
    say(f"written to {config.data.root}; fusionjax prepare reads it")


if __name__ == "__main__":
    app.run(main)
