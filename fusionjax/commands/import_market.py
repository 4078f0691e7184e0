"""From downloads to a market folder with its config: prices and news as vendors write them.

fusionjax import FOLDER --out=market           # writes market/ and market.py
fusionjax import AAPL.csv news.json --out=market --name=mine
fusionjax import FOLDER --out=market --map=Last=close,Turnover=turnover
fusionjax import FOLDER --out=market --dates=day-first     # 03/04/2024 is in April
"""

import sys
from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import InputError

_OUT = flags.DEFINE_string("out", None, "The market folder to write; its config is OUT.py")
_MAP = flags.DEFINE_list(
    "map", [], "COLUMN=NAME,...: what columns are, where their names do not tell"
)
_DATES = flags.DEFINE_enum(
    "dates", None, ["day-first", "month-first"], "The order of dates such as 03/04/2024"
)
_NAME = flags.DEFINE_string("name", None, "Names the runs of the config; OUT's last part, if empty")


def main(_: Config | None, given: list[str]) -> None:
    if _OUT.value is None or not given:
        raise InputError(
            "give files or folders of downloads and --out; for example "
            "fusionjax import downloads --out=market"
        )
    from fusionjax import api
    from fusionjax.data import audit, prepare, store
    from fusionjax.imports import columns, market, reading, report, writing
    from fusionjax.report import audit as audit_page
    from fusionjax.telemetry import CONSOLE, progress_bar, say

    out = Path(_OUT.value)
    writing.require_new(out)
    named = columns.named(_MAP.value)
    cells = [reading.read(path) for path in reading.files_of([Path(g) for g in given])]
    files = columns.recognised(cells, named)
    found = market.imported(files, _DATES.value)
    path = writing.write(found, out, _NAME.value or out.name)
    CONSOLE.print(report.table(files, found))
    for note in found.notes:
        say(f"  {note}")
    say(f"written to {out} and {path}")
    config = api.load_config(path)
    with progress_bar() as progress:
        folder = prepare.prepare(config.data, progress)
    audited = audit.audit(store.load(folder), config)
    audited.save(folder)
    page = audit_page.write(audited, folder)
    say(f"audit: {audited.verdict}; {page}")
    for finding in audited.refusals:
        say(f"  {finding.code}: {finding.what}. {finding.do}")
    if audited.refusals:
        say("next: mend the download, and import it again with another --out")
        sys.exit(app.EXIT_UNFIT)
    say(f"next: {app.command('train', f'--config={path}')}")
