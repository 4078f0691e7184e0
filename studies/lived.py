"""A service lives through the last days of its data, a session at a time, from files that end
there: what its track record looks like, how long a day takes, and whether all days are proven.

python studies/lived.py --config=demo --from=runs/demo --days=60
"""

import tempfile
import time
from pathlib import Path

from absl import flags

from fusionjax import app
from fusionjax.config import Config

_FROM = flags.DEFINE_string("from", None, "Run folder that serves first", required=True)
_DAYS = flags.DEFINE_integer("days", 60, "The last sessions of the data")


def main(config: Config) -> None:
    import numpy as np
    import pandas as pd

    from fusionjax.adapt import daily, proof, track
    from fusionjax.data import features
    from fusionjax.parallel.mesh import make_mesh
    from fusionjax.registry import SOURCES
    from fusionjax.report import day as page
    from fusionjax.telemetry import say

    raw = SOURCES[config.data.source].read(Path(config.data.root), config.data.calendar)
    own = raw.channels.columns.difference(features.price_channels(raw.bars).columns)
    bars = pd.concat([raw.bars, raw.channels[own]], axis=1)
    days, mesh = np.unique(bars["date"].to_numpy())[-_DAYS.value :], make_mesh(config.mesh)
    with tempfile.TemporaryDirectory() as root:
        service, seconds = Path(root) / "service", list[float]()
        changes = {"data.source": "folder", "data.root": f"{root}/market"}
        served = config.override({**changes, "data.prepared": f"{root}/prepared"})
        (Path(root) / "market").mkdir()
        for day in days:
            bars[bars["date"] <= day].to_parquet(f"{root}/market/bars.parquet", index=False)
            begun = time.perf_counter()
            result = daily.serve(Path(_FROM.value), served, mesh, service)
            page.write(result, service / result["day"] / "report.html", track.summary(service))
            seconds.append(time.perf_counter() - begun)
        say("\n".join(track.lines(track.summary(service))))
        begun = time.perf_counter()
        count, last = proof.verify(service)
        say(
            f"{count} days are proven in {time.perf_counter() - begun:.2f} s, the last {last}; a "
            f"day took {np.median(seconds):.1f} s, all of them {sum(seconds):.0f} s"
        )


if __name__ == "__main__":
    app.run(main)
