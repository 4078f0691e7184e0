"""A user's own modality, head and fusion, each registered by this file alone: trained, scored,
updated, watched for drift and shown. Whoever writes one starts from here."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from conftest import SP500, seeing, small
from flax import linen as nn
from flax import struct

from fusionjax.adapt import signals
from fusionjax.adapt.finetune import finetune
from fusionjax.config import AugmentConfig, Config, DataConfig, MeshConfig, ModelConfig
from fusionjax.config.checks import need
from fusionjax.config.key import key
from fusionjax.configs import base
from fusionjax.data import samples
from fusionjax.data.samples import growth, unlabelled
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows, dummy_batch
from fusionjax.errors import InputError
from fusionjax.evaluate import evaluation
from fusionjax.evaluate.forecast import forecast, row_at
from fusionjax.evaluate.inference import Ensemble, predict, read_info
from fusionjax.experts import learners
from fusionjax.heads.base import Head, Scored, Scorer, rounded
from fusionjax.modalities.base import Heat, Modality, Reader
from fusionjax.models.fusions.base import Fusion
from fusionjax.models.layers import dense, energy, order_after
from fusionjax.parallel.mesh import make_mesh
from fusionjax.registry import FUSIONS, HEADS, MODALITIES
from fusionjax.report import run as page
from fusionjax.scores import metrics
from fusionjax.scores.intervals import ByDay, Score
from fusionjax.train.loop import fit
from fusionjax.train.run import Trainer, open_market
from fusionjax.train.run_info import require_same_run
from fusionjax.types import Encoded, Fused, Tokens

MESH = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])


@struct.dataclass
class Distances:
    """Of the last close from its moving averages."""

    x: Any  # float32 [B, F]


class DistancesEncoder(nn.Module):
    """One token."""

    config: ModelConfig

    @nn.compact
    def __call__(self, given: Distances, before: Tokens | None = None) -> Tokens:
        x = order_after(dense(self.config, self.config.width, "embed")(given.x)[:, None], before)
        mask = jnp.ones(x.shape[:2], bool)
        return Tokens(x, mask, energy(x, mask))


@MODALITIES.register("averages")
@dataclasses.dataclass(frozen=True)
class Averages(Modality):
    """How far the last close is from the mean of the last closes, log.

    Attributes:
      spans: of each mean, sessions.
    """

    spans: tuple[int, ...]

    def check(self, name: str, config: Config) -> None:
        need(
            len(self.spans) > 0 and min(self.spans) > 1,
            f"modalities.{name}.spans is {self.spans}; expected some, of 2 sessions or more",
        )

    def _of(self, market: Market, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at, exists = market.look_back(rows, max(self.spans))
        close = market.adj_close[at]
        means = np.stack([close[:, -span:].mean(1) for span in self.spans], 1)
        return np.log(close[:, -1:] / means), exists.all(1)

    def reader(self, market: Market, config: Config, scaler: Scaler) -> Reader:
        def read(rows: np.ndarray) -> tuple[Distances, np.ndarray]:
            x, here = self._of(market, rows)
            return Distances(np.where(here[:, None], 20 * x, 0).astype(np.float32)), here

        return read

    def dummy(self, config: Config, rows: int) -> Distances:
        return Distances(np.zeros((rows, len(self.spans)), np.float32))

    def encoder(self, config: ModelConfig, deterministic: bool) -> nn.Module:
        return DistancesEncoder(config)

    def augment(self, value: Distances, settings: AugmentConfig, key: jax.Array) -> Distances:
        noise = settings.numeric_jitter * jax.random.normal(key, value.x.shape)
        return Distances(value.x + noise)

    def pooled(self, value: Distances, present: np.ndarray) -> np.ndarray:
        return np.where(present[:, None], value.x, np.nan)

    def daily(self, market: Market, rows: np.ndarray) -> dict[str, np.ndarray]:
        x, here = self._of(market, rows)
        return {
            f"input average {span}": np.where(here, x[:, i], np.nan)
            for i, span in enumerate(self.spans)
        }

    def sources(self, market: Market, data: DataConfig, row: int) -> list[str]:
        return [f"means of {self.spans} closes"]

    def picture(self, value: Distances, market: Market, row: int) -> Heat:
        return Heat(value.x[None].astype(float))


@HEADS.register("span")
@dataclasses.dataclass(frozen=True)
class Span(Head):
    """Log of how far the highest high of the coming sessions is above their lowest low."""

    least: float = key(1e-3, "of the log of the one over the other: keeps its own log finite")

    title = "span, errors of its log"
    shown = ("MSE",)
    compared = "MSE"
    learner = "numbers"
    loss_title = "squared error of log span"
    fold_loss = ("span_mse", "span MSE")

    @property
    def width(self) -> int:
        return 1

    def check(self, name: str, config: Config) -> None:
        super().check(name, config)
        need(self.least > 0, f"targets.{name}.least is {self.least}; expected above 0")

    def labels(
        self, market: Market, rows: np.ndarray, horizon: int, last: np.datetime64
    ) -> tuple[np.ndarray, np.ndarray]:
        _, known = growth(market, rows, horizon, last)
        at = np.where(known, rows, 0)[:, None] + np.arange(1, horizon + 1)
        high, low = market.ohlcv[at, 1].max(1), market.ohlcv[at, 2].min(1)
        return np.log(np.maximum(np.log(high / low), self.least)), known

    def decode(self, outputs: jax.Array, log_scale: jax.Array) -> jax.Array:
        return outputs + log_scale[..., None]

    def loss(self, outcome: jax.Array, target: jax.Array, log_scale: jax.Array) -> jax.Array:
        return (outcome - target) ** 2

    def sample_loss(self, value: np.ndarray, label: np.ndarray) -> np.ndarray:
        return (value - label).astype(float) ** 2

    def fold_scores(self, value: np.ndarray, label: np.ndarray) -> dict[str, float]:
        return {"span_mse": float(((value - label) ** 2).mean())}

    def scorer(self, scored: Scored) -> Scorer:
        def scores(value: np.ndarray, keep: np.ndarray, sure: bool) -> dict[str, Score]:
            k = keep & scored.known
            label, day = scored.label[k].astype(float), scored.day[k]
            return metrics.regression(label, value[k], day, len(scored.days))

        return scores

    def rules(self, train: Scored, last: np.datetime64, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {"mean of training": np.full(len(rows), train.label[train.known].mean())}

    def columns(
        self, value: np.ndarray, calibrated: np.ndarray | None, each: np.ndarray, s: Scored
    ) -> dict[str, np.ndarray]:
        return {"span": value, "span_came": s.observed}

    def record(
        self, value: np.ndarray, calibrated: np.ndarray | None, config: Config
    ) -> dict[str, Any]:
        by_horizon = zip(self.horizons, rounded(np.exp(value)), strict=True)
        return {"span": {f"{h}d": v for h, v in by_horizon}}

    def anomalies(self, rows: pd.DataFrame, by_day: ByDay) -> list[str]:
        off = (rows["span"] - rows["span_came"]).to_numpy(float)
        error, low, high = by_day.mean(off, np.isfinite(off))
        return [] if low <= 0 <= high else [f"the span is {error:+.2f} off. Look: Span"]

    def watched(self, market: Market, rows: np.ndarray) -> dict[str, np.ndarray]:
        label, known = self.labels(market, rows - 1, 1, market.session.max())
        return {"label: span": np.where(known & (rows > market.first_row[rows]), label, np.nan)}


@FUSIONS.register("loudest")
class Loudest(Fusion):
    """The modality whose input is loudest speaks for all."""

    experts_learn = False

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        loud = jnp.where(e.present, e.energy, -jnp.inf)
        first = jax.nn.one_hot(loud.argmax(1), loud.shape[1], dtype=jnp.float32)
        weight = jnp.where(e.present, first, 0.0)
        return self._fused(e, self._mix(self._normed(e), weight, e.present), weight)


def config(prepared: Path, **changes: object) -> Config:
    c = seeing(
        {
            "price": SP500["price"],
            "averages": {"kind": "averages", "spans": (5, 20)},
        }
    )
    c.data.splits = {
        "train": ("2010-01-01", "2012-12-31"),
        "later": ("2012-06-01", "2013-12-31"),
        "dev": ("2014-01-01", "2014-12-31"),
    }
    c.targets.span = base.head("span", horizons=(2,), weight=0.5, least=1e-4)
    return small(
        c,
        prepared,
        model__layers=1,
        augment__numeric_jitter=0.1,
        finetune__split="later",
        finetune__steps=2,
        finetune__warmup_steps=1,
        **changes,
    )


@pytest.fixture(scope="module")
def market(prepared: Path) -> Market:
    return open_market(config(prepared).data)


@pytest.fixture(scope="module")
def run(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extended")
    Trainer.from_config(config(prepared), MESH).train(0, folder / "seed_0")
    return folder


def test_its_keys_are_checked(prepared: Path) -> None:
    c = config(prepared)
    with pytest.raises(InputError, match="averages.spans is .1,.; expected some, of 2 sessions"):
        c.override({"modalities.averages.spans": (1,)})
    with pytest.raises(InputError, match="config.modalities.averages.spans is 5; expected tuple"):
        c.override({"modalities.averages.spans": 5})
    with pytest.raises(InputError, match="kind is 'average'; .* did you mean 'averages'"):
        c.override({"modalities.averages.kind": "average"})
    with pytest.raises(InputError, match="targets.span.least is 0.0; expected above 0"):
        c.override({"targets.span.least": 0.0})
    with pytest.raises(InputError, match="targets.span.horizons is ..; expected one or more"):
        c.override({"targets.span.horizons": ()})
    with pytest.raises(InputError, match="horizons is .2, 5, 5.; expected .* all different"):
        c.override({"targets.span.horizons": (2, 5, 5)})
    raw = json.loads(c.to_json())
    raw["targets"]["spam"] = raw["targets"]["span"]
    with pytest.raises(InputError, match="targets.spam is 'spam'; .*; did you mean 'span'"):
        Config.from_json(raw)


def test_its_windows_are_as_announced_and_read_nothing_later(
    prepared: Path, market: Market
) -> None:
    c = config(prepared)
    windows = Windows(market, c, Scaler.fit(market, np.datetime64("2012-12-31")))
    rows = np.array([3, 500, 1000])
    real = windows(rows, unlabelled(c.targets, 3), np.ones(3, np.float32))
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), real)
    assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), dummy_batch(c, 3))
    assert real.present["averages"].tolist() == [False, True, True]
    close = market.adj_close[996:1001]
    np.testing.assert_allclose(
        real.inputs["averages"].x[2, 0], 20 * np.log(close[-1] / close.mean()), rtol=1e-5
    )
    assert windows.describe(500)["sources"][1] == "means of (5, 20) closes"


def test_its_labels_by_hand_end_where_the_period_does(prepared: Path, market: Market) -> None:
    s = samples.split(market, config(prepared), "dev")
    row, bars = s.row[7], market.ohlcv
    ahead = np.log(bars[[row + 1, row + 2], 1].max() / bars[[row + 1, row + 2], 2].min())
    np.testing.assert_allclose(s.targets.label["span"][7], [np.log(ahead)], rtol=1e-5)
    assert s.targets.mask["span"][:, 0].tolist() == [True] * (len(s) - 1) + [False]


@pytest.mark.slow
def test_it_is_trained_scored_updated_and_shown(
    run: Path, prepared: Path, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = config(prepared)
    ensemble = Ensemble(run, c, market)
    (said,) = forecast(
        ensemble, market, c, [row_at(market, c.data, "SPX", "2014-06-30")], frozenset()
    )
    assert set(said["modality_weight"]) == {"price", "averages"}
    assert list(read_info(run).config.targets) == [*HEADS.built_in, "span"], (
        "whose outputs are which"
    )
    assert 0 < said["span"]["2d"] < 1
    assert list(said)[4:6] == ["direction", "calibrated"], "the other heads are there too"
    logged = (run / "seed_0" / "metrics.jsonl").read_text()
    assert '"loss_span"' in logged

    for grid in ("_PENALTIES", "_TREES"):  # one setting each: baselines are not what is asked here
        monkeypatch.setattr(learners, grid, getattr(learners, grid)[:1])
    made = evaluation.evaluate({str(run): ensemble}, market, c, tmp_path / "ledger")
    odd = evaluation.publish(made, c, run)
    windows = Windows(market, c, read_info(run).scaler)
    text = page.write(run, "dev", market, c, windows, []).read_text()
    assert text.count("heatmap") >= 20, "each of the worst cases shows the averages"
    assert "next 2 sessions&#39; span, errors of its log" in text
    assert '"name":"interval"' in text
    tables = {t.name: t for t in made.scores.tables}
    assert list(tables) == ["direction", "returns", "returns 5d", "volatility", "span"]
    rows = {r.name: r.values["MSE"] for r in tables["span"].rows}
    assert {"mean of training", "ridge", "LightGBM"} < set(rows)
    kept = made.outcomes.rows[["span", "span_came"]].dropna()
    ours = ((kept["span"] - kept["span_came"]) ** 2).mean()
    np.testing.assert_allclose(made.record.metrics["span: MSE"], ours, rtol=1e-5)
    for name, end in (("returns", ""), ("returns 5d", "_5d")):  # every horizon is calibrated
        q = made.outcomes.rows[[f"return{end}", f"q0.05{end}", f"q0.95{end}"]].dropna().to_numpy()
        inside = ((q[:, 0] >= q[:, 1]) & (q[:, 0] <= q[:, 2])).mean()
        corrected = {r.name: r.values["coverage"] for r in tables[name].rows}
        np.testing.assert_allclose(corrected[f"{run}, calibrated"], inside, rtol=1e-5)
        assert made.record.metrics[f"{name}: coverage"] == tables[name].rows[0].values["coverage"]
    assert set(said["calibrated"]) == {"up", "interval_1d", "interval_5d"}
    assert any("off. Look: Span" in line for line in odd["output"]), "six steps teach it little"

    verdict = finetune(run, c, MESH, tmp_path / "child", lambda step: False)
    assert verdict is not None
    assert list(verdict.rise)[2] == "squared error of log span"
    child = Ensemble(tmp_path / "child", c, market).predict(np.array([3000]))
    assert (child.modality_weight != ensemble.predict(np.array([3000])).modality_weight).any()


@pytest.mark.slow
def test_a_run_may_have_one_head(
    prepared: Path, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = json.loads(config(prepared).to_json())
    c = Config.from_json(raw | {"targets": {"direction": raw["targets"]["direction"]}})
    run = tmp_path / "run"
    Trainer.from_config(c, MESH).train(0, run / "seed_0")
    ensemble = Ensemble(run, c, market)
    (said,) = forecast(
        ensemble, market, c, [row_at(market, c.data, "SPX", "2014-06-30")], frozenset()
    )
    assert "return_quantiles" not in said
    for grid in ("_PENALTIES", "_TREES"):
        monkeypatch.setattr(learners, grid, getattr(learners, grid)[:1])
    made = evaluation.evaluate({str(run): ensemble}, market, c, tmp_path / "ledger")
    assert [t.target for t in made.scores.tables] == ["direction"]
    evaluation.publish(made, c, run)
    text = page.write(run, "dev", market, c, Windows(market, c, read_info(run).scaler), [])
    assert '"name":"call: green right, red wrong"' in text.read_text()
    assert '"name":"interval"' not in text.read_text(), "no head has one"
    assert finetune(run, c, MESH, tmp_path / "child", lambda step: False) is not None


def test_it_is_watched_for_drift(prepared: Path, market: Market) -> None:
    c = config(prepared)
    days = signals.sessions(market, "2013-12-31", "2014-03-31")
    found = signals.inputs(market, c, days)
    assert np.isfinite(found["input average 20"]).all()
    assert np.isfinite(found["label: span"]).all()
    scaler = Scaler.fit(market, np.datetime64("2012-12-31"))
    assert signals.content(market, c, scaler, days)["averages"].shape == (len(days), 2)


@pytest.mark.slow
def test_a_run_is_not_resumed_with_its_heads_in_another_order(run: Path) -> None:
    info = read_info(run)
    turned = dict(reversed(info.config.targets.items()))
    other = dataclasses.replace(info, config=dataclasses.replace(info.config, targets=turned))
    with pytest.raises(InputError, match="targets: was in the order direction, .*, now span, vol"):
        require_same_run(info, other, run)


@pytest.mark.slow
def test_a_fusion_is_trained(prepared: Path) -> None:
    trainer = Trainer.from_config(config(prepared, model__fusion="loudest"), MESH)
    state = fit(trainer, trainer.training_data)
    said = predict(trainer.program, state.ema_params, trainer.windows, np.array([3000]), 1)
    assert sorted(said.modality_weight[0].tolist()) == [0, 1]
    with pytest.raises(InputError, match="config.model.fusion is 'loudst'.*did you mean 'loudest'"):
        config(prepared, model__fusion="loudst")
