"""How soon each update rule recovers from a known change, planted in real prices.

python studies/drift_recovery.py --config=studies/configs/drift.py
"""

from pathlib import Path

from fusionjax import app
from fusionjax.config import Config


def main(config: Config) -> None:
    import numpy as np

    from fusionjax.ledger import Result
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.telemetry import say
    from fusionjax.train.run import audited_market
    from studies.streams import RULES, drift_recovery
    from studies.streams.reading import question

    mesh, (market, _) = make_mesh(config.mesh), audited_market(config)
    cells = [f"{kind} {rule}" for kind in drift_recovery.KINDS for rule in RULES]
    asked = (config.name, config, market, cells, ())
    reading, found = question(*asked, Path(app.LEDGER.value)).begin(), []
    for recovery in drift_recovery.study(market, config, mesh, "gap", np.datetime64("2013-05-01")):
        found.append(recovery)
        say(f"{recovery.kind}, {recovery.rule}: done")
    last = {f"{r.kind}, {r.rule}: accuracy at the end": r.last for r in found}
    reading.finish(Result(last, {}))
    say("\n".join([*map(str, found), *reading.warnings]))


if __name__ == "__main__":
    app.run(main)
