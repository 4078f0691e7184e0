"""Files of forecasts: in every form that peers write, refused in one sentence, scored as runs."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
from conftest import TINY, seeing, small, tiny_market
from scipy.stats import norm

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.errors import InputError
from fusionjax.evaluate import evaluation, file_forecasts, leaks
from fusionjax.evaluate.evaluation import Evaluation, Options
from fusionjax.experts import learners
from fusionjax.forecast_files import columns, reader
from fusionjax.forecast_files.reader import ForecastFile, Told
from fusionjax.heads import outside
from fusionjax.heads.outside import Given
from fusionjax.report import run as run_page
from fusionjax.scores import metrics

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
DEV = ("2020-10-02", "2021-01-20")


@pytest.fixture(scope="module")
def market() -> Market:
    return tiny_market(days=400, texts=False)


@pytest.fixture(scope="module")
def config() -> Config:
    return small(
        seeing({"price": TINY["price"]}),
        Path(),
        data__splits={"train": ("2020-01-01", "2020-10-01"), "dev": DEV},
        selection__folds=1,
        selection__fold_sessions=20,
        evaluate__market_channel="ret",
    )


@pytest.fixture(autouse=True)
def _few_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Baselines are tuned on fewer settings; they have tests of their own."""
    monkeypatch.setattr(learners, "_TREES", learners._TREES[:1])
    monkeypatch.setattr(learners, "_PENALTIES", (1.0,))


def of_split(market: Market, config: Config, since: str = DEV[0]) -> pd.DataFrame:
    """Keys of every sample from a day on, and the row of the market it was made on."""
    s = samples.between(market, config, np.datetime64(since), np.datetime64(DEV[1]))
    return pd.DataFrame(
        {
            "symbol": np.array(market.symbols)[market.symbol[s.row]],
            "decision_time": market.session[s.row].astype(str),
            "horizon": 1,
            "row": s.row,
        }
    )


def good(market: Market, config: Config, since: str = DEV[0]) -> pd.DataFrame:
    """Probabilities and quantiles at one session, volatilities at five."""
    table = of_split(market, config, since)
    day = table.assign(probability_up=np.random.default_rng(0).uniform(0.4, 0.6, len(table)))
    for level in LEVELS:
        day[f"return_q{level:g}"] = 0.01 * norm.ppf(level)
    return pd.concat([day, table.assign(horizon=5, volatility=0.01)]).drop(columns="row")


def write(table: pd.DataFrame, name: str = "theirs.csv") -> Path:
    path = Path(name)
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)
    return path


def read(
    path: Path, market: Market, config: Config, told: Told | None = None
) -> list[ForecastFile]:
    return reader.read(path, market, config.data, told or Told())


def scored(
    files: list[ForecastFile], market: Market, config: Config, common: bool = False
) -> Evaluation:
    config = file_forecasts.forecast_targets(files[0], config)
    return evaluation.evaluate(
        file_forecasts.beside({}, files, market, config),
        market,
        config,
        Path("ledger"),
        Options(common=common),
    )


def test_a_file_is_scored_like_a_run(market: Market, config: Config) -> None:
    table = good(market, config)
    path = write(table)
    new = scored(read(path, market, config), market, config)
    assert [t.target for t in new.scores.tables] == [*config.targets]
    direction, returns, volatility = (
        next(t for t in new.scores.tables if t.target == name)
        for name in ("direction", "returns", "volatility")
    )
    # The same numbers by the library's own functions, on the samples of the split.
    s = samples.split(market, config, "dev")
    up = table["probability_up"].dropna().to_numpy()
    rose = s.targets.label["direction"][:, 0]
    assert direction.rows[0].values["accuracy"] == pytest.approx(((up > 0.5) == rose).mean())
    loss = metrics.direction_loss(up, rose == 1).mean()
    assert direction.rows[0].values["log loss"] == pytest.approx(loss)
    known = s.targets.mask["volatility"][:, 0]
    error = np.log(0.01) - s.targets.label["volatility"][known, 0]
    assert volatility.rows[0].values["MSE"] == pytest.approx((error**2).mean(), rel=1e-5)
    assert volatility.samples == known.sum() < len(s)
    names = [r.name for r in direction.rows]
    assert names[:3] == ["theirs", "theirs, calibrated", "always up"]
    assert {"LightGBM", "logistic regression"} <= set(names)
    assert direction.rows[2].verdict in ("better", "worse", "not distinguishable")
    assert returns.rows[0].values["coverage"] == pytest.approx(0.9, abs=0.06)
    # The ledger knows the file by its content, the page by its rows.
    assert hashlib.sha256(path.read_bytes()).hexdigest() in new.record.run
    assert not [c for c in new.outcomes.rows if str(c).startswith("weight.")]
    assert len(new.outcomes.rows) == len(s)
    head = "\n".join(new.scores.headline)
    assert "theirs: until when it was trained is not told (--trained_until)" in head
    assert "calibration starts inside this period" in head


def test_files_stand_side_by_side_in_pairs(market: Market, config: Config) -> None:
    table = good(market, config)
    known = table.assign(model="oracle")
    s = samples.split(market, config, "dev")
    known["probability_up"] = np.where(np.arange(len(known)) < len(s), 0.4, np.nan)
    rose = s.targets.label["direction"][:, 0] == 1
    known.loc[known["horizon"] == 1, "probability_up"] = np.where(rose, 0.6, 0.4)
    both = pd.concat([known, table.assign(model="coin")])
    oracle, coin = read(write(both, "models.parquet"), market, config)
    only_up = write(table[table["horizon"] == 1][["symbol", "decision_time", "horizon",
                                                   "probability_up"]], "up.csv")  # fmt: skip
    further = read(only_up, market, config)
    new = scored([oracle, coin, *further], market, config)
    direction = new.scores.tables[0]
    assert [r.name for r in direction.rows[:3]] == ["oracle", "coin", "up"]
    assert direction.rows[1].verdict == direction.rows[2].verdict == "better"
    assert direction.rows[0].values["accuracy"] == 1
    volatility = new.scores.tables[2]
    assert [r.name for r in volatility.rows[:2]] == ["oracle", "coin"]
    lines = "\n".join(new.scores.headline)
    assert "up has no forecast of volatility at 5 sessions: it is not in that table" in lines
    suspect = new.scores.suspect
    assert suspect[0].startswith("LEAK ALARM: oracle, direction at 1 session(s): accuracy 100.0%")
    assert not [line for line in suspect if "coin" in line]
    with pytest.raises(InputError, match="LEAK ALARM: oracle"):
        leaks.require_answered(suspect, config.evaluate)
    with pytest.raises(InputError, match="another forecaster is called coin too"):
        file_forecasts.beside({}, [coin, coin], market, config)


def test_a_real_lightgbm_trained_outside(market: Market, config: Config) -> None:
    """From prices alone, with plain pandas; one of tomorrow's returns is planted."""
    ret = pd.Series(market.channels[:, 0]).fillna(0).to_numpy()
    planted = np.roll(ret, -1) + np.random.default_rng(0).normal(0, 0.02, len(ret))
    x = np.stack([planted, ret, np.roll(ret, 1)], 1)
    train = samples.split(market, config, "train")
    fit = lightgbm.LGBMClassifier(n_estimators=20, num_leaves=4, verbose=-1, n_jobs=1)
    fit.fit(x[train.row], train.targets.label["direction"][:, 0])
    table = of_split(market, config)
    table["probability_up"] = np.asarray(fit.predict_proba(x[table["row"]]))[:, 1]
    path = write(table.drop(columns="row"), "outside.csv")
    new = scored(read(path, market, config), market, config)
    (direction,) = new.scores.tables
    assert direction.rows[0].values["accuracy"] > 0.58
    assert direction.rows[0].values["accuracy"] == pytest.approx(
        ((table["probability_up"] > 0.5).to_numpy() == new.outcomes.rows["rose"]).mean()
    )


def long_frame(market: Market, config: Config) -> pd.DataFrame:
    """As neuralforecast's ``cross_validation``: price levels of five steps after each cutoff."""
    table, steps = of_split(market, config), []
    for step in range(1, 6):
        row = table["row"].to_numpy()
        at = np.minimum(row + step, market.last_row[row])
        own = table[row + step <= market.last_row[row]]
        frame = pd.DataFrame({"unique_id": own["symbol"], "cutoff": own["decision_time"]})
        frame["ds"] = market.session[at[own.index]].astype(str)
        for name, level in (("-median", 0.5), ("-lo-90.0", 0.05), ("-hi-90.0", 0.95),
                            ("-lo-50.0", 0.25), ("-hi-50.0", 0.75)):  # fmt: skip
            move = 0.01 * np.sqrt(step) * norm.ppf(level)
            frame[f"NHITS{name}"] = market.adj_close[row[own.index]] * np.exp(move)
        frame["y"] = market.adj_close[at[own.index]]
        steps.append(frame)
    return pd.concat(steps)


def test_neuralforecasts_own_frame(market: Market, config: Config) -> None:
    path = write(long_frame(market, config), "neural.parquet")
    with pytest.raises(InputError, match=r"NHITS-median, .* may be prices or returns; say which"):
        read(path, market, config)
    with pytest.raises(InputError, match="step 5 of a path of returns is the return of one"):
        read(path, market, config, Told("return"))
    with pytest.raises(InputError, match=r"scale is 'dollars'; expected one of return, "):
        read(path, market, config, Told("dollars"))
    (file,) = read(path, market, config, Told("price", "2020-10-01"))
    assert file.name == "NHITS"
    for level in LEVELS:
        np.testing.assert_allclose(
            file.given.quantiles[level],
            0.01 * np.sqrt(file.horizon) * norm.ppf(level),
            atol=1e-9,
        )
    assert set(file.horizon) == {1, 2, 3, 4, 5}
    own = file_forecasts.forecast_targets(file, config)
    assert own.targets["returns"].horizons == (1, 5)
    assert "volatility" not in own.targets
    new = scored([file], market, config)
    assert [t.name for t in new.scores.tables] == ["direction", "returns", "returns 5d"]
    five = new.scores.tables[2]
    assert five.horizon == 5
    s = samples.split(market, config, "dev")
    known = s.targets.mask["returns"][:, 1]
    assert five.samples == known.sum()
    inside = np.abs(s.targets.label["returns"][known, 1]) <= 0.01 * np.sqrt(5) * norm.ppf(0.95)
    assert five.rows[0].values["coverage"] == pytest.approx(inside.mean())
    assert five.rows[1].name == "NHITS, calibrated"
    head = "\n".join(new.scores.headline)
    assert "NHITS: direction is read off the quantiles of the return" in head
    assert "not told" not in head
    assert "IN SAMPLE" not in head
    # A median of zero says neither up nor down.
    assert new.outcomes.rows["up"].to_numpy() == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["0.1", "timesfm-q-0.1", "N_ql0.1", "N-lo-80", "N-lo-80.0"])
def test_levels_of_other_packages(name: str) -> None:
    header = columns.understood(["unique_id", "ds", "cutoff", "y", name], "f")
    (column,) = header.forecasts
    assert column.what == pytest.approx(0.1)
    assert column.model in ("", "timesfm", "N")


def test_what_columns_mean() -> None:
    chronos = columns.understood(
        ["item_id", "timestamp", "target_name", "predictions", "0.1", "0.9", "cutoff"], "f"
    )
    assert [c.what for c in chronos.forecasts] == ["mean", 0.1, 0.9]
    assert chronos.keys["symbol"] == "item_id"
    ours = columns.understood(
        ["symbol", "decision_time", "horizon", "price_lo-90", "close_mean", "up", "0.3", "x"], "f"
    )
    assert [(c.scale, c.what) for c in ours.forecasts] == [
        ("price", 0.05), ("close", "mean"), ("up", "mean"),
    ]  # fmt: skip
    assert ours.unread == ("0.3", "x")
    wide = columns.understood(["unique_id", "ds", "cutoff", "A", "A-lo-90", "B", "y"], "f")
    assert [c.model for c in wide.forecasts] == ["A", "A", "B"]
    assert not wide.unread, "it is known what y is"


def test_prices_and_returns_in_every_scale_are_one_forecast(market: Market, config: Config) -> None:
    table = of_split(market, config)
    price = market.adj_close[table["row"]]
    close = market.ohlcv[table["row"], 3].astype(float)
    move = 0.01 * norm.ppf([0.1, 0.9])
    forms: dict[str, Callable[[float], np.ndarray]] = {
        "return": lambda r: np.full(len(price), r),
        "simple_return": lambda r: np.full(len(price), np.expm1(r)),
        "price": lambda r: price * np.exp(r),
        "close": lambda r: close * np.exp(r),
    }
    for scale, cells in forms.items():
        frame = table.assign(**{f"{scale}_q0.1": cells(move[0]), f"{scale}_q0.9": cells(move[1])})
        (file,) = read(write(frame, "scale.parquet"), market, config)
        np.testing.assert_allclose(file.given.quantiles[0.9], move[1], rtol=1e-6, err_msg=scale)
    assert file_forecasts.forecast_targets(file, config).targets["returns"].quantiles == (0.1, 0.9)


def test_a_point_forecast_calls_a_side(market: Market, config: Config) -> None:
    table = of_split(market, config)
    mean = np.random.default_rng(1).normal(0, 0.001, len(table))
    (file,) = read(write(table.assign(return_mean=mean)), market, config)
    new = scored([file], market, config)
    (direction,) = new.scores.tables
    ours = direction.rows[0]
    s = samples.split(market, config, "dev")
    rose = s.targets.label["direction"][:, 0]
    assert ours.values["accuracy"] == pytest.approx(((mean > 0) == rose).mean())
    assert ours.values["IC"] == pytest.approx(
        np.corrcoef(mean, s.targets.label["returns"][:, 0])[0, 1], abs=1e-6
    )
    assert "log loss" not in ours.values, "it gives no probability"
    assert not any(r.name.endswith("calibrated") for r in direction.rows)
    assert new.outcomes.rows["up_calibrated"].isna().all()
    head = config.targets["direction"]
    assert [c.section for c in head.curves(new.outcomes.rows, market, config.evaluate)] == [
        "Capital"
    ]
    assert head.calls(new.outcomes.rows).label[0] in ("up", "down")
    assert "theirs: direction is the side of a point forecast" in "\n".join(new.scores.headline)


def test_earlier_forecasts_of_the_file_calibrate(market: Market, config: Config) -> None:
    path = write(good(market, config, since="2020-03-01"))
    (told,) = read(path, market, config, Told(trained_until="2020-10-01"))
    (free,) = read(path, market, config)
    warm, cold = (scored([f], market, config) for f in (free, told))
    assert "calibration starts with the file's own forecasts from 2020-03-01" in "\n".join(
        warm.scores.headline
    )
    assert "calibration starts inside this period" in "\n".join(cold.scores.headline)
    assert (warm.outcomes.rows["up"] == cold.outcomes.rows["up"]).all()
    first = [x.outcomes.rows["q0.05"].iloc[0] for x in (warm, cold)]
    assert first[0] != first[1], "without the earlier ones no label has matured yet"


@pytest.mark.parametrize("point", [False, True])
def test_the_page_of_a_file(
    market: Market, config: Config, point: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = good(market, config)
    if point:
        table = table[["symbol", "decision_time", "horizon"]].assign(return_mean=0.001)
        table = table.drop_duplicates()
    (file,) = read(write(table), market, config)
    own = file_forecasts.forecast_targets(file, config)
    new = evaluation.evaluate(
        file_forecasts.beside({}, [file], market, own), market, own, Path("ledger")
    )
    folder = Path("runs/forecasts/theirs")
    evaluation.publish(new, own, folder)
    file_forecasts.describe(folder, own)
    monkeypatch.setattr(file_forecasts, "open_market", lambda data: market)
    windows = file_forecasts.described(folder, config)
    assert windows.config.targets == own.targets
    page = run_page.write(folder, "dev", market, windows.config, windows, []).read_text()
    for title in ("Scores", "Prices", "Capital", "Worst cases"):
        assert f"<h2>{title}</h2>" in page
    for title in ("Fusion weights", "Contributions", "Training"):
        assert f"<h2>{title}</h2>" not in page, "a file of forecasts has none"
    assert ("<h2>Calibration</h2>" in page) != point
    with pytest.raises(InputError, match="nowhere: no run here"):
        file_forecasts.described(Path("nowhere"), config)


def test_training_on_scored_days_is_told(market: Market, config: Config) -> None:
    (file,) = read(write(good(market, config)), market, config, Told(None, "2020-11-30"))
    lines = scored([file], market, config).scores.headline
    assert "IN SAMPLE: theirs was trained on days up to 2020-11-30 that are scored" in lines
    table = good(market, config).assign(trained_until="2020-10-01")
    (file,) = read(write(table), market, config)
    assert "IN SAMPLE" not in "\n".join(scored([file], market, config).scores.headline)


def test_every_sample_is_forecast_or_the_intersection_is_asked_for(
    market: Market, config: Config
) -> None:
    table = good(market, config)
    fewer = table[(table["horizon"] == 5) | (table["decision_time"] != "2020-10-05")]
    (file,) = read(write(fewer), market, config)
    count = len(samples.split(market, config, "dev"))
    with pytest.raises(InputError) as e:
        scored([file], market, config)
    assert str(e.value) == (
        f"theirs has no forecast of direction at 1 session for 2 of {count} samples of dev, made "
        "at the close of AA 2020-10-05, BB 2020-10-05; add them, or score what all have with "
        "--common"
    )
    (whole,) = read(write(table, "whole.csv"), market, config)
    new = scored([whole, file], market, config, common=True)
    assert (
        f"Only {count - 2:,} of {count:,} samples are scored, those that every file forecasts "
        "(--common)"
    ) in new.scores.headline
    assert len(new.outcomes.rows) == count - 2
    (elsewhere,) = read(
        write(table[table["symbol"] == "AA"].assign(decision_time="2020-06-01")
              .drop_duplicates(["symbol", "horizon"]), "june.csv"), market, config
    )  # fmt: skip
    with pytest.raises(InputError, match="there is nothing to score"):
        scored([elsewhere], market, config, common=True)


Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="symbol"), r"lacks column symbol \(or unique_id, item_id\); it "),
        (lambda t: t.drop(columns="horizon"), r"expected two of the columns decision_time \(or "),
        (lambda t: t.rename(columns={"decision_time": "target_day"}),
         "of target_day it is not known whether it begins or ends the horizon"),
        (lambda t: t[["symbol", "decision_time", "horizon"]],
         "no column holds a forecast; it has symbol, decision_time, horizon. Expected prob"),
        (lambda t: t.head(0), "holds no rows; expected one for each symbol, day and horizon"),
        (lambda t: t.replace({"symbol": {"BB": "XX"}}),
         r"row \d+ \(symbol=XX, decision_time=2020-10-01, horizon=1\): unknown symbol; the data "
         r"has AA, BB. Drop such rows \(\d+ such rows\)"),
        (lambda t: pd.concat([t, t.iloc[[3]]]),
         r"row \d+ \(symbol=AA, .*\): theirs has another forecast of this symbol, session and h"),
        (lambda t: t.assign(horizon=0), "horizon must be a whole number of sessions, at least 1"),
        (lambda t: t.assign(horizon=1.5)[:5], "horizon must be a whole number of sessions"),
        (lambda t: t.assign(horizon=t["horizon"] + 1),
         "theirs forecasts probabilities of up and quantiles of returns and volatilities at "
         r"horizons of 2, 6 sessions, which are none of config.targets: direction at 1, returns "),
        (lambda t: t.assign(decision_time=t["decision_time"] + "T23:30:00Z"),
         r"made after the decision of its session, 2020-10-01T22:00:00 UTC: it may know more .* "
         "stamp it by then, give the date alone, or set config.data.decision_delay_minutes"),
        (lambda t: t.assign(decision_time="soon"), "decision_time is neither a date such as 2018"),
        (lambda t: t.assign(decision_time=20201001), "decision_time is a number; write 2018-06"),
        (lambda t: t.assign(target_date=t["decision_time"]), "its target is not after its d"),
        (lambda t: t.assign(target_date="2021-01-21"),
         "target_date does not lie horizon sessions of this symbol after the decision; correct"),
        (lambda t: t.assign(probability_up=55.0),
         r"probability_up is 55: a probability lies between 0 and 1; divide percent by 100"),
        (lambda t: t.assign(probability_up=-0.1), "probability_up is -0.1: a probability lies "),
        (lambda t: t.assign(probability_up=np.inf), "probability_up is not a number, or infinite"),
        (lambda t: t.assign(probability_up="high"), "probability_up is not a number, or infinite"),
        (lambda t: t.assign(volatility=-0.01), "volatility is -0.01: expected the standard "),
        (lambda t: t.assign(volatility=t["volatility"] * 100),
         r"column volatility is [\d.]+ times the stocks' own .*divide percent by 100, annual ones"),
        (lambda t: t.assign(volatility=t["volatility"] * np.sqrt(252)), "annual ones by √252"),
        (lambda t: t[t["horizon"] == 1].assign(**{"return_q0.05": 0.05}),
         "quantiles cross: the one at 0.05 is above the one at 0.25; sort each row's along the"),
        (lambda t: t.assign(**{"return_q0.5": np.nan}), "some quantiles are missing; give all or"),
        (lambda t: t.rename(columns={"return_q0.05": "return_q0.0"}),
         "column return_q0.0 is the quantile at 0; a level lies between 0 and 1"),
        (lambda t: t.assign(**{c: t[c] * 100 for c in t if "_q" in c}),
         r"column return_q0.05 means moves of \d+ times the stocks' own .*divide percent by 100"),
        (lambda t: t.rename(columns={c: c.replace("return", "price") for c in t}),
         "price_q0.05 is -0.0164485: expected a price, above 0"),
        (lambda t: t.assign(simple_return_mean=-3.0), "simple_return_mean is -3: expected above"),
        (lambda t: t.assign(model="[bold]"), r"a model is called '\[bold\]'; expected at most 80"),
        (lambda t: t.assign(model=[None, *["a"] * (len(t) - 1)]), "model is empty; name all, or n"),
        (lambda t: t.assign(scale=["price", *["return"] * (len(t) - 1)]), "column scale holds 2"),
    ],
)  # fmt: skip
def test_one_sentence_says_what_is_wrong(
    market: Market, config: Config, change: Change, message: str
) -> None:
    path = write(change(good(market, config).reset_index(drop=True)))
    with pytest.raises(InputError, match=message) as e:
        scored(read(path, market, config), market, config)
    assert str(e.value).startswith(str(path)), "the file is named"


def test_files_that_are_none(market: Market, config: Config) -> None:
    Path("empty.csv").touch()
    Path("broken.parquet").write_bytes(b"PAR1 and no more")
    for name, message in (
        ("none.csv", "none.csv: missing"),
        ("empty.csv", "empty.csv: is empty; expected a header and a row for each forecast"),
        ("broken.parquet", "broken.parquet: cannot be read as parquet"),
        ("model.pkl", "model.pkl: ends in '.pkl'; expected .csv, .parquet, .jsonl"),
    ):
        with pytest.raises(InputError, match=message):
            read(Path(name), market, config)
    with open("huge.csv", "wb") as f:
        f.truncate(reader._LARGEST + 1)  # sparse
    with pytest.raises(InputError, match="has 2,000,000,001 bytes; expected at most"):
        read(Path("huge.csv"), market, config)


def test_times_belong_to_the_session_of_the_exchange(market: Market, config: Config) -> None:
    """The decision of a session is at 22:00 UTC, 18:00 in New York in summer."""
    table = of_split(market, config).head(1).assign(probability_up=0.5)
    day = table["decision_time"].iloc[0]
    for stamp, note in (
        (day, ""),
        (f"{day} 00:00:00", ""),
        (f"{day}T20:15:00Z", ""),
        (f"{day}T16:15:00-04:00", ""),
        (f"{day} 22:00:00+00:00", ""),
        (f"{day} 16:15:00", "times without a zone are read in America/New_York"),
    ):
        for name in ("times.csv", "times.parquet"):
            (file,) = read(write(table.assign(decision_time=stamp), name), market, config)
            assert file.row.tolist() == table["row"].tolist(), stamp
            assert [n for n in file.notes if "zone" in n] == ([note] if note else [])
    zoned = pd.to_datetime([f"{day}T20:15:00Z"])
    (file,) = read(write(table.assign(decision_time=zoned), "t.parquet"), market, config)
    assert file.row.tolist() == table["row"].tolist()
    (file,) = read(write(table.assign(decision_time=zoned.tz_localize(None).normalize()),
                         "d.parquet"), market, config)  # fmt: skip
    assert file.row.tolist() == table["row"].tolist()


def test_targets_alone_place_a_forecast_and_days_outside_the_data_are_told(
    market: Market, config: Config
) -> None:
    table = of_split(market, config)
    row = table["row"].to_numpy()
    frame = pd.DataFrame({"symbol": table["symbol"], "horizon": 2, "probability_up": 0.5})
    frame["target_date"] = (market.session[row] + 2).astype(str)
    frame.loc[0, "target_date"] = "2035-01-01"
    frame.loc[1, "target_date"] = "2019-12-31"
    frame["note"] = 1
    (file,) = read(write(frame), market, config)
    assert (file.row[2:] == row[2:]).all()
    assert file.row[:2].tolist() == [-1, -1]
    assert "2 rows lie outside the days of the data and are not read" in file.notes
    assert "columns that are not read: note" in file.notes
    gap = dataclasses.replace(market, session=market.session + (market.session > np.datetime64(
        "2020-12-01")))  # fmt: skip
    with pytest.raises(InputError, match="the data has no bar of this symbol on that day"):
        read(write(frame.assign(target_date="2020-12-02")[:1]), gap, config)


def test_a_probability_read_off_quantiles() -> None:
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    drift = np.array([-1.0, 0.0, 0.3, 5.0, np.nan])
    quantiles = {q: drift + norm.ppf(q) for q in levels.tolist()}
    above = outside.chance_above(quantiles, 0.0)
    assert above[1] == pytest.approx(0.5)
    assert above[3] == pytest.approx(0.95), "beyond the outermost level nothing is known"
    assert above[0] == pytest.approx(norm.cdf(-1), abs=0.03)
    assert np.isnan(above[4])
    fine = {q: 0.3 + norm.ppf(q) for q in np.linspace(0.01, 0.99, 99).tolist()}
    fine = {q: np.array([x]) for q, x in fine.items()}
    assert outside.chance_above(fine, 0.0)[0] == pytest.approx(norm.cdf(0.3), abs=1e-4)


def test_thresholds_of_a_protocol_hold_for_quantiles_too(config: Config) -> None:
    head = dataclasses.replace(config.targets["direction"], up=0.0055, down=-0.005)
    quantiles = {q: np.array([0.01 * norm.ppf(q)]) for q in np.linspace(0.01, 0.99, 99).tolist()}
    filled = head.filled(Given(quantiles=quantiles))
    rises, falls = norm.sf(np.log1p(0.0055) / 0.01), norm.cdf(np.log1p(-0.005) / 0.01)
    assert filled.value[0] == pytest.approx(rises / (rises + falls), abs=1e-3)


def test_a_head_of_one_s_own_is_left_out_unless_it_reads_files(config: Config) -> None:
    from fusionjax.heads.base import Head

    assert Head.filled(config.targets["direction"], Given(up=np.zeros(1))) is None
