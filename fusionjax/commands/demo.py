"""Trains five seeds on 18 years of the S&P 500, scores the two after and writes a page.

fusionjax demo              # needs no file and no download; runs/demo in this folder
"""

from absl import flags

from fusionjax import app
from fusionjax.config import Config

_SEEDS = flags.DEFINE_integer("seeds", 5, "Train this many seeds", lower_bound=1)


def main(config: Config) -> None:
    app.begin()
    from fusionjax import api
    from fusionjax.evaluate import leaks, table
    from fusionjax.telemetry import CONSOLE, say

    run = api.fit(config, seeds=_SEEDS.value, ledger=app.LEDGER.value)
    scores = run.scores()
    say("\n".join([*scores.headline, *scores.marks]))
    CONSOLE.print(*table.for_screen(scores))
    say(f"written to {run.report()}")
    again = app.command("predict", f"--run={run.folder}")
    say(f"next: {again}\nyour own data: {app.command('import', 'DOWNLOADS', '--out=market')}")
    leaks.require_answered(scores.suspect, config.evaluate)
