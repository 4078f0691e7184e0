"""The page's cases show what the model saw: texts as they were written, pictures, sound, video."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import TINY, seeing, small

from fusionjax import ledger
from fusionjax.config import Config, resolve
from fusionjax.configs import planted_folder as planted_config
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.errors import InputError
from fusionjax.report import cases, charts, run, sweep
from fusionjax.train.run import open_market
from studies.data import planted, planted_folder

HOSTILE = "<script>alert(1)</script> sells & buys"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = tmp_path_factory.mktemp("planted")
    market = planted.plant(planted.REGIMES["full"], 0)
    planted_folder.write(market, root / "market", np.arange(60))
    path = root / "market" / "texts.parquet"
    texts = pd.read_parquet(path)
    texts["text"] = HOSTILE
    texts.to_parquet(path)
    return resolve(planted_config.get_config()).override(
        {
            "data.root": str(root / "market"),
            "data.prepared": str(root / "prepared"),
            "data.splits": dict.fromkeys(("train", "dev", "test"), ("1990-01-03", "1990-03-28")),
        }
    )


@pytest.fixture(scope="module")
def market(config: Config) -> Market:
    return open_market(config.data)


def outcomes(market: Market, config: Config, rows: np.ndarray) -> pd.DataFrame:
    """Confident and wrong everywhere."""
    names = {f"weight.{m}": np.full(len(rows), 0.2) for m in config.modalities}
    return pd.DataFrame(
        {
            "row": rows,
            "symbol": np.array(market.symbols)[market.symbol[rows]],
            "target_day": market.session[rows + 1].astype("datetime64[s]"),
            "close": market.adj_close[rows],
            "up": np.linspace(0.6, 0.9, len(rows)),
            "rose": np.zeros(len(rows)),
            "growth": np.full(len(rows), -0.01),
            **names,
        }
    )


def test_cases_show_every_kind_of_input(market: Market, config: Config) -> None:
    windows = Windows(market, config, Scaler.fit(market, np.datetime64("1990-03-01")))
    rows = np.arange(20, 50)
    page = "".join(cases.cards(outcomes(market, config, rows), market, config, windows))
    assert page.count("<div class=card>") == 3, "thirty days in a row, all wrong: few episodes"
    day, next_day = (f"{x.astype(object):%A %Y-%m-%d}" for x in market.session[[49, 50]])
    assert f"PLANT, forecast for {next_day}: 90.0% up, came -1.00%" in page
    assert f"Decided after the close of {day.split()[1]}." in page, "the day before"
    assert "The surest of 11 wrong calls in one episode, on 11 days from " in page
    assert "89.0% up" not in page, "of the same episode"
    assert page.count("data:image/png;base64,") >= 3, "pictures, and video frames side by side"
    assert page.count("heatmap") >= 1, "sound as a spectrogram"
    assert "&lt;script&gt;alert(1)&lt;/script&gt; sells &amp; buys" in page
    assert HOSTILE not in page
    assert "absent" in page, "three in ten posts are missing, and it is said"


def test_texts_are_those_that_the_model_saw(market: Market, config: Config) -> None:
    texts = market.texts
    assert texts is not None
    assert set(texts.read(np.arange(len(texts.bar)))) == {HOSTILE}


def test_outcomes_of_other_data_are_refused(market: Market, config: Config, tmp_path: Path) -> None:
    frame = outcomes(market, config, np.arange(20, 30))
    frame["close"] *= 2
    frame.to_parquet(tmp_path / "outcomes_dev.parquet")
    with pytest.raises(InputError, match="its prices are not those of config.data"):
        run._outcomes(tmp_path / "outcomes_dev.parquet", market)
    with pytest.raises(InputError, match="no such file; run fusionjax evaluate"):
        run._outcomes(tmp_path / "outcomes_test.parquet", market)


def test_a_gap_is_a_gap_and_markup_in_a_name_is_text() -> None:
    drawn = str(charts.lines({"</script><b>": ([0, 1, 2], [1.0, float("nan"), 3.0])}))
    assert "NaN" not in drawn
    assert "null" in drawn
    assert "</script><b>" not in drawn


def test_sweep_page(tmp_path: Path) -> None:
    c = small(seeing({"price": TINY["price"]}), tmp_path, sweep__method="sensitivity")
    points = [
        (
            changes,
            ledger.record(
                "sweep", c, ledger.Subject("", "", (seed,), "train"),
                ledger.Result({"objective": value + 0.01 * seed}, {"seconds": 1.0}),
            ),
            True,
        )
        for changes, value in (({}, 1.0), ({"model.width": 16}, 1.2), ({"model.layers": 2}, 0.9))
        for seed in range(2)
    ]  # fmt: skip
    text = sweep.write(c, points, tmp_path).read_text()
    assert text.index("model.width=16") < text.index("model.layers=2"), "larger effects first"
    assert "What matters most" in text


def test_a_missing_extra_is_named(
    market: Market, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = outcomes(market, config, np.arange(30, 40))
    windows = Windows(market, config, Scaler.fit(market, np.datetime64("1990-03-28")))
    with monkeypatch.context() as m:
        m.setitem(sys.modules, "PIL", None)
        with pytest.raises(InputError, match=r'package PIL .* pip install "fusionjax\[media\]"$'):
            cases.cards(rows, market, config, windows)
    monkeypatch.setitem(sys.modules, "plotly", None)
    for needs_it in (
        charts.library,
        lambda: charts.lines({"a": ([1], [2.0])}),
        lambda: run.write(tmp_path, "dev", market, config, windows, []),
    ):
        with pytest.raises(InputError, match=r'plotly .* pip install "fusionjax\[plots\]"$'):
            needs_it()


def test_curves_stand_out_from_a_white_and_a_dark_page() -> None:
    """By 3 : 1, as WCAG asks of graphics."""

    def light(colour: str) -> float:
        parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for page_colour in ("#ffffff", "#121212"):
        for colour in charts.COLOURS:
            one, other = sorted((light(colour), light(page_colour)))
            assert (other + 0.05) / (one + 0.05) >= 3, (colour, page_colour)
