"""Somebody else's model as an expert: weighed by later data, point-in-time, noticed if changed."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import SP500, seeing, small

from fusionjax.config import Config
from fusionjax.data import samples
from fusionjax.data.samples import Samples
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.errors import InputError
from fusionjax.experts import stacked
from fusionjax.experts.stacked import Experts, Stack
from fusionjax.experts.walk_forward import Available
from fusionjax.train.run import open_market

VOLATILITY = ("volatility", 0)
HAR = "Log-HAR with the market"
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
READ = "2009-12-31"


@pytest.fixture(scope="module")
def market(prepared: Path) -> Market:
    return open_market(config(prepared).data)


def config(prepared: Path, file: Path | str = "", read: str = READ, **changes: object) -> Config:
    return small(
        seeing({"price": SP500["price"]}),
        prepared,
        **{
            "distill__experts": (HAR,),
            "distill__expert_fits": 3,
            "distill__expert_files": {"theirs": (str(file), read)} if file else {},
            "data__splits": {
                "train": ("2008-01-01", "2013-12-31"),
                "dev": ("2014-01-01", "2014-12-31"),
            },
        }
        | changes,
    )


def start(market: Market, c: Config) -> Windows:
    days = samples.period(c.data, "train")
    training = samples.training_data(market, c, *days, c.distill.meta_fraction)
    return stacked.started(Windows(market, c, Scaler.fit(market, days[1])), training, days[1])


def weight(windows: Windows, task: tuple[str, int] = VOLATILITY) -> dict[str, float]:
    return windows.stack.experts.weight[task]


def labelled(market: Market, c: Config) -> Samples:
    return samples.between(market, c, np.datetime64("2008-01-01"), np.datetime64("2014-12-31"))


def frame(market: Market, s: Samples, horizon: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "symbol": np.array(market.symbols)[market.symbol[s.row]],
            "decision_time": market.session[s.row].astype(str),
            "horizon": horizon,
        }
    )


def volatilities(market: Market, c: Config, error: float = 0.2, seed: int = 0) -> pd.DataFrame:
    """The label, which no honest model knows so well, with an error."""
    s = labelled(market, c)
    known = s.targets.mask["volatility"][:, 0]
    value = s.targets.label["volatility"][:, 0] + error * np.random.default_rng(seed).normal(
        size=len(s)
    )
    return frame(market, s, 5).assign(log_volatility=value)[known]


def noise(market: Market, c: Config, seed: int = 0) -> pd.DataFrame:
    """As volatile as the market, at random times."""
    table = volatilities(market, c, 0.0)
    order = np.random.default_rng(seed).permutation(len(table))
    return table.assign(log_volatility=table["log_volatility"].to_numpy()[order])


def written(table: pd.DataFrame, path: Path) -> Path:
    table.to_csv(path, index=False)
    return path


def error_of_dev(windows: Windows) -> float:
    s = samples.split(windows.market, windows.config, "dev")
    known = s.targets.mask["volatility"][:, 0]
    value = windows.stack(s.row).value["volatility"][known, 0]
    return float(((value - s.targets.label["volatility"][known, 0]) ** 2).mean())


def test_a_file_that_knows_counts_and_helps(market: Market, prepared: Path, tmp_path: Path) -> None:
    plain = config(prepared)
    c = config(prepared, written(volatilities(market, plain), tmp_path / "theirs.csv"))
    windows = start(market, c)
    assert weight(windows)["theirs"] > 0.6
    assert error_of_dev(windows) < 0.5 * error_of_dev(start(market, plain))


def test_a_file_of_noise_gets_no_weight_and_is_not_needed_again(
    market: Market, prepared: Path, tmp_path: Path
) -> None:
    path = written(noise(market, config(prepared)), tmp_path / "theirs.csv")
    c = config(prepared, path)
    windows = start(market, c)
    assert weight(windows) == {HAR: 1.0}
    assert error_of_dev(windows) == error_of_dev(start(market, config(prepared)))
    stacked.kept(windows, tmp_path)
    path.unlink()
    stacked.of_run(Windows(market, c, windows.scaler), tmp_path)
    stacked.updated(windows, *(np.datetime64(d) for d in ("2008-01-01", "2014-06-30")))


def test_what_its_model_had_read_does_not_count(
    market: Market, prepared: Path, tmp_path: Path
) -> None:
    """Rows up to the declared day have no forecast; whatever they hold changes no bit."""
    table = volatilities(market, config(prepared))
    path = written(table, tmp_path / "theirs.csv")
    windows = start(market, config(prepared, path, "2012-06-29"))
    rows = labelled(market, windows.config).row
    expert = Available(windows, windows.trailing).one(VOLATILITY, "theirs")
    has = np.isfinite(expert.forecast({}, market, rows))
    late = market.session[rows] > np.datetime64("2012-06-29")
    assert not has[~late].any()
    assert has[late].sum() == (table["decision_time"] > "2012-06-29").sum() > 0
    early = table["decision_time"] <= "2012-06-29"
    other = table.assign(log_volatility=table["log_volatility"] + 0.5 * early)
    again = start(market, config(prepared, written(other, path), "2012-06-29"))
    assert weight(again) == weight(windows)
    for a, b in zip(*(w.stack(rows).value.values() for w in (windows, again)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_its_own_column_of_training_days_may_be_later(
    market: Market, prepared: Path, tmp_path: Path
) -> None:
    table = volatilities(market, config(prepared))
    read = np.where(table["decision_time"] < "2013-06-01", "2013-12-31", table["decision_time"])
    path = written(table.assign(trained_until=read), tmp_path / "theirs.csv")
    windows = start(market, config(prepared, path))
    rows = labelled(market, windows.config).row
    value = (
        Available(windows, windows.trailing).one(VOLATILITY, "theirs").forecast({}, market, rows)
    )
    has = np.isfinite(value)
    assert has[(market.session[rows] >= np.datetime64("2013-06-03"))].any()
    assert not has[market.session[rows] < np.datetime64("2013-06-01")].any()


def test_rows_that_it_lacks_are_the_others_to_the_bit(
    market: Market, prepared: Path, tmp_path: Path
) -> None:
    plain = config(prepared)
    table = volatilities(market, plain, 0.0)
    there = np.random.default_rng(1).random(len(table)) < 0.6
    path = written(table[there], tmp_path / "theirs.csv")
    windows, alone = (start(market, c) for c in (config(prepared, path), plain))
    assert weight(windows)["theirs"] > 0.9  # though it lacks four rows in ten
    s = samples.split(market, plain, "dev")
    has = np.isin(market.session[s.row].astype(str), table["decision_time"][there])
    with_file, without = (w.stack(s.row).value["volatility"] for w in (windows, alone))
    assert 0.5 < has.mean() < 0.7
    np.testing.assert_array_equal(with_file[~has], without[~has])
    assert np.abs(with_file[has] - without[has]).mean() > 0.05


@pytest.fixture
def run(market: Market, prepared: Path, tmp_path: Path) -> tuple[Windows, pd.DataFrame, Path]:
    """What a training with a file starts from, the file's rows, and the folder of both."""
    table = volatilities(market, config(prepared))
    windows = start(market, config(prepared, written(table, tmp_path / "theirs.csv")))
    return stacked.kept(windows, tmp_path), table, tmp_path


def test_a_changed_file_is_refused(run: tuple[Windows, pd.DataFrame, Path]) -> None:
    windows, table, folder = run
    bare = Windows(windows.market, windows.config, windows.scaler)
    total = hashlib.sha256((folder / "theirs.csv").read_bytes()).hexdigest()
    assert {str(x["sha256"]) for x in Experts.read(folder).learned[VOLATILITY]["theirs"]} == {total}
    stacked.of_run(bare, folder)  # as it was
    moved = table["log_volatility"] + 0.01 * (table["decision_time"] == "2012-07-02")
    for changed in (table.assign(log_volatility=moved), table[table["decision_time"] > "2012"]):
        written(changed, folder / "theirs.csv")
        for resumed in (stacked.of_run, stacked.kept):
            with pytest.raises(InputError, match=r"theirs.csv: has sha256 .* restore it, or train"):
                resumed(bare, folder)
    (folder / "theirs.csv").unlink()
    with pytest.raises(InputError, match=r"theirs.csv"):
        stacked.of_run(bare, folder)


def test_later_forecasts_may_be_added(run: tuple[Windows, pd.DataFrame, Path]) -> None:
    """A file that grows day by day serves the run, and an update keeps its new sum."""
    windows, table, folder = run
    bare = Windows(windows.market, windows.config, windows.scaler)
    trained = table["decision_time"] <= "2013-12-31"
    written(table[trained], folder / "theirs.csv")
    shorter = stacked.of_run(bare, folder)
    written(table, folder / "theirs.csv")
    longer = stacked.of_run(bare, folder)
    assert error_of_dev(longer) < 0.5 * error_of_dev(shorter)
    assert longer.stack.files != shorter.stack.files  # so scores of both are told apart
    until = np.datetime64("2014-06-30")
    update = stacked.updated(longer, np.datetime64("2008-01-01"), until)
    learned = update.stack.experts.learned[VOLATILITY]["theirs"]
    assert str(learned[-1]["sha256"]) == longer.stack.files[0]
    assert update.stack.experts.weight == windows.stack.experts.weight


@pytest.mark.parametrize(
    ("until", "read"), [("2010-12-31", READ), ("2014-12-31", "2013-12-31"), (READ, "2013-12-31")]
)
def test_a_file_that_cannot_be_weighed_is_refused(
    market: Market, prepared: Path, tmp_path: Path, until: str, read: str
) -> None:
    """It ends before the meta set, or its model had read all of that."""
    table = volatilities(market, config(prepared))
    path = written(table[table["decision_time"] <= until], tmp_path / "theirs.csv")
    with pytest.raises(InputError) as e:
        start(market, config(prepared, path, read))
    told, asked = str(e.value).split("; expected ")
    assert told.startswith(f"{path}: forecasts 2007-12-31 to ")
    assert told.endswith(f"had read until {read}")
    assert asked.startswith("forecasts after that day in the meta set, 2011-")
    assert asked.endswith("drop config.distill.expert_files.theirs")


def quantiles(market: Market, c: Config) -> pd.DataFrame:
    s = labelled(market, c)
    scale = np.exp(s.targets.label["volatility"][:, 0])
    tables = []
    for at, horizon in enumerate(c.targets["returns"].horizons):
        table = frame(market, s, horizon)
        for level, z in zip(LEVELS, (-1.64, -0.67, 0.0, 0.67, 1.64), strict=True):
            table[f"return_q{level:g}"] = z * scale * np.sqrt(horizon)
        tables.append(table[s.targets.mask["volatility"][:, 0] & s.targets.mask["returns"][:, at]])
    return pd.concat(tables)


def test_quantiles_start_returns_and_give_a_probability(
    market: Market, prepared: Path, tmp_path: Path
) -> None:
    experts = ("majority", "historical quantiles, scaled by the experts")
    plain = config(prepared, distill__experts=experts)
    path = written(quantiles(market, plain), tmp_path / "theirs.csv")
    windows = start(market, config(prepared, path, distill__experts=experts))
    every = windows.config.targets["returns"]
    for at in range(len(every.horizons)):
        assert weight(windows, ("returns", at))["theirs"] > 0.5
    rows = samples.split(market, plain, "dev").row[:32]
    assert windows.stack(rows).known["returns"].all()
    available = Available(windows, windows.trailing)
    up = available.one(("direction", 0), "theirs").forecast({}, market, rows)
    np.testing.assert_allclose(up, 0.5)
    coarse = dataclasses.replace(every, quantiles=(0.1, 0.9)).one(0)
    assert available.declared("theirs").expert(coarse) is None  # other levels


def refused(make: Callable[[pd.DataFrame], pd.DataFrame], **changes: object) -> Callable:
    def check(market: Market, prepared: Path, path: Path) -> None:
        table = make(volatilities(market, config(prepared)))
        start(market, config(prepared, written(table, path), **changes))

    return check


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (refused(lambda t: t.assign(horizon=7)), r"no forecast after 2009.*volatility at \(5,\)"),
        (
            refused(lambda t: t, distill__experts=()),
            r"none of volatility, of which theirs may lack",
        ),
        (
            refused(lambda t: pd.concat([t.assign(model=m) for m in ("a", "b")])),
            "holds the models a, b; expected one, or one called 'theirs'",
        ),
    ],
)
def test_what_cannot_be_an_expert_is_refused_in_a_sentence(
    market: Market, prepared: Path, tmp_path: Path, check: Callable, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check(market, prepared, tmp_path / "theirs.csv")


def test_of_several_models_the_one_of_its_name_is_taken(
    market: Market, prepared: Path, tmp_path: Path
) -> None:
    plain = config(prepared)
    both = [volatilities(market, plain).assign(model="theirs")]
    both.append(noise(market, plain).assign(model="other"))
    c = config(prepared, written(pd.concat(both), tmp_path / "models.csv"))
    assert weight(start(market, c))["theirs"] > 0.6


def test_names_and_days_are_checked(market: Market, prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expert_files.theirs .* until '2010'; expected YYYY"):
        config(prepared, "theirs.csv", "2010")
    files = {"majority": ("theirs.csv", READ)}
    with pytest.raises(InputError, match="expert_files has 'majority'; expected a name that no"):
        start(market, config(prepared, distill__expert_files=files))
    path = written(volatilities(market, config(prepared)), tmp_path / "theirs.csv")
    windows = start(market, config(prepared, path))
    lacking = Windows(market, config(prepared), windows.scaler)
    with pytest.raises(InputError, match="starts volatility from the expert 'theirs', which is"):
        Stack.over(lacking, windows.stack.experts)(
            samples.split(market, config(prepared), "dev").row
        )
