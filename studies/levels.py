"""Trains variants of a config, five seeds each, that show why it loses to a ridge on volatility.

python studies/levels.py --config=configs/kdd17.py
python studies/levels.py --config=configs/acl18.py --variant="no linear map" --variant="linear map"
The losses of all heads on evaluate.split, of the averaged seeds and of each, and what they are
above the first variant's, with 95 % intervals.
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from studies.fusion import LEVEL_VARIANTS

_VARIANTS = flags.DEFINE_multi_enum(
    "variant", list(LEVEL_VARIANTS), LEVEL_VARIANTS, "Variant; repeat for more"
)


def main(config: Config) -> None:
    from fusionjax import ledger
    from fusionjax.data import samples
    from fusionjax.evaluate import labels, readings
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.telemetry import say
    from fusionjax.train.run import audited_market
    from studies.fusion import levels

    market, audited = audited_market(config)
    split, setting = config.evaluate.split, readings.of_config(ledger.flat(config))
    reading = readings.Question(
        "levels",
        config,
        ledger.Subject(f"{config.name} levels", market.fingerprint, levels.seeds(config), split),
        labels.of_samples(market, samples.split(market, config, split)),
        tuple(readings.variant(setting, v) for v in _VARIANTS.value),
        ledger=Path(app.LEDGER.value),
    ).begin()
    mesh, variants = make_mesh(config.mesh), tuple(_VARIANTS.value)
    results = list(levels.rows(market, audited, config, mesh, variants))
    metrics = {f"{r.variant}: {k}": x for r in results for k, x in r.averaged.items()}
    reading.finish(ledger.Result(metrics, {}))
    say("\n".join([*reading.warnings, results[0].header, *map(str, results)]))


if __name__ == "__main__":
    app.run(main)
