"""Explanations: parts of every modality, placebos in their place, and whether it is true."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import TINY, seeing, small, tiny_market
from parents import MESH, config, telling, trained

from fusionjax.config import Config, resolve
from fusionjax.configs import planted_folder as planted_config
from fusionjax.data.samples import unlabelled
from fusionjax.data.store import Market
from fusionjax.data.windows import Scaler, Windows
from fusionjax.errors import InputError
from fusionjax.evaluate import explanation, swaps
from fusionjax.evaluate.inference import Ensemble
from fusionjax.modalities.base import Modality
from fusionjax.modalities.frames import Frames
from fusionjax.modalities.vector import Vector
from fusionjax.report import explanation as picture
from fusionjax.train.run import open_market
from fusionjax.types import Series, VectorInput
from studies.configs import planted_parts as parts_config
from studies.data import planted, planted_folder, planted_parts
from studies.fusion import faithfulness

SYMBOLS = ("AA", "BB", "CC", "DD")


def require_a_partition(modality: Modality, value: object, market: Market, row: int) -> list[str]:
    """Checks the parts of an input and returns their kinds."""
    kinds = modality.parts(value, market, row)
    for parts in kinds:
        assert len(set(parts.names)) == len(parts.names) > 0, parts.names
        leaves = zip(jax.tree.leaves(parts.inside), jax.tree.leaves(value), strict=True)
        whole = []
        for inside, x in leaves:
            assert inside.dtype == bool
            own = np.broadcast_to(inside, (len(parts.names), *np.shape(x)))
            assert (own.sum(0) <= 1).all(), f"{parts.kind}: two parts share a place"
            whole.append(own.reshape(len(own), -1).any(1))
        assert np.any(whole, axis=0).all(), f"{parts.kind}: a part is nowhere"
    return [parts.kind for parts in kinds]


def test_real_files_have_parts_that_share_nothing(tmp_path: Path) -> None:
    market = planted.plant(planted.REGIMES["full"], 0)
    planted_folder.write(market, tmp_path / "market", np.arange(40))
    c = resolve(planted_config.get_config()).override(
        {
            "data.root": str(tmp_path / "market"),
            "data.prepared": str(tmp_path / "prepared"),
            "data.splits": dict.fromkeys(("train", "dev", "test"), ("1990-01-03", "1990-02-27")),
        }
    )
    bars = open_market(c.data)
    windows = Windows(bars, c, Scaler.fit(bars, bars.session.max()))
    seen: dict[str, list[str]] = {}
    for row in range(10, 40):
        batch = windows.one(row)
        for name, modality in c.modalities.items():
            if batch.present[name][0] and name not in seen:
                value = jax.tree.map(lambda x: x[0], batch.inputs[name])
                seen[name] = require_a_partition(modality, value, bars, row)
    assert seen == {
        "numeric": ["channel"],
        "text": ["document"],
        "image": ["patch"],
        "audio": ["span"],
        "video": ["frames"],
    }


def test_windows_and_vectors_have_parts_that_share_nothing() -> None:
    market = tiny_market()
    c = small(seeing(TINY), Path())
    windows = Windows(market, c, Scaler.fit(market, np.datetime64("2020-01-30")))
    batch = windows.one(4)  # fewer bars before it than a look-back has
    found = {
        name: require_a_partition(m, jax.tree.map(lambda x: x[0], batch.inputs[name]), market, 4)
        for name, m in c.modalities.items()
    }
    assert found["price"] == ["channel", "session"]
    assert found["chart"] == ["patch", "session"]
    sessions = c.modalities["price"].parts(
        jax.tree.map(lambda x: x[0], batch.inputs["price"]), market, 4
    )[1]
    assert sessions.names == ["2020-01-02", "2020-01-03", "2020-01-04", "2020-01-05"], (
        "a return each"
    )
    mask = np.array([True, True, False, False])
    frames = Series(np.zeros((4, 3), np.float32), mask)
    assert require_a_partition(Frames("frames"), frames, market, 4) == ["channel", "frame"]
    vector = VectorInput(np.zeros(5, np.float32))
    assert require_a_partition(Vector("vector"), vector, market, 4) == ["feature"]


@pytest.fixture(scope="module")
def market() -> Market:
    return telling(tiny_market(days=300, symbols=SYMBOLS))


@pytest.fixture(scope="module")
def run(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    c = config(train__steps=60)
    return Ensemble(trained(market, c, tmp_path_factory.mktemp("run")), c, market)


def test_only_the_part_is_replaced(market: Market, run: Ensemble) -> None:
    windows, rows, row = run.windows, np.array([20, 25, 30]), 280
    own = windows.one(row)
    others = windows(rows, unlabelled(run.config.targets, 3), np.ones(3, np.float32))
    made = swaps.of_modality("price", (own, others), windows, row, 3)
    assert [s.kind for s in made] == ["whole", "channel", "session"]
    replaced = swaps.Replaced(windows, own, made)
    assert len(replaced.cases) == 1 + 3 + 2 * 3 + 8 * 3
    count = len(replaced.cases)
    targets = unlabelled(run.config.targets, count)
    batch = replaced(replaced.cases, targets, np.ones(count, np.float32))
    x, theirs = np.asarray(batch.inputs["price"].x), others.inputs["price"].x
    mine = own.inputs["price"].x[0]
    np.testing.assert_array_equal(x[0], mine)
    np.testing.assert_array_equal(x[1:4], theirs)
    first = x[4:7]  # the first channel, three placebos
    np.testing.assert_array_equal(first[..., 0], theirs[..., 0])
    np.testing.assert_array_equal(first[..., 1], np.tile(mine[:, 1], (3, 1)))
    last = x[-3:]  # the newest session
    np.testing.assert_array_equal(last[:, -1], theirs[:, -1])
    np.testing.assert_array_equal(last[:, :-1], np.tile(mine[:-1], (3, 1, 1)))
    for name in ("embedding", "age", "mask"):
        text = np.asarray(getattr(batch.inputs["text"], name))
        assert (text == getattr(own.inputs["text"], name)).all(), "nothing else moves"


def test_what_tells_is_named_and_sums_are_right(market: Market, run: Ensemble) -> None:
    """The texts tell; the forecast of the explanation is that of the run."""
    c = run.config
    told = explanation.explain(run, market, c, 290)
    value = run.predict(np.array([290])).value["direction"][0, 0]
    assert told.forecast["direction.1d"] == pytest.approx(np.log(value / (1 - value)), abs=1e-4)
    whole = {x.source: x for x in told.contributions if x.kind == "whole"}
    assert set(whole) == {"price", "text", swaps.SCALE}
    assert whole["text"].says["direction.1d"]
    assert abs(whole["text"].change["direction.1d"]) > 3 * abs(
        whole["price"].change["direction.1d"]
    )
    assert not whole[swaps.SCALE].says["direction.1d"], "it scales returns alone"
    assert whole[swaps.SCALE].change["direction.1d"] == 0
    again = explanation.explain(run, market, c, 290)
    assert again == told, "the same question has the same answer"
    other = explanation.explain(run, market, c, 290, draw=1)
    assert other != told
    frame = told.frame()
    assert frame.loc[("text", "whole", "text"), "weight"] == told.weight["text"]
    said = told.lines("direction.1d")
    assert any(line.startswith("text ") and "nothing" not in line for line in said)
    drawn = "".join(picture.picture(told.to_json(), "direction.1d"))
    assert "text, document" in drawn
    assert f"{swaps.SCALE} say nothing." in drawn


def test_placebos_are_of_the_same_stock_and_of_training(market: Market, run: Ensemble) -> None:
    rows = explanation._placebos(run, market, run.config, 290, 0)
    assert (market.symbol[rows[:64]] == market.symbol[290]).all()
    assert market.session[rows + 1].max() <= np.datetime64("2020-07-31")
    assert len(np.unique(rows)) == len(rows)
    assert 290 not in explanation._placebos(run, market, run.config, 290, 0)
    inside = int(rows[0])
    assert inside not in explanation._placebos(run, market, run.config, inside, 0)


def test_data_without_another_sample_is_refused(market: Market, run: Ensemble) -> None:
    late = dataclasses.replace(market, session=market.session + np.timedelta64(2000, "D"))
    with pytest.raises(InputError, match="AA after .* the data hold 0 other samples"):
        explanation.explain(run, late, run.config.override({"data.min_history": 5}), 5)


def parts_run(c: Config, folder: Path) -> tuple[planted_parts.PlantedParts, Ensemble]:
    market = planted_parts.plant(7)
    return market, faithfulness.trained(market, c, folder, MESH)


@pytest.mark.slow
def test_an_explanation_is_true_of_a_planted_market(tmp_path: Path) -> None:
    """A small share of what studies/explain.py measures, on a market that it does not have."""
    c = resolve(parts_config.get_config()).override({"data.prepared": str(tmp_path)})
    market, run = parts_run(c, tmp_path / "run")
    told = faithfulness.told(market, run, c, 40)
    assert told.auc(told.says, told.moves) >= 0.9, "what is named moves the forecast"
    assert told.auc(told.says, told.falls) >= 0.8
    assert told.auc(told.tells, told.size, "whole") >= 0.9
    assert told.auc(told.tells, told.size, "document") >= 0.65, "few documents: .75 as measured"
    noise = told.says[told.source == "noise"]
    assert noise.mean() <= 0.05
    shuffled = np.random.default_rng(0).permutation(told.moves)
    assert told.auc(told.says, shuffled) < 0.6, "the figure can fail"


@pytest.mark.slow
def test_experts_have_rows_of_their_own(tmp_path: Path) -> None:
    """A network whose corrections do not count leaves all to the experts."""
    c = resolve(parts_config.get_config()).override(
        {
            "data.prepared": str(tmp_path),
            "train.steps": 20,
            "train.checkpoint_every": 20,
            "distill.experts": ("ridge", "HAR", "majority", "logistic regression"),
        }
    )
    market, run = parts_run(c, tmp_path / "run")
    run._seeds = {k: v * 0 if k.startswith("gain_") else v for k, v in run._seeds.items()}
    row = int(np.flatnonzero(market.market.session == np.datetime64("2021-08-01"))[0])
    told = explanation.explain(run, market.market, c, row)
    whole = {x.source: x for x in told.contributions if x.kind == "whole"}
    for name in c.modalities:
        assert whole[name].change["direction.1d"] == pytest.approx(0, abs=1e-6)
        assert not whole[name].says["direction.1d"]
    assert whole["experts"].spread["direction.1d"] > 0
    each = [x for x in told.contributions if x.kind == "expert"]
    assert {x.part for x in each} >= {"logistic regression"}
    total = sum(x.change["volatility.5d"] for x in each)
    assert total == pytest.approx(whole["experts"].change["volatility.5d"], abs=0.05)
