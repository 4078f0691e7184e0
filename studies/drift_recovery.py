"""How soon each update rule recovers from a known change, planted in real prices.

python studies/drift_recovery.py --config=studies/configs/drift.py
"""

from fusionjax import app
from fusionjax.config import Config


def main(config: Config) -> None:
    import numpy as np

    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.train.run import audited_market
    from fusionjax.train.telemetry import say
    from studies.streams import drift_recovery

    mesh, (market, _) = make_mesh(config.mesh), audited_market(config)
    for recovery in drift_recovery.study(market, config, mesh, "gap", np.datetime64("2013-05-01")):
        say(str(recovery))


if __name__ == "__main__":
    app.run(main)
