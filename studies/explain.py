"""Is an explanation true? Trained on a planted market, and asked of days after training: is what it
names what the forecast moves without, is it what truly tells, and is noise called nothing?

python studies/explain.py --config=studies/configs/planted_parts.py --seeds=3 --samples=200
"""

import tempfile
from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config

_SEEDS = flags.DEFINE_integer("seeds", 3, "Markets, each with a training of its own")
_SAMPLES = flags.DEFINE_integer("samples", 200, "Explained forecasts of each")


def main(config: Config) -> None:
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.telemetry import say
    from studies.data import planted_parts
    from studies.fusion import faithfulness

    mesh = make_mesh(config.mesh)
    for seed in range(config.seed, config.seed + _SEEDS.value):
        planted = planted_parts.plant(seed)
        with tempfile.TemporaryDirectory() as folder:
            run = faithfulness.trained(planted, config, Path(folder), mesh)
            told = faithfulness.told(planted, run, config, _SAMPLES.value)
        say("\n".join([f"market {seed}, fusion {config.model.fusion}", *told.lines()]))


if __name__ == "__main__":
    app.run(main)
