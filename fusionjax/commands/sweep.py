"""Scores many settings on folds of the training period; each is recorded at its end.

fusionjax sweep --config=acl18    # config.sweep: method, space, seeds
If killed, the same command resumes. Which keys matter most, one at a time:
--config.sweep.method=sensitivity --config.sweep.seeds=3
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import require_extra

_OUT = flags.DEFINE_string("out", None, "Folder of sweep.html; runs/<config name> if not given")


def main(config: Config) -> None:
    require_extra("plots", "plotly")  # of the page at the end
    app.begin()
    from fusionjax.evaluate import leaks, sweep
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.report import frames
    from fusionjax.report import sweep as page
    from fusionjax.telemetry import CONSOLE, say
    from fusionjax.train.run import audited_market

    mesh = make_mesh(config.mesh)
    market, _ = audited_market(config)
    points = []
    for changes, record, new in sweep.run(market, config, mesh, Path(app.LEDGER.value)):
        points.append((changes, record, new))
        scores = "  ".join(f"{k} {v:.4f}" for k, v in record.metrics.items())
        say(f"{'' if new else 'known: '}{scores}  {changes or 'as it is'}, seed {record.seeds[0]}")
    CONSOLE.print(frames.for_screen(sweep.table(points), "best first"))
    if config.sweep.method == "sensitivity":
        CONSOLE.print(frames.for_screen(sweep.effects(points), "what matters most"))
    folder = Path(_OUT.value or f"runs/{config.name}")
    say(f"written to {page.write(config, points, folder)}")
    leaks.require_answered([x for _, r, _ in points for x in r.suspect], config.evaluate)
