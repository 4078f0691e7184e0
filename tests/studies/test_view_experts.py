"""What a study starts from: regressions that never saw a row's label, weighed by later rows."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from fusionjax.distill.weights import refit_start
from fusionjax.errors import InputError
from studies.configs import views as views_config
from studies.data.views import StudyLabels, Views, targets, views
from studies.fusion import view_experts
from studies.fusion.ladder import with_subsets, with_vectors
from studies.fusion.started import Started, StartedExperiment, moved
from studies.fusion.vector_experiment import VectorExperiment
from studies.fusion.view_experts import JOINT, MEAN, PRODUCT
from studies.names import VIEW_EXPERTS
from studies.schema import StudyConfig

COUNT, TRAIN = 600, 400
INNER, META = np.arange(240), np.arange(240, TRAIN)
SPLIT = {"train": np.arange(TRAIN), "dev": np.arange(TRAIN, 450), "test": np.arange(450, COUNT)}


def some(seed: int = 0, *, crossed: bool = False, dated: bool = False, **x: np.ndarray) -> Views:
    """Three classes by two views, a third view is noise; or two by the product of two features."""
    rng = np.random.default_rng(seed)
    a, b, noise = (rng.normal(size=(COUNT, 3)) for _ in range(3))
    label = np.stack([a[:, 0] + b[:, 0], a[:, 1] - b[:, 1], a[:, 2]], 1).argmax(1)
    label = (a[:, 0] * b[:, 0] > 0).astype(int) if crossed else label
    vectors = {"view_a": a, "view_b": b, "view_noise": noise} | x
    time = np.arange(COUNT) // 4
    of_classes = StudyLabels(targets(label), classes=("x", "y") if crossed else ("x", "y", "z"))
    return views(vectors, of_classes, time, SPLIT, dated=dated)


def relabelled(v: Views, rows: np.ndarray) -> Views:
    label = v.batch.targets.label["direction"].copy()
    label[rows] = (label[rows] + 1) % len(v.classes)
    given = dataclasses.replace(
        v.batch.targets, label={**v.batch.targets.label, "direction": label}
    )
    return dataclasses.replace(v, batch=dataclasses.replace(v.batch, targets=given))


def config(v: Views, **changes: object) -> StudyConfig:
    small = {
        "distill.experts": VIEW_EXPERTS,
        "model.fusion": "distilled",
        "model.width": 16,
        "model.heads": 2,
        "distill.warmup_steps": 20,
    }
    base = StudyConfig.of(views_config.get_config()).override(small | changes)
    return with_vectors(with_subsets(base, v), v)


def experts(v: Views) -> view_experts.ViewExperts:
    return view_experts.learned(config(v), v, v.names, (INNER, META))


ALL = np.arange(COUNT)


@pytest.mark.parametrize("dated", [False, True])
def test_no_row_is_forecast_by_a_fit_that_saw_its_label(
    monkeypatch: pytest.MonkeyPatch, dated: bool
) -> None:
    """A part of the rows, or with a time all from it on, gets other labels."""
    monkeypatch.setattr(view_experts, "_INVERSE_PENALTIES", (0.1,))
    monkeypatch.setattr(view_experts, "_POWERS", (1.0,))
    v = some(dated=dated)
    before = experts(v).each(v.batch, ALL)
    part = np.array_split(INNER, config(v).distill.expert_fits)[3]
    rows = np.arange(part[0], COUNT) if dated else part
    after = experts(relabelled(v, rows)).each(v.batch, ALL)
    same = np.arange(part[-1] + 1) if dated else part
    np.testing.assert_array_equal(after[same], before[same])
    others = META if dated else np.setdiff1d(INNER, part)
    assert (after[others] != before[others]).any(-1).all()
    first = np.array_split(INNER, config(v).distill.expert_fits)[0]
    assert np.isnan(before[first, 0]).any() == dated, "without a label before, there is no forecast"


def test_labels_of_the_meta_set_move_the_weights_and_those_of_test_nothing() -> None:
    v = some()
    first, later = experts(v), experts(relabelled(v, META))
    np.testing.assert_array_equal(later.each(v.batch, META), first.each(v.batch, META))
    assert (later.weight != first.weight).any()
    again = experts(relabelled(v, SPLIT["test"]))
    np.testing.assert_array_equal(again(v.batch, ALL), first(v.batch, ALL))
    np.testing.assert_array_equal(again.weight, first.weight)


def test_weights_leave_noise_out_and_a_missing_view_leaves_the_others() -> None:
    v = some()
    e, test = experts(v), SPLIT["test"]
    weight = dict(zip(e.names, e.weight.tolist(), strict=True))
    assert weight["view_noise"] == 0
    np.testing.assert_allclose(sum(weight.values()), 1)
    label = v.batch.targets.label["direction"][test, 0]
    right = {name: (x.argmax(1) == label).mean() for name, x in alone(v, test).items()}
    together = (e(v.batch, test).argmax(1) == label).mean()
    assert together >= max(right.values()) - 0.01, right
    assert together > 0.8
    only_a = dataclasses.replace(
        v.batch, present={k: x & (k == "view_a") for k, x in v.batch.present.items()}
    )
    each = e.each(only_a, test)
    np.testing.assert_allclose(each[:, 0].argmax(1), each[:, e.names.index("view_a")].argmax(1))
    assert np.isnan(each[:, e.names.index("view_b")]).all()
    p = e(only_a, test)
    np.testing.assert_allclose(p.sum(1), 1)


def alone(v: Views, rows: np.ndarray) -> dict[str, np.ndarray]:
    return view_experts.alone(v, v.names, rows)


def test_mean_and_product_by_hand() -> None:
    v = some()
    models = experts(v).learned[0]
    one = np.stack(
        [models[name](v.batch.inputs[name].x.astype(float), 3) for name in v.names], axis=1
    )
    each = view_experts._of_fit(models, *view_experts._inputs(v.batch, v.names, ALL), 3)
    np.testing.assert_allclose(each[:, 0], one.mean(1))
    np.testing.assert_allclose(each[:, 1], one.prod(1) ** (1 / 3))
    np.testing.assert_allclose(each[:, 3:], one)
    assert experts(v).names[:3] == (MEAN, PRODUCT, JOINT)


def test_a_class_that_a_fit_did_not_meet_is_possible_and_a_view_of_no_row_says_nothing() -> None:
    x, label = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 2 * 2
    p = view_experts.Logistic.fit(x, label, 1.0)(x, 3)
    np.testing.assert_allclose(p.sum(1), 1)
    assert (p[:, 1] > 0).all()
    assert (p[:, 1] < 0.01).all()
    none = view_experts.Logistic.fit(x[:0], label[:0], 1.0)(x, 3)
    np.testing.assert_array_equal(none, 1 / 3)


def test_other_experts_are_refused() -> None:
    v = some()
    with pytest.raises(
        InputError, match=r"distill.experts is \('ridge',\); expected \(\) in a stu"
    ):
        view_experts.learned(
            config(v, **{"distill.experts": ("ridge",)}), v, v.names, (INNER, META)
        )
    returns = targets(log_volatility=np.zeros((COUNT, 1)))
    of_volatility = views({"view_a": np.ones((COUNT, 1))}, StudyLabels(returns), ALL, SPLIT)
    with pytest.raises(InputError, match=r"expected \(\) in a study of volatility"):
        view_experts.learned(config(v), of_volatility, ("view_a",), (INNER, META))


def test_a_share_of_nothing_is_the_experts_and_all_of_it_the_network_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    base, network = np.log(rng.dirichlet([1, 1, 1], (5, 1))), rng.normal(size=(5, 1, 3))
    base[2] = np.nan
    network = jnp.asarray(network, jnp.float32)
    none, whole = moved(base, network, 0.0), moved(base, network, 1.0)
    known = np.arange(5) != 2
    np.testing.assert_array_equal(np.asarray(none)[known], base[known].astype(np.float32))
    np.testing.assert_array_equal(np.asarray(none)[2], network[2])
    np.testing.assert_array_equal(whole, network)


def right(study: StartedExperiment, fitted: Started, v: Views) -> float:
    rows = SPLIT["test"]
    logits = study.predict(fitted, v.names, rows).outcome["direction"][0, :, 0]
    hits = np.asarray(logits).argmax(1) == v.batch.targets.label["direction"][rows, 0]
    return float(hits.mean())


@pytest.mark.slow
def test_a_network_that_knows_nothing_leaves_the_experts_as_they_are() -> None:
    v = some()
    changes = {"train.steps": 10, "train.learning_rate": 1e-6, "distill.warmup_steps": 2}
    study = StartedExperiment(config(v, **changes), [v])
    fitted = study.fit(v.names)
    assert fitted.share.tolist() == [0]
    logits = study.predict(fitted, v.names, SPLIT["test"]).outcome["direction"][0, :, 0]
    expected = np.log(fitted.experts[0](v.batch, SPLIT["test"])).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(logits), expected)
    plain = StartedExperiment(config(v, **changes, **{"distill.experts": ()}), [v])
    alone = plain.fit(v.names)
    assert alone.experts == []
    assert alone.share.tolist() == [1]


@pytest.mark.nightly
def test_a_network_that_knows_more_replaces_them() -> None:
    """Classes by the sign of a product, which no regression sees."""
    v = some(crossed=True)
    study = StartedExperiment(
        config(v, **{"train.steps": 300, "model.dropout": 0.1, "train.learning_rate": 5e-3}), [v]
    )
    fitted = study.fit(v.names)
    assert fitted.share[0] > 0.5
    label = v.batch.targets.label["direction"][SPLIT["test"], 0]
    base = (fitted.experts[0](v.batch, SPLIT["test"]).argmax(1) == label).mean()
    assert base < 0.62
    assert right(study, fitted, v) > base + 0.15


@pytest.mark.slow
def test_it_trains_as_long_as_the_meta_set_says(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = {3: 0.5, 8: 0.2, 12: 0.3}

    def judged(
        self: StartedExperiment, trial: VectorExperiment, *_: object
    ) -> tuple[np.ndarray, float]:
        steps = trial.config.train.steps
        assert refit_start(trial.config) == steps, "what is judged never saw the meta set"
        return np.full(1, steps / 100), loss[steps]

    monkeypatch.setattr(StartedExperiment, "_judged", judged)
    v = some()
    study = StartedExperiment(config(v, **{"ladder.lengths": (3, 8, 12)}), [v])
    fitted = study.fit(v.names)
    assert fitted.steps == 8
    assert fitted.share.tolist() == [0.08]
    assert int(fitted.state.step) == 8
