"""Diagnostics: each anomaly is provoked and named, and a healthy run is passed over in silence."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import TINY, seeing, small

from fusionjax.config import Config
from fusionjax.evaluate import diagnostics


def config() -> Config:
    return small(seeing({"price": TINY["price"]}), Path())


def log(rows: int = 120, seed: int = 0) -> pd.DataFrame:
    """A training that learns: the loss falls, gradients and speed vary a little."""
    rng = np.random.default_rng(seed)
    at = np.arange(rows)
    return pd.DataFrame(
        {
            "step": 20 * (at + 1),
            "loss": 0.5 + 0.3 * np.exp(-at / 30) + 0.02 * rng.normal(size=rows),
            "grad_norm": np.exp(0.2 * rng.normal(size=rows)),
            "steps_per_second": np.r_[0.1, 10 * np.exp(0.05 * rng.normal(size=rows - 1))],
        }
    )


@pytest.mark.parametrize("seed", range(10))
def test_a_healthy_training_is_passed_over(seed: int) -> None:
    assert not diagnostics.of_training(log(seed=seed))


@pytest.mark.parametrize(
    ("column", "row", "value", "said"),
    [
        ("loss", 80, 3.0, "the loss jumps 1 time(s), first at step 1620: a damaged sample"),
        ("grad_norm", 90, 500.0, "the gradient bursts 1 time(s), first at step 1820"),
        ("grad_norm", slice(100, None), 1e-6, "the gradient fades at step 2020: nothing is"),
        ("steps_per_second", slice(60, 70), 1.0, "steps become slower than ever before"),
        ("loss", slice(30, None), 0.9, "the loss is no lower in the last quarter"),
        ("loss", 50, np.nan, "is not finite from step 1020 on"),
        ("grad_norm", 50, np.inf, "is not finite from step 1020 on"),
    ],
)
def test_an_odd_training_is_told(column: str, row: object, value: float, said: str) -> None:
    frame = log()
    frame.loc[frame.index[row], column] = value
    found = diagnostics.of_training(frame)
    assert any(said in line for line in found), found
    assert all("Look: " in line for line in found)


def test_chance_alone_goes_beyond_the_threshold_less_than_once_in_a_thousand() -> None:
    x = np.random.default_rng(0).normal(size=200_000)
    assert diagnostics._beyond(x).mean() < 1e-3
    x[500] = 40.0
    assert diagnostics._beyond(x)[500]


def outcomes(days: int = 120, stocks: int = 20, seed: int = 0) -> pd.DataFrame:
    """Forecasts as good as they say: probabilities, intervals and volatility are true."""
    rng = np.random.default_rng(seed)
    n = days * stocks
    up = rng.uniform(0.35, 0.65, n)
    volatility = np.exp(rng.normal(-4, 0.3, n))
    came = volatility * rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "target_day": np.repeat(pd.date_range("2020-01-01", periods=days), stocks),
            "up": up,
            "up_spread": 0.01,
            "rose": (rng.uniform(size=n) < up).astype(float),
            "return": came,
            "log_volatility": np.log(volatility),
            "log_volatility_came": np.log(volatility) + 0.2 * rng.normal(size=n),
        }
    )
    for name, z in (("low_raw", -1.645), ("high_raw", 1.645), ("q0.05", -1.645), ("q0.95", 1.645)):
        frame[name] = z * volatility
    return frame


def test_a_sound_output_is_passed_over() -> None:
    assert not diagnostics.of_output(outcomes(seed=0), config())
    odd = [bool(diagnostics.of_output(outcomes(seed=s), config())) for s in range(60)]
    assert np.mean(odd) < 0.12, "four 99 % intervals, two of which are the same here"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.assign(up=0.5 + 0.001 * (f["up"] - 0.5)), "single samples are noise"),
        (lambda f: f.assign(up=f["up"] / 2 + 0.45), "of the calls are up, though no 20 days"),
        (lambda f: f.assign(up=np.where(f["up"] > 0.5, 0.95, 0.05)), "points: overconfident"),
        (lambda f: f.assign(low_raw=f["low_raw"] / 2, high_raw=f["high_raw"] / 2),
         "the 90% interval covers 5"),
        (lambda f: f.assign(**{c: 2 * f[c] for c in ("q0.05", "q0.95")}),
         "the calibrated 90% interval covers 100.0%"),
        (lambda f: f.assign(log_volatility=f["log_volatility"] - 0.5),
         "forecast volatility is -39% off on average: it learned a less volatile market"),
    ],
)  # fmt: skip
def test_an_odd_output_is_told(change: object, said: str) -> None:
    found = diagnostics.of_output(change(outcomes()), config())  # type: ignore[operator]
    assert any(said in line for line in found), found
    assert all("Look: " in line for line in found)


def test_all_four_stages_are_written(tmp_path: Path) -> None:
    seed = tmp_path / "seed_0"
    seed.mkdir()
    frame = log()
    frame.loc[80, "loss"] = 3.0
    rows = [json.dumps(r) for r in frame.to_dict("records")]
    (seed / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    fusion = {"anomalies": ["text is dead"], "modalities": ["price", "text"], "kept": [1.0, 0.0]}
    (seed / "fusion.json").write_text(json.dumps(fusion))
    findings = [
        {"code": "gaps", "level": "watch", "what": "3 symbols lack bars", "do": "fetch them"},
        {"code": "labels", "level": "fine", "what": "as they should be", "do": ""},
    ]
    (tmp_path / "audit.json").write_text(json.dumps({"findings": findings}))
    outcomes().assign(up=0.7).to_parquet(tmp_path / "outcomes_dev.parquet")
    found = diagnostics.diagnose(tmp_path, config(), "outcomes_dev")
    assert found == json.loads((tmp_path / "diagnostics.json").read_text())
    assert tuple(found) == diagnostics.STAGES
    assert found["preprocessing"] == ["gaps: 3 symbols lack bars. Look: fetch them"]
    assert found["fusion"] == ["seed_0: text is dead"]
    assert found["training"][0].startswith("seed_0: the loss jumps")
    assert any("calls are up" in line for line in found["output"])
    (board,) = (seed / "tensorboard").glob("events*")
    assert b"diagnostics/fusion/text_summary" in board.read_bytes()
    assert b"diagnostics/fusion\x12" not in board.read_bytes(), "no card of a single point"


def test_seeds_that_disagree_on_the_modalities_are_told(tmp_path: Path) -> None:
    kept = {"seed_0": [1, 0], "seed_1": [1, 1], "seed_2": [1, 0]}
    seeds = [tmp_path / name for name in (*kept, "seed_3")]  # the last has no such fusion
    for name, mask in kept.items():
        (tmp_path / name).mkdir()
        fusion = {"modalities": ["price", "text"], "kept": mask}
        (tmp_path / name / "fusion.json").write_text(json.dumps(fusion))
    (line,) = diagnostics.disagreement(seeds)
    assert line.endswith("all the same: seed_0, seed_2: price; seed_1: price, text")
    assert not diagnostics.disagreement([seeds[0], seeds[2]])
