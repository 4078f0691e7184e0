"""One command a trading day: detect drift, update, decide on promotion, forecast, report.

fusionjax serve --config=acl18_stream --from=runs/acl18_stream \
    --config.finetune.promotion_sessions=63 --data=FOLDER
Run it when the day's files are in the folder. It does nothing for a finished day and completes one
that was killed; two at once are refused. --redo serves the newest session again, as when its files
have changed. --workdir holds the serving run's name and every day's
evidence: docs/adaptation.md. An update that should not have served is taken back, with a record:
fusionjax serve --from=runs/acl18_stream --rollback --because="its calls all go one way"
"""

from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config
from fusionjax.errors import InputError, require_extra

_FROM = flags.DEFINE_string("from", None, "Run folder that serves first", required=True)
flags.DEFINE_alias("run", "from")
_DATA = flags.DEFINE_string("data", None, "Folder of the raw files, in place of config.data.root")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of the service; <from>_serving if not given"
)
_REDO = flags.DEFINE_bool(
    "redo",
    False,
    "Serve the newest session again: what was served for it and for later days is moved to "
    "<workdir>/redone",
)
_ROLLBACK = flags.DEFINE_bool(
    "rollback", False, "Only let the run serve again that served before the present one"
)
_BECAUSE = flags.DEFINE_string("because", "", "Why --rollback; goes into the service's record")


def main(config: Config) -> None:
    service = Path(_WORKDIR.value or f"{_FROM.value.rstrip('/')}_serving")
    if _BECAUSE.value and not _ROLLBACK.value:
        raise InputError("--because goes with --rollback")
    if _ROLLBACK.value:
        take_back(service)
        return
    require_extra("plots", "plotly")  # of the page at the end
    app.begin()
    from fusionjax.adapt import daily, track
    from fusionjax.evaluate import leaks
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.report import day as day_page
    from fusionjax.telemetry import say
    from fusionjax.train.loop import StopOnSignal

    config = app.with_flags(config, {"data.root": _DATA.value})
    mesh = make_mesh(config.mesh)
    result = daily.serve(Path(_FROM.value), config, mesh, service, StopOnSignal(), redo=_REDO.value)
    page = service / result["day"] / "report.html"
    if not page.exists():
        day_page.write(result, page, track.summary(service))
    say(f"{result['serving']} serves; {len(result['forecasts'])} forecasts after {result['day']}")
    say(f"written to {page}")
    leaks.require_answered(result["update"].get("suspect", []), config.evaluate)


def take_back(service: Path) -> None:
    """Lets the run serve again that served before."""
    from fusionjax.adapt import serving
    from fusionjax.telemetry import say

    now, taken = serving.rollback(service, _BECAUSE.value)
    say(f"{taken} is taken back; {now.run} serves from the next session on")
