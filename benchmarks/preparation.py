"""Prepares, opens and grows markets of random bars: time and memory, beside an earlier build.

python benchmarks/preparation.py --bars=1000000 --add_to=1000
python benchmarks/preparation.py --bars=1000000 --days=100 --before=CHECKOUT
python benchmarks/preparation.py --columns=48000000     # the columns of a set alone: 5 GB of disk
"""

from pathlib import Path

from absl import flags

from fusionjax import app

_BARS = flags.DEFINE_integer("bars", 0, "Prepare and open at least so many")
_DAYS = flags.DEFINE_integer(
    "days", 0, "Prepare a market anew after each of so many days, from none"
)
_ADD_TO = flags.DEFINE_integer("add_to", 0, "Add ten days to a market of so many")
_COLUMNS = flags.DEFINE_integer("columns", 0, "Open columns of so many bars, of this build alone")
_PICTURES = flags.DEFINE_integer("pictures", 60, "Beside a price that is restated")
_RAW = flags.DEFINE_integer("raw", 512, "Megabytes of raw files of a start")
_SHARED = flags.DEFINE_integer(
    "shared", 0, "Decode so many pictures by one worker and by two, a core each"
)
_BEFORE = flags.DEFINE_string("before", None, "A checkout of the build to compare with")


def main(_: None) -> None:
    from benchmarks.measures import preparation
    from fusionjax.telemetry import say

    builds = [Path(__file__).resolve().parents[1]]
    if _BEFORE.value is not None:
        builds.insert(0, Path(_BEFORE.value).resolve())
    sizes = {"opening": _BARS, "growing": _DAYS, "adding": _ADD_TO}
    sizes |= {"restating": _PICTURES, "starting": _RAW, "sharing": _SHARED}
    for measure, size in sizes.items():
        if size.value:
            found = [preparation.of_build(build, measure, size.value) for build in builds]
            for name in found[0]:
                say(f"{name}: " + " → ".join(f"{f[name]:,.4g}" for f in found))
    if _COLUMNS.value:
        for name, value in preparation.of_build(builds[-1], "columns", _COLUMNS.value).items():
            say(f"{name}: {value:,.4g}")


if __name__ == "__main__":
    app.run(main, app.Needs(config=False))
