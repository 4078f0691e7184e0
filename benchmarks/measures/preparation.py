"""Time and memory to prepare, to open and to grow a market, of this build or of another checkout.

``python preparation.py MEASURE SIZE`` prints what one measure found, as JSON, of the ``fusionjax``
that PYTHONPATH leads to: so two builds are measured by the same lines.
"""

import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.progress import Progress

from fusionjax.errors import InputError

_SESSIONS = 2_500  # of each symbol: ten years
_QUIET = Progress(disable=True)


def of_build(build: Path, measure: str, size: int) -> dict[str, float]:
    """What one measure finds of the build in a checkout, in a process of its own.

    Raises:
      InputError: there is no build; Python would take the one that is installed.
    """
    if not (build / "fusionjax").is_dir():
        raise InputError(f"{build}: holds no fusionjax/; give the folder of a checkout")
    done = subprocess.run(
        [sys.executable, __file__, measure, str(size)],
        env=os.environ | {"PYTHONPATH": str(build), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{build}: {measure} {size}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1], parse_int=float)


def _opening(root: Path, bars: int) -> dict[str, float]:
    """A market of random walks is prepared, then opened."""
    from fusionjax.data import prepare, store

    _write_bars(root, _walks(-(-bars // _SESSIONS), _SESSIONS))
    config = _config(root)
    start = time.process_time()
    folder = prepare.prepare(config.data, _QUIET)
    preparing = time.process_time() - start
    private, start = _private(), time.process_time()
    market = store.load(folder)
    opening = time.process_time() - start
    rows = len(market.session)
    return {
        "bars": rows,
        "prepared, rows a CPU second": rows / preparing,
        "opening, CPU seconds": opening,
        "opened, rows a CPU second": rows / opening,
        "private memory of what is opened, MB": _private() - private,
        "resident memory at most, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }


def _columns(root: Path, bars: int) -> dict[str, float]:
    """Columns of so many bars, written as a set, are opened and read at random places."""
    from fusionjax.data import store

    folder = root / "set"
    folder.mkdir()
    symbols = -(-bars // _SESSIONS)
    rows = symbols * _SESSIONS
    session = np.tile(np.arange(_SESSIONS), symbols)
    symbol = np.repeat(np.arange(symbols, dtype=np.int32), _SESSIONS)
    columns: dict[str, np.ndarray] = {
        "symbol": symbol,
        "session": session,
        "decision_time": session * 86_400,
        "ohlcv": np.ones((rows, 5), np.float32),
        "adj_close": np.ones(rows),
        "subset": np.ones(rows, bool),
        "channels": np.zeros((rows, 7), np.float32),
    }
    identity = {"fingerprint": "0" * 64, "symbols": [f"S{i}" for i in range(symbols)]}
    manifest = identity | {"channels": list("abcdefg"), "contents": {}, "decoded": {}}
    manifest |= {"notes": [], "misaligned": [], "revised": [], "sectors": {}}
    manifest |= {"exchanges": {}, "sessions": {}}
    store.write(folder, columns | store.derived_columns(symbol, session), {}, manifest)
    del columns, symbol, session
    private, start = _private(), time.process_time()
    market = store.load(folder)
    opening, opened = time.process_time() - start, _private() - private
    rng = np.random.default_rng(0)
    for _ in range(100):
        at, _ = market.look_back(rng.integers(0, rows, 1024), 60)
        assert np.isfinite(market.channels[at]).all()
    return {
        "bars": rows,
        "opening, CPU seconds": opening,
        "private memory of what is opened, MB": opened,
        "private memory after 100 batches of 1,024 samples, MB": _private() - private,
    }


def _growing(root: Path, days: int) -> dict[str, float]:
    """Two symbols and a picture of each day: prepared anew after every day, from none."""
    return _added(root, 1, days)


def _adding(root: Path, days: int) -> dict[str, float]:
    """The same of a set of so many days, to which ten are added one by one."""
    return _added(root, days, 10)


def _added(root: Path, first: int, days: int) -> dict[str, float]:
    from fusionjax.data import prepare, store

    bars = _walks(2, first + days + 30)
    dates = _days(bars)
    config, took = _config(root), []
    for day in range(29 + first, 30 + first + days):
        _write_bars(root, bars[bars["date"].isin(dates[: day + 1])])
        _write_pictures(root, dates[30 : day + 1])
        start = time.process_time()
        folder = prepare.prepare(config.data, _QUIET)
        took.append(time.process_time() - start)
    images = store.load(folder).media["image"]
    images.read(np.arange(len(images.bar)))
    return {
        "days": first + days,
        "CPU seconds to add a day, median of the last ten": float(np.median(took[-10:])),
        "the slowest of all": max(took[1:]),
        "open files when all pictures were read": len(os.listdir("/proc/self/fd")),
        "files of records": len([*(root / "prepared").rglob("*.array_record*")]),
    }


def _restating(root: Path, pictures: int) -> dict[str, float]:
    """One price changes."""
    from fusionjax.data import media, prepare

    bars = _walks(2, pictures + 30)
    _write_pictures(root, _days(bars)[:pictures])
    _write_bars(root, bars)
    decoder, decoded = media.decoder, list[Path]()

    def counted(kind: str, config: Any) -> Callable:
        decode = decoder(kind, config)

        def noted(path: Path) -> tuple[np.ndarray, int]:
            decoded.append(path)
            return decode(path)

        return noted

    media.decoder = counted
    prepare.prepare(_config(root).data, _QUIET)
    first = len(decoded)
    factor = np.where(bars.index == 3, 1.01, 1)
    _write_bars(root, bars.assign(adj_close=bars["adj_close"] * factor))
    prepare.prepare(_config(root).data, _QUIET)
    return {"pictures": first, "decoded again for one restated price": len(decoded) - first}


def _starting(root: Path, megabytes: int) -> dict[str, float]:
    """Nothing has changed."""
    from fusionjax.data import prepare

    bars = _walks(2, 60)
    _write_bars(root, bars)
    _write_pictures(root, _days(bars)[:2])
    (root / "images" / "more.bin").write_bytes(os.urandom(megabytes * 1_000_000))
    for path in root.rglob("*"):
        os.utime(path, (time.time() - 3600,) * 2)  # a file of a moment ago is hashed again
    prepare.prepare(_config(root).data, _QUIET)
    start = time.process_time()
    prepare.prepare(_config(root).data, _QUIET)
    return {"MB of raw files": megabytes, "a start, CPU seconds": time.process_time() - start}


def _sharing(root: Path, pictures: int) -> dict[str, float]:
    """One worker, then two of a share each, every one on a core of its own as on a machine of its
    own: the median of three. Where others use the cores, CPU seconds say what the clock would."""
    _write_bars(root, bars := _walks(2, pictures + 30))
    _write_pictures(root, _days(bars)[:pictures], magnified=100)
    found: dict[str, float] = {"pictures": pictures}
    for workers in (1, 2):
        took = []
        for repeat in range(3):
            given = [(str(root), f"{workers}-{repeat}", i, workers) for i in range(workers)]
            with multiprocessing.get_context("spawn").Pool(workers) as pool:
                took.append(np.max(pool.map(_share, given, 1), axis=0))
        wall, cpu = pictures / np.median(took, axis=0)
        found[f"pictures a second, {workers} worker(s)"] = wall
        found[f"pictures a CPU second of the slowest, {workers} worker(s)"] = cpu
    return found


def _share(given: tuple[str, str, int, int]) -> tuple[float, float]:
    """Seconds and CPU seconds that a worker takes for its share, without those to start it."""
    import tensorflow_datasets as tfds  # else in the first part

    from fusionjax.data import shares

    tfds.disable_progress_bar()
    root, home, index, workers = given
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[index]})
    config = _config(Path(root)).override({"data.prepared": f"{root}/{home}"})
    start, worked = time.perf_counter(), time.process_time()
    shares.store(config.data, shares.Share(index, workers), _QUIET)
    return time.perf_counter() - start, time.process_time() - worked


_MEASURES = {
    "sharing": _sharing,
    "opening": _opening,
    "columns": _columns,
    "growing": _growing,
    "adding": _adding,
    "restating": _restating,
    "starting": _starting,
}


def _config(root: Path) -> Any:
    from fusionjax.config import resolve
    from fusionjax.configs import demo

    given = {"data.source": "folder", "data.root": str(root)}
    return resolve(demo.get_config()).override(given | {"data.prepared": str(root / "prepared")})


def _walks(symbols: int, days: int) -> pd.DataFrame:
    """Random walks of so many symbols."""
    import exchange_calendars

    sessions = exchange_calendars.get_calendar("XNYS", start="2000-01-03").sessions
    rng = np.random.default_rng(0)
    walks = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, (symbols, days)), axis=1)).ravel()
    prices = {"open": walks, "high": walks * 1.01, "low": walks * 0.99, "close": walks}
    return pd.DataFrame(
        {
            "symbol": np.repeat([f"S{i:05d}" for i in range(symbols)], days),
            "date": np.tile(sessions[:days].strftime("%Y-%m-%d"), symbols),
            **prices,
            "adj_close": walks,
            "volume": rng.integers(1, 10**6, len(walks)).astype(float),
        }
    )


def _days(bars: pd.DataFrame) -> list[str]:
    return sorted(set(bars["date"]))


def _write_bars(root: Path, bars: pd.DataFrame) -> None:
    bars.to_parquet(root / "bars.parquet", index=False)


def _write_pictures(root: Path, days: Sequence[str], magnified: int = 1) -> None:
    """A picture a day, each of other squares; those that are there stay as they are."""
    from PIL import Image

    folder = root / "images"
    folder.mkdir(exist_ok=True)
    for i, day in enumerate(days):
        if not (folder / f"{day}.png").exists():
            pixels = np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)
            pixels = pixels.repeat(magnified, 0).repeat(magnified, 1)
            Image.fromarray(pixels).save(folder / f"{day}.png")
    stamps = [f"{day}T10:00:00Z" for day in days]
    items = {"symbol": "S00000", "event_time": stamps, "available_time": stamps, "source": "desk"}
    listed = pd.DataFrame(items | {"path": [f"{day}.png" for day in days]})
    listed.to_parquet(folder / "manifest.parquet", index=False)


def _private() -> float:
    """Megabytes of memory that this process shares with no file."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1000


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_MEASURES[sys.argv[1]](Path(folder), int(sys.argv[2]))))
