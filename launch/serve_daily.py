"""One command a trading day: look for drift, update, ask the gate, forecast, write a page.

python launch/serve_daily.py --config=configs/acl18_stream.py --from=runs/acl18_stream \
    --config.finetune.promotion_sessions=20 --data=FOLDER
Run it when the day's files are in the folder. For a day that is done it does nothing; killed
anywhere, the same command completes it; two at once are refused. --workdir says who serves, and
keeps every day's evidence: docs/adaptation.md.
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import require_extra

_FROM = flags.DEFINE_string("from", None, "Run folder that serves first", required=True)
_DATA = flags.DEFINE_string("data", None, "Short for --config.data.root")
_WORKDIR = flags.DEFINE_string("workdir", None, "Of the service; <from>_serving if not given")


def main(config: Config) -> None:
    require_extra("plots", "plotly")  # of the page at the end
    from fusionjax.adapt import daily
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.report import day as day_page
    from fusionjax.train.loop import StopOnSignal
    from fusionjax.train.telemetry import say

    config = app.with_flags(config, {"data.root": _DATA.value})
    parent = Path(_FROM.value)
    service = Path(_WORKDIR.value or f"{str(parent).rstrip('/')}_serving")
    made = daily.serve(parent, config, make_mesh(config.mesh), service, StopOnSignal())
    page = service / made["day"] / "report.html"
    if not page.exists():
        day_page.write(made, page)
    say(f"{made['serving']} serves; {len(made['forecasts'])} forecasts after {made['day']}")
    say(f"written to {page}")


if __name__ == "__main__":
    app.run(main)
