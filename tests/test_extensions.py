"""A user's own modality and fusion, each registered by this file alone: trained, scored, updated,
watched for drift and shown. Whoever writes one starts from here."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import SP500, seeing, small
from flax import linen as nn
from flax import struct
from ml_collections import ConfigDict

from fusionjax.adapt import series
from fusionjax.adapt.finetune import finetune
from fusionjax.config import AugmentConfig, Config, DataConfig, MeshConfig, ModelConfig
from fusionjax.config.checks import need
from fusionjax.data.samples import unlabelled
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows, blank
from fusionjax.errors import InputError
from fusionjax.evaluate import baselines, evaluation
from fusionjax.evaluate.forecast import forecast, row_at
from fusionjax.evaluate.inference import Ensemble, predict, read_info
from fusionjax.modalities.base import Heat, Modality, Reader
from fusionjax.models.fusions.base import Fusion
from fusionjax.models.layers import dense, energy, in_turn
from fusionjax.parallel.mesh import make_mesh
from fusionjax.registry import FUSIONS, MODALITIES
from fusionjax.report import run as page
from fusionjax.train.loop import fit
from fusionjax.train.run import Trainer, open_market
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
        x = in_turn(dense(self.config, self.config.width, "embed")(given.x)[:, None], before)
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

    def blank(self, config: Config, rows: int) -> Distances:
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


@FUSIONS.register("loudest")
class Loudest(Fusion):
    """The modality whose input is loudest speaks for all."""

    experts_learn = False

    @nn.compact
    def __call__(self, e: Encoded) -> Fused:
        loud = jnp.where(e.shown, e.energy, -jnp.inf)
        first = jax.nn.one_hot(loud.argmax(1), loud.shape[1], dtype=jnp.float32)
        weight = jnp.where(e.shown, first, 0.0)
        return self._fused(e, self._mix(self._normed(e), weight, e.shown), weight)


def config(prepared: Path, **changes: object) -> Config:
    c = seeing(
        {
            "price": SP500["price"],
            "averages": {"kind": "averages", "spans": (5, 20)},
        }
    )
    with c.unlocked():
        c.data.splits = ConfigDict(
            {
                "train": ("2010-01-01", "2012-12-31"),
                "later": ("2012-06-01", "2013-12-31"),
                "dev": ("2014-01-01", "2014-12-31"),
            }
        )
    return small(
        c,
        prepared,
        model__layers=1,
        augment__numeric_jitter=0.1,
        evaluate__bootstrap_samples=50,
        finetune__split="later",
        finetune__steps=2,
        finetune__warmup_steps=1,
        **changes,
    )


@pytest.fixture(scope="module")
def market(prepared: Path) -> Market:
    return open_market(config(prepared))


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


def test_its_windows_are_as_announced_and_read_nothing_later(
    prepared: Path, market: Market
) -> None:
    c = config(prepared)
    windows = Windows(market, c, Scaler.fit(market, np.datetime64("2012-12-31")))
    rows = np.array([3, 500, 1000])
    real = windows(rows, unlabelled(c, 3), np.ones(3, np.float32))
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), real)
    assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), blank(c, 3))
    assert real.present["averages"].tolist() == [False, True, True]
    close = market.adj_close[996:1001]
    np.testing.assert_allclose(
        real.inputs["averages"].x[2, 0], 20 * np.log(close[-1] / close.mean()), rtol=1e-5
    )
    assert windows.describe(500)["sources"][1] == "means of (5, 20) closes"


@pytest.mark.slow
def test_it_is_trained_scored_updated_and_shown(
    run: Path, prepared: Path, market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = config(prepared)
    ensemble = Ensemble(run, c, market)
    (said,) = forecast(ensemble, market, c, [row_at(market, c, "SPX", "2014-06-30")], frozenset())
    assert set(said["modality_weight"]) == {"price", "averages"}

    for grid in ("_PENALTIES", "_TREES"):  # one setting each: floors are not what is asked here
        monkeypatch.setattr(baselines, grid, getattr(baselines, grid)[:1])
    made = evaluation.evaluate({str(run): ensemble}, market, c, [])
    evaluation.publish(made, c, run, tmp_path / "ledger")
    windows = Windows(market, c, read_info(run).scaler)
    text = page.write(run, "dev", market, c, windows, []).read_text()
    assert text.count("heatmap") >= 20, "each of the worst cases shows the averages"

    finetune(run, c, MESH, tmp_path / "child", lambda step: False)
    child = Ensemble(tmp_path / "child", c, market).predict(np.array([3000]))
    assert (child.modality_weight != ensemble.predict(np.array([3000])).modality_weight).any()


def test_it_is_watched_for_drift(prepared: Path, market: Market) -> None:
    c = config(prepared)
    days = series.sessions(market, "2013-12-31", "2014-03-31")
    found = series.inputs(market, c, days)
    assert np.isfinite(found["input average 20"]).all()
    scaler = Scaler.fit(market, np.datetime64("2012-12-31"))
    assert series.content(market, c, scaler, days)["averages"].shape == (len(days), 2)


@pytest.mark.slow
def test_a_fusion_is_trained(prepared: Path) -> None:
    trainer = Trainer.from_config(config(prepared, model__fusion="loudest"), MESH)
    state = fit(trainer, trainer.lesson)
    said = predict(trainer.program, state.ema_params, trainer.windows, np.array([3000]), 1)
    assert sorted(said.modality_weight[0].tolist()) == [0, 1]
    with pytest.raises(InputError, match="config.model.fusion is 'loudst'.*did you mean 'loudest'"):
        config(prepared, model__fusion="loudst")
