"""Experts of a run: point-in-time to the bit, kept beside it, and what the network starts from."""

import dataclasses
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import SP500, seeing, small

from fusionjax.adapt.finetune import finetune
from fusionjax.config import Config, MeshConfig
from fusionjax.data import samples
from fusionjax.data.store import Market
from fusionjax.data.windows import EXPERTS, Scaler, Windows
from fusionjax.errors import InputError
from fusionjax.evaluate import evaluation
from fusionjax.evaluate.inference import Ensemble
from fusionjax.experts import features, stacked
from fusionjax.experts.stacked import Experts, Stack
from fusionjax.heads.baseline import Baseline, Learned
from fusionjax.parallel.mesh import make_mesh
from fusionjax.registry import EXPERTS as REGISTERED
from fusionjax.train.run import Trainer, open_market

MESH = make_mesh(MeshConfig(1, 1, 1), jax.devices()[:1])
FEW = (
    *("Log-HAR with the market", "ridge with HAR", "majority", "logistic regression with HAR"),
    "historical quantiles, scaled by the experts",
)


def config(prepared: Path, **changes: object) -> Config:
    return small(
        seeing(SP500),
        prepared,
        **{
            "model__layers": 1,
            "distill__experts": FEW,
            "distill__expert_fits": 3,
            "data__splits": {
                "train": ("2008-01-01", "2013-12-31"),
                "dev": ("2014-01-01", "2014-12-31"),
                "later": ("2014-01-01", "2015-06-30"),
            },
        }
        | changes,
    )


def start(market: Market, c: Config, scaler: Scaler | None = None) -> Windows:
    days = samples.period(c.data, "train")
    training_data = samples.training_data(market, c, *days, c.distill.meta_fraction)
    windows = Windows(market, c, scaler or Scaler.fit(market, days[1]))
    return stacked.started(windows, training_data, days[1])


@pytest.fixture(scope="module")
def trained(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, Path]:
    folder = tmp_path_factory.mktemp("experts")
    trainer = Trainer.from_config(config(prepared), MESH)
    trainer.train(0, folder / "seed_0")
    return trainer, folder


def altered(market: Market, after: np.datetime64, seed: int) -> Market:
    """The market with other bars after a day."""
    rng = np.random.default_rng(seed)
    later = market.session > after
    factor = np.where(later, np.exp(0.05 * rng.normal(size=len(later))), 1.0)
    ohlcv = market.ohlcv.copy()
    ohlcv[:, :4] *= factor[:, None].astype(np.float32)
    channels = np.where(later[:, None], rng.normal(size=market.channels.shape), market.channels)
    return dataclasses.replace(
        market,
        fingerprint=f"{seed}",
        ohlcv=ohlcv,
        adj_close=market.adj_close * factor,
        channels=channels.astype(np.float32),
    )


def test_a_forecast_knows_nothing_of_what_comes_later(prepared: Path) -> None:
    """Of what is learned by each day, and of the forecasts up to it, nothing moves by a bit if all
    later bars are others; the weights do, as they are the later data's."""
    c = config(prepared, distill__experts=("Log-HAR with the market", "ridge with HAR"))
    market = open_market(c.data)
    windows = start(market, c)
    until = windows.stack.experts.until[1]
    other = start(altered(market, until, 0), c, windows.scaler)
    for name, fits in windows.stack.experts.learned["volatility", 0].items():
        theirs = other.stack.experts.learned["volatility", 0].get(name, fits)
        for a, b in zip(fits[:2], theirs[:2], strict=True):
            for part in a:
                np.testing.assert_array_equal(a[part], b[part])
    of_day = (market.session > windows.stack.experts.until[0]) & (market.session <= until)
    rows = np.flatnonzero(of_day)
    ours = windows.stack.experts
    moved = Stack.over(other, ours)(rows), Stack.over(windows, ours)(rows)
    for a, b in zip(*(x.value.values() for x in moved), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rows_before_the_first_fit_have_no_forecast(trained: tuple[Trainer, Path]) -> None:
    trainer, _ = trained
    market, stack = trainer.market, trainer.windows.stack
    assert stack is not None
    rows = trainer.training_data.all.row
    known = stack(rows).known["volatility"][:, 0]
    np.testing.assert_array_equal(known, market.session[rows] > stack.experts.until[0])
    assert 0 < known.mean() < 1


def test_an_untrained_network_and_one_that_counts_nothing_give_the_experts_to_the_bit(
    trained: tuple[Trainer, Path],
) -> None:
    trainer, folder = trained
    run = Ensemble(folder, trainer.config, trainer.market)
    rows = samples.split(trainer.market, trainer.config, "dev").row[:64]
    assert run.windows.stack is not None
    base = run.windows.stack(rows)
    fresh = jax.device_get(trainer.program.init(7).ema_params)
    learned = jax.device_get(run.seeds[0])
    none = {k: np.zeros_like(v) if k.startswith("gain_") else v for k, v in learned.items()}
    for params in (fresh, none):
        run._seeds = run._program.stacked([params])
        value = run.predict_each(rows)[0].value
        np.testing.assert_array_equal(value["volatility"], base.value["volatility"])
        np.testing.assert_array_equal(value["returns"], base.value["returns"])
        np.testing.assert_allclose(value["direction"], base.value["direction"], rtol=1e-6)


def test_the_network_learns_and_is_judged(trained: tuple[Trainer, Path]) -> None:
    trainer, folder = trained
    events = (folder / "seed_0" / "events.jsonl").read_text()
    assert "T7" in events
    assert "volatility 5d" in events
    run = Ensemble(folder, trainer.config, trainer.market)
    gains = np.concatenate([v for k, v in run.seeds[0].items() if k.startswith("gain_")])
    assert ((gains >= 0) & (gains <= 1)).all()
    fresh = trainer.program.init(0).ema_params["fusion"]["readout"]["kernel"]
    assert not np.array_equal(run.seeds[0]["fusion"]["readout"]["kernel"], fresh)


def test_experts_are_kept_beside_the_run(trained: tuple[Trainer, Path], tmp_path: Path) -> None:
    trainer, folder = trained
    assert trainer.windows.stack is not None
    stored, ours = Experts.read(folder / "seed_0"), trainer.windows.stack.experts
    assert stored is not None
    assert stored.weight == ours.weight
    rows = samples.split(trainer.market, trainer.config, "dev").row
    again = Stack.over(trainer.windows, stored)(rows)
    for name, value in trainer.windows.stack(rows).value.items():
        np.testing.assert_array_equal(again.value[name], value)
    shutil.copytree(folder, tmp_path / "run")
    path = tmp_path / "run" / "seed_0" / "experts.npz"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="experts.npz: damaged"):
        Ensemble(tmp_path / "run", trainer.config, trainer.market)
    path.unlink()
    with pytest.raises(InputError, match="experts.npz: missing"):
        Ensemble(tmp_path / "run", trainer.config, trainer.market)


def test_a_hidden_modality_is_hidden_from_experts(trained: tuple[Trainer, Path]) -> None:
    trainer, _ = trained
    rows = samples.split(trainer.market, trainer.config, "dev").row[:32]
    windows, hidden = trainer.windows, frozenset({"price"})
    shown, without = (
        features.Inputs.of(windows, h).multi_scale(rows) for h in (frozenset(), hidden)
    )
    assert np.isnan(without[:, :15]).all()
    assert np.isfinite(shown[:, :15]).all()
    np.testing.assert_array_equal(shown[:, -12:], without[:, -12:])  # HAR: the bars are known
    assert windows.stack is not None
    assert windows.stack.hiding(hidden).available._inputs.multi_scale(rows) == pytest.approx(
        without, nan_ok=True
    )
    weight = np.ones(len(rows), np.float32)
    targets = samples.unlabelled(trainer.config.targets, len(rows))
    none = windows(rows, targets, weight, frozenset({EXPERTS}))
    assert not any(known.any() for known in none.base.known.values())
    np.testing.assert_array_equal(none.log_scale, windows.trailing(rows))


def test_an_update_adds_a_fit_and_leaves_the_earlier_ones(
    trained: tuple[Trainer, Path], tmp_path: Path
) -> None:
    trainer, folder = trained
    c = trainer.config.override(
        {"finetune.split": "later", "finetune.steps": 2, "finetune.promotion_sessions": 0}
    )
    finetune(folder, c, MESH, tmp_path / "child", lambda step: False)
    parent, child = (Experts.read(f / "seed_0") for f in (folder, tmp_path / "child"))
    assert parent is not None
    assert child is not None
    assert len(child.until) == len(parent.until) + 1
    assert child.until[-1] > parent.until[-1]
    assert child.weight == parent.weight
    for task, by_name in parent.learned.items():
        for name, fits in by_name.items():
            assert len(child.learned[task][name]) == len(fits) + 1
            for a, b in zip(fits, child.learned[task][name], strict=False):
                np.testing.assert_array_equal(*(next(iter(x.values())) for x in (a, b)))


def test_the_scores_have_the_experts_alone(trained: tuple[Trainer, Path], tmp_path: Path) -> None:
    trainer, folder = trained
    c = trainer.config.override({"evaluate.split": "dev"})
    run = Ensemble(folder, c, trainer.market)
    scores = evaluation.evaluate({"run": run}, trainer.market, c, tmp_path).scores
    for table in scores.tables:
        assert "the experts alone" in [row.name for row in table.rows], table.name


def test_experts_need_a_meta_set(prepared: Path) -> None:
    with pytest.raises(InputError, match=r"refit_fraction is 1\.0, which leaves no meta set"):
        Trainer.from_config(config(prepared, distill__refit_fraction=1.0), MESH)


def test_an_unknown_expert_is_named(prepared: Path) -> None:
    c = config(prepared, distill__experts=("ridge with HARR",))
    with pytest.raises(InputError, match=r"'ridge with HARR'; expected some of .*ridge with HAR"):
        Trainer.from_config(c, MESH)


@dataclasses.dataclass(frozen=True)
class Placebo(Baseline):
    """Knows nothing."""

    name: str = "placebo"

    def fit(self, train, last, setting) -> Learned:  # type: ignore[no-untyped-def]
        return {"mean": np.array(train.label[train.known].mean())}

    def forecast(self, learned: Learned, market: Market, rows: np.ndarray) -> np.ndarray:
        return learned["mean"] + np.random.default_rng(3).normal(size=len(rows))


def test_a_users_placebo_gets_no_weight(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        REGISTERED._entries, "placebo", lambda name, head: Placebo() if head.is_scale else None
    )
    c = config(prepared, distill__experts=("placebo", "Log-HAR with the market"))
    windows = start(open_market(c.data), c)
    assert windows.stack.experts.weight[("volatility", 0)] == {"Log-HAR with the market": 1.0}
