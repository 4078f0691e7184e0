"""The audit: each fault that it knows is planted, and named; a sound market passes."""

import dataclasses
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import seeing, small, tiny_market
from rich.console import Console
from scipy import stats

from fusionjax.config import Config
from fusionjax.data.audit import Audit, audit
from fusionjax.data.balance import of_rows, weights
from fusionjax.data.store import Market, Media
from fusionjax.errors import InputError
from fusionjax.report import audit as page

DAYS = 120


@pytest.fixture
def config(tmp_path: Path) -> Config:
    c = seeing(
        {
            "price": {"kind": "numeric", "sessions": 4, "patch": 2, "channels": ("ret", "vol20")},
            "text": {"kind": "text", "sessions": 3, "max_documents": 2, "author_buckets": 8},
        }
    )
    c.data.calendar = "24/7"
    c.data.splits.train = ("2020-01-01", "2020-03-21")
    c.data.splits.dev = ("2020-03-22", "2020-04-29")
    return small(c, tmp_path)


def market() -> Market:
    """Two symbols of 120 days, texts of one author each, volatility that moves."""
    m = tiny_market(days=DAYS)
    rng = np.random.default_rng(1)
    channels = m.channels.copy()
    channels[:, 1] = rng.normal(size=len(channels))
    ohlcv = m.ohlcv.copy()
    ohlcv[:, 4] = rng.integers(1, 10**6, len(ohlcv))
    assert m.texts is not None
    per_bar = np.arange(2 * DAYS)  # one text a bar, half an hour before its decision
    rows = np.argsort(rng.random(len(m.texts.bar)), kind="stable")[: 2 * DAYS]
    texts = dataclasses.replace(
        m.texts,
        bar=per_bar,
        available_time=m.decision_time - 1800,
        event_time=m.decision_time - 3600,
        author=np.arange(2 * DAYS, dtype=np.int32) % 50,
        embedding=rng.normal(size=(2 * DAYS, 64)).astype(np.float16),
        lexicon=m.texts.lexicon[rows],
        tokens=m.texts.tokens[rows],
        pieces=m.texts.pieces[rows],
        record=rows,
    )
    return dataclasses.replace(m, channels=channels, ohlcv=ohlcv, texts=texts)


def cells(m: Market, name: str, at: object, value: object) -> Market:
    column = getattr(m, name).copy()
    column[at] = value
    return dataclasses.replace(m, **{name: column})


def texts(m: Market, name: str, at: object, value: object) -> Market:
    assert m.texts is not None
    column = getattr(m.texts, name).copy()
    column[at] = value
    return dataclasses.replace(m, texts=dataclasses.replace(m.texts, **{name: column}))


def foreign(m: Market) -> Market:
    return texts(m, "pieces", slice(None, None, 10), (6, 4))


def filings(m: Market) -> Market:
    return texts(m, "pieces", slice(None, None, 10), (1_000_000, 0))


def levels(report: Audit) -> dict[str, str]:
    return {f.code: f.level for f in report.findings}


def test_a_sound_market_passes(config: Config) -> None:
    report = audit(market(), config)
    assert set(levels(report).values()) == {"fine"}, report.findings
    assert report.verdict == "fit to train on"
    report.require_fit()


def copied(m: Market) -> Market:
    return cells(m, "ohlcv", slice(DAYS, 2 * DAYS), m.ohlcv[:DAYS])


def split_by(ratio: float) -> Callable[[Market], Market]:
    """From day 60 on, the first symbol's adjusted closes forget that a share became several."""
    return lambda m: cells(m, "adj_close", slice(60, DAYS), m.adj_close[60:DAYS] / ratio)


def crash(m: Market) -> Market:
    """Half the value in a day, back the week after: no split."""
    return cells(m, "adj_close", slice(60, 63), m.adj_close[60:63] / 2)


def gap(m: Market) -> Market:
    keep = np.r_[:40, 50 : 2 * DAYS]
    rows = {
        f.name: getattr(m, f.name)[keep]
        for f in dataclasses.fields(m)
        if isinstance(getattr(m, f.name), np.ndarray)
    }
    first = np.searchsorted(rows["symbol"], rows["symbol"], side="left")
    return dataclasses.replace(m, **{**rows, "first_row": first, "texts": None})


def renamed(m: Market) -> Market:
    """The first symbol lives to day 60, the second from day 61 at the first's last close."""
    keep = np.r_[:60, DAYS + 60 : 2 * DAYS]
    rows = {
        f.name: getattr(m, f.name)[keep].copy()
        for f in dataclasses.fields(m)
        if isinstance(getattr(m, f.name), np.ndarray)
    }
    rows["ohlcv"][60, 0] = rows["ohlcv"][59, 3] * 1.01
    first = np.searchsorted(rows["symbol"], rows["symbol"], side="left")
    return dataclasses.replace(m, **{**rows, "first_row": first, "texts": None})


def repeated(m: Market) -> Market:
    """Half of what is said is said again the day after."""
    assert m.texts is not None
    odd = np.arange(1, 2 * DAYS, 2)
    return texts(m, "embedding", odd, m.texts.embedding[odd - 1])


def one_voice(m: Market) -> Market:
    return texts(m, "author", slice(0, DAYS), 7)


def silent(m: Market) -> Market:
    """No texts after training."""
    assert m.texts is not None
    t = m.texts
    known = m.session[t.bar] <= np.datetime64("2020-03-21")
    kept = {f.name: getattr(t, f.name) for f in dataclasses.fields(t)}
    kept = {k: v if k in ("names", "records") else v[known] for k, v in kept.items()}
    return dataclasses.replace(m, texts=dataclasses.replace(t, **kept))


LATER = np.r_[DAYS - 40 : DAYS, 2 * DAYS - 40 : 2 * DAYS]  # the rows of dev

FAULTS: list[tuple[Callable[[Market], Market], str, str, str]] = [
    (gap, "gaps", "watch", "longest gap|in a row"),
    (
        lambda m: cells(m, "ohlcv", slice(30, 40), m.ohlcv[30]),
        "frozen bars",
        "watch",
        "from AA 2020-02-01",
    ),
    (copied, "copied bars", "stop", "AA and BB .120 bars"),
    (renamed, "renamed symbols", "watch", "AA to BB"),
    (split_by(2), "unit jumps", "watch", "AA 2020-03-01"),
    (split_by(100), "unit jumps", "stop", "AA 2020-03-01"),
    (
        lambda m: cells(m, "channels", (slice(0, 200), 1), np.nan),
        "missing values",
        "watch",
        "vol20",
    ),
    (lambda m: cells(m, "channels", (slice(None), 1), 3.0), "constant channels", "watch", "vol20"),
    (lambda m: cells(m, "channels", (slice(0, 20), 1), 99.0), "outliers", "watch", "vol20"),
    (
        lambda m: cells(m, "channels", (m.session > np.datetime64("2020-03-21"), 1), 9.0),
        "shifted channels",
        "watch",
        "vol20",
    ),
    (
        lambda m: texts(m, "available_time", 5, m.decision_time[5] + 1),
        "text from the future",
        "stop",
        "1 items of text",
    ),
    (silent, "text coverage", "watch", "0% in dev"),
    (repeated, "text duplicates", "watch", "50.0% .* repeat"),
    (
        lambda m: texts(m, "event_time", slice(0, 100), 0),
        "stale text",
        "watch",
        "41.7% became available more than 30 days",
    ),
    (foreign, "text language", "watch", "10.0% of the texts are mostly single letters"),
    (filings, "text length", "watch", "10.0% .* longer than .*8,064 .* leaves out 99.2%"),
    (one_voice, "text sources", "watch", "author 7, writes 50.8%"),
    (
        lambda m: dataclasses.replace(m, misaligned=("event call: 2 in a, 3 in b",)),
        "pairs",
        "watch",
        "event call: 2 in a, 3 in b",
    ),
    (
        lambda m: dataclasses.replace(m, notes=("image x.png: missing",)),
        "set aside",
        "watch",
        "x.png: missing",
    ),
    (
        lambda m: cells(m, "adj_close", slice(None), np.exp(np.arange(2 * DAYS) / 100)),
        "labels",
        "stop",
        "a class never occurs in train at 1",
    ),
    (
        lambda m: cells(m, "adj_close", LATER, np.tile(np.exp(np.arange(40) / 100), 2)),
        "labels",
        "watch",
        "a class never occurs in dev at 1",
    ),
]


@pytest.mark.parametrize(
    ("fault", "code", "level", "pattern"), FAULTS, ids=[f"{c}-{level}" for _, c, level, _ in FAULTS]
)
def test_a_fault_is_named(
    config: Config, fault: Callable[[Market], Market], code: str, level: str, pattern: str
) -> None:
    report = audit(fault(market()), config)
    assert levels(report)[code] == level, report.findings
    (finding,) = [f for f in report.findings if f.code == code]
    assert re.search(pattern, finding.what), finding.what
    assert finding.do


def test_a_crash_is_no_split(config: Config) -> None:
    assert levels(audit(crash(market()), config))["unit jumps"] == "fine"


def test_near_duplicates_are_found_within_a_symbol_only(config: Config) -> None:
    m = market()
    assert m.texts is not None
    nearly = m.texts.embedding[3] + np.float16(0.02)
    for row, share in ((50, "0.4%"), (DAYS + 50, "0.0%")):  # of the same symbol, of the other
        (finding,) = [
            f
            for f in audit(texts(m, "embedding", row, nearly), config).findings
            if f.code == "text duplicates"
        ]
        assert f"; {share} say nearly the same" in finding.what


def test_media_that_repeat_across_the_split(config: Config) -> None:
    bar = np.array([10, 20, 100, 110])
    m = market()
    media = Media(
        bar=bar,
        event_time=m.decision_time[bar],
        available_time=m.decision_time[bar],
        author=np.zeros(4, np.int32),
        names={0: "desk"},
        record=np.arange(4),
        length=np.ones(4, np.int64),
        content=np.array(["a", "b", "c", "d"]),
        decoded=np.array(["a", "b", "a", "c"]),
        flaw=np.full(4, ""),
        path=np.array(["1.png", "2.png", "3.png", "4.png"]),
        shape=(1,),
        dtype=np.dtype(np.uint8),
        records=None,
    )
    report = audit(dataclasses.replace(m, media={"image": media}), config)
    (finding,) = [f for f in report.findings if f.code == "image duplicates"]
    assert finding.level == "watch"
    assert finding.what.startswith("25.0% of the items of image repeat one of their symbol exactly")
    assert "50.0% of those after training one from it" in finding.what


def test_what_forbids_training_can_be_accepted_by_name(config: Config) -> None:
    report = audit(copied(market()), config)
    assert report.verdict == "not fit to train on: copied bars"
    with pytest.raises(
        InputError, match="copied bars: 1 pairs .* keep one of each pair; or accept"
    ):
        report.require_fit()
    known = audit(copied(market()), config.override({"data.accepted_findings": ("copied bars",)}))
    known.require_fit()
    assert known.verdict == "fit to train on"


def test_the_page_shows_every_finding_and_escapes_what_data_says(
    config: Config, tmp_path: Path
) -> None:
    evil = "<script>alert(1)</script>[/b]"
    m = dataclasses.replace(copied(market()), notes=(f"image {evil}.png: missing",))
    report = audit(m, config)
    text = page.write(report, tmp_path).read_text()
    assert "<script" not in text
    Console(file=io.StringIO()).print(page.for_screen(report))  # markup in a name is no markup
    assert "&lt;script&gt;" in text
    assert "Not fit to train on: copied bars." in text
    for f in report.findings:
        assert f"<b>{f.code}</b>" in text
    raw = json.loads(report.save(tmp_path).read_text())
    assert raw["verdict"] == report.verdict
    assert set(raw["tables"]) == set(report.tables)


def test_a_busy_source_counts_by_the_root_of_what_it_writes() -> None:
    weight = weights(np.array([0] * 9 + [1]))
    np.testing.assert_allclose(weight[9] / weight[0], 3)
    np.testing.assert_allclose(weight.mean(), 1)


def test_samples_are_weighed_by_the_sources_they_see(config: Config) -> None:
    m = one_voice(market())
    weight = of_rows(m, config.override({"train.balance": "text"}))
    assert weight is not None
    assert weight[DAYS + 20 :].min() > 2 * weight[20:DAYS].max()
    alone = of_rows(silent(m), config.override({"train.balance": "text"}))
    assert alone is not None
    assert alone[DAYS - 1] == 1.0, "a sample that sees no text"
    trained = m.session <= np.datetime64("2020-03-21")
    np.testing.assert_allclose(weight[trained], alone[trained], rtol=1e-9)  # whoever writes later
    np.testing.assert_allclose(of_rows(m, config.override({"train.balance": "symbol"})), 1)
    assert of_rows(m, config) is None
    sectors = config.override({"train.balance": "sector"})
    with pytest.raises(InputError, match=r"names none for BB .1 such symbols.: fill a column sec"):
        of_rows(dataclasses.replace(m, sectors={"AA": "oil"}), sectors)
    three = tiny_market(days=DAYS, symbols=("AA", "BB", "CC"))
    named = dataclasses.replace(three, sectors={"AA": "oil", "BB": "oil", "CC": "banks"})
    drawn = of_rows(named, sectors)
    assert drawn is not None
    np.testing.assert_allclose(drawn[-1] / drawn[0], np.sqrt(2))  # one of two, against one alone
    with pytest.raises(InputError, match="balance is 'moon'; expected empty, symbol, sector or te"):
        of_rows(m, config.override({"train.balance": "moon"}))


def test_how_far_a_channel_has_moved_is_what_scipy_says(config: Config) -> None:
    m = market()
    shifted = m.channels.copy()
    late = m.session > np.datetime64("2020-03-21")
    shifted[late, 1] = (shifted[late, 1] + 0.7).round()  # with ties
    shifted[::7, 1] = np.nan
    report = audit(dataclasses.replace(m, channels=shifted), config)
    now = report.tables["channels, on training sessions"].loc["vol20", "KS later"]
    seen = np.isfinite(shifted[:, 1])
    a, b = (shifted[seen & part, 1] for part in (~late, late))
    assert now == stats.ks_2samp(a, b).statistic > 0.2
