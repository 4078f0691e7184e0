"""Market folders that desks delivered, from scripts beside the checkout: how each of them ends."""

import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, SP500, seeing, small
from rich.progress import Progress

from fusionjax.config import Config
from fusionjax.data import audit, prepare, schema, store
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate.forecast import row_at

CASES = ROOT.parent / "shared" / "cases"
# These run commands on a prepared folder: a platform, a moved service, a flag, a scheduler.
COMMANDS = {"jax-platform", "moved-service", "new-split-by-flag", "slurm-interactive"}
NO_CASES = {"faults", "__pycache__"}  # scripts about single functions
Check = Callable[[Market, Config], None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is not there"),
]


def fine(market: Market, config: Config) -> None:
    """The audit lets it train."""
    audited = audit.audit(market, config)
    assert not audited.refusals, audited.verdict


def named(*words: str) -> Check:
    """The audit has a finding that says all these words, or stops."""

    def check(market: Market, config: Config) -> None:
        found = [f.what for f in audit.audit(market, config).findings if f.level != "fine"]
        assert any(all(word in what for word in words) for what in found), found

    return check


def noted(*notes: str) -> Check:
    """It is fine, and these notes tell what was left out."""

    def check(market: Market, config: Config) -> None:
        fine(market, config)
        assert len(market.notes) == len(notes), market.notes
        for note, given in zip(notes, market.notes, strict=True):
            assert note in given

    return check


def symbols(*expected: str) -> Check:
    def check(market: Market, config: Config) -> None:
        fine(market, config)
        assert market.symbols == expected
        if market.texts is not None:
            assert len(market.texts.bar) == 40, "every text met its symbol"

    return check


def with_texts(market: Market, config: Config) -> None:
    fine(market, config)
    assert market.texts is not None
    assert market.texts.names
    first = market.session[market.texts.bar].min()
    assert first == np.datetime64("2023-02-15"), "ten in the morning is that day's"


def at_a_date(market: Market, config: Config) -> None:
    row = row_at(market, config.data, "BTCX-USD", "2024-02-03")
    assert market.session[row] == np.datetime64("2024-02-03")


def of_its_day(market: Market, config: Config) -> None:
    """A date alone is over when the next day begins: the text is the next session's."""
    assert market.texts is not None
    (bar,) = market.texts.bar
    day = np.datetime64(int(market.texts.available_time[0]), "s").astype("datetime64[D]")
    assert market.session[bar] >= day


def level_gap(market: Market, config: Config) -> None:
    gap, volume = market.columns(("gap", "volume_change"))
    assert np.nanmax(np.abs(market.channels[:, gap])) < 0.1
    split = 200  # of ALFA, the first symbol
    assert abs(market.channels[split, volume]) < 3.5


def alike_pictures(market: Market, config: Config) -> None:
    pictures = market.media["image"].read(np.arange(len(market.media["image"].bar))).astype(float)
    assert np.abs(pictures - pictures[:1]).mean(axis=(1, 2)).max() < 6


def on_white(market: Market, config: Config) -> None:
    pictures = market.media["image"].read(np.arange(12)).astype(float)
    assert pictures.mean() > 128
    assert pictures.std(axis=(1, 2)).min() > 10, "the line is there"


def moving(market: Market, config: Config) -> None:
    films = market.media["video"].read(np.arange(2)).astype(int)
    assert np.abs(films[0] - films[1]).mean() < 3, "whole or in fragments"
    assert (np.abs(np.diff(films, axis=1)).mean(axis=(2, 3)) > 1).all()


def evenly_timed(market: Market, config: Config) -> None:
    (film,) = market.media["video"].read(np.arange(1))
    box = film[:, : film.shape[1] // 2].mean(1).argmax(1) / film.shape[2]
    assert (box < 0.6).sum() <= 3, "few are of the first two seconds of ten"


def heard_whole(count: int, seconds: float) -> Check:
    def check(market: Market, config: Config) -> None:
        fine(market, config)
        assert not market.notes
        length = market.media["audio"].length / config.data.audio_sample_rate
        assert length.shape == (count,)
        np.testing.assert_allclose(length, seconds, rtol=0.02)

    return check


def different(market: Market, config: Config) -> None:
    assert market.texts is not None
    x = market.texts.embedding.astype(float)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cosine = (x @ x.T)[np.triu_indices(len(x), 1)]
    assert np.median(cosine) < 0.999


def restated(market: Market, config: Config) -> None:
    (line,) = market.revised
    assert line.startswith("adj_close of 366 bars of 1 symbol(s) differs from folder-"), line
    assert ": BETA 2023-01-03 was " in line


def unrevised(market: Market, config: Config) -> None:
    fine(market, config)
    assert not market.revised


# By folder that a case writes: what holds of the prepared market, or the sentence that refuses it.
ENDS: dict[str, Check | str] = {
    "binary-strings": symbols("ALFA", "BETA"),
    "bom-jsonl": with_texts,
    **{f"calendars-that-crash/{code}": fine for code in ("ASEX", "XBSE", "XBEL", "XCYS")},
    "crypto-date-shift": at_a_date,
    **{f"dst-at-midnight/{code}": of_its_day for code in ("BVMF", "XSGO", "XBUE", "XKAR")},
    "future-bars": r"bars.csv: row \d+ \(symbol=ALFA, .*(in the future|not closed yet)",
    "hole-in-all-symbols": named("60"),
    "m4a": heard_whole(2, 4.0),
    "misnamed-files": noted("image/, news.jsonl: not read; expected bars.parquet|csv, texts.parqu"),
    "mp3-without-header": heard_whole(3, 6.0),
    "new-york-saturdays": fine,
    "non-ascii-symbol": symbols("ALFA", "ØRSTED", "币安人USDT"),
    "numeric-symbols": symbols("000001", "00700", "600519", "7203"),
    "photo-rotated": alike_pictures,
    "png-transparent": on_white,
    "price-spike-100x": named("S07"),
    "raw-ohlc-with-split": level_gap,
    "restated-history/0": unrevised,
    "restated-history/1": unrevised,
    "restated-history/2": restated,
    **{f"saturday-sessions/{code}": fine for code in ("XBOM", "XMOS", "XKRX")},
    "text-column-in-bars": noted("column currency of bars.csv: holds no numbers"),
    **{f"texts-long-and-html/{name}": different for name in ("filings", "html")},
    "video-fragmented": moving,
    "video-uneven": evenly_timed,
    "wav-cut": noted("audio audio/cut.wav: ends after "),
    **{f"year-end-calendars/{code}": fine for code in ("XSHG", "XBOM")},
    **{f"zoned-daily-dates/{name}": fine for name in ("csv", "parquet", "utc")},
    **{f"zones-written-otherwise/{n}": with_texts for n in ("postgres", "bigquery", "basic")},
    "zones-written-otherwise/mail": "texts.jsonl: row 0 .*event_time is not ISO 8601; write it as",
}
ANOTHER_DAY = "year-end-calendars"  # is about the morning after its last bar, not about today
MODALITIES = {"price": SP500["price"] | {"sessions": 8, "channels": ("ret", "vol5")}}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where each case was written, by its name."""
    home = tmp_path_factory.mktemp("cases")
    written = {}
    for script in sorted(CASES.glob("*/make.py")):
        written[script.parent.name] = home / script.parent.name
        runpy.run_path(str(script))["make"](home / script.parent.name)
    return written


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home of prepared sets: equal texts are embedded once."""
    return tmp_path_factory.mktemp("prepared")


def config(case: str, root: Path, prepared: Path) -> Config:
    name = case.split("/")[-1]
    calendar = name if name.isupper() else "24/7" if case == "crypto-date-shift" else "XNYS"
    (path,) = root.glob("bars.*")
    bars = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    days = sorted({str(d)[:10] for d in bars["date"]})
    cut = 2 * len(days) // 3
    c = seeing(MODALITIES)
    c.data.splits.train, c.data.splits.dev = (days[0], days[cut]), (days[cut + 5], days[-1])
    c.data.splits.test = c.data.splits.dev
    return small(
        c,
        prepared / case.split("/")[0] if case.startswith("restated") else prepared,
        data__source="folder",
        data__root=str(root),
        data__calendar=calendar,
    )


def test_every_case_is_listed() -> None:
    there = {p.name for p in CASES.iterdir() if p.is_dir()} - NO_CASES
    assert there == {case.split("/")[0] for case in ENDS} | COMMANDS


@pytest.mark.parametrize("case", ENDS)
def test_a_case_ends_as_it_should(
    case: str, folders: dict[str, Path], prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, inner = case.partition("/")
    c, end = config(case, folders[name] / inner, prepared), ENDS[case]
    if name == ANOTHER_DAY:
        last = pd.Timestamp(c.data.splits["dev"][1], tz="UTC")
        monkeypatch.setattr(schema, "_now", lambda: last + pd.Timedelta(days=1))
    if isinstance(end, str):
        with pytest.raises(InputError, match=end):
            prepare.prepare(c.data, Progress(disable=True))
    else:
        end(store.load(prepare.prepare(c.data, Progress(disable=True))), c)
