"""What a study starts from: regressions that never saw a row's label, weighed by later rows."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from fusionjax.distill.weights import refit_start
from fusionjax.errors import InputError
from fusionjax.experts import stack
from studies.configs import views as views_config
from studies.data.views import StudyLabels, Views, targets, views
from studies.fusion import view_experts, view_tasks
from studies.fusion.ladder import with_subsets, with_vectors
from studies.fusion.started import Started, StartedExperiment, moved, trusted
from studies.fusion.vector_experiment import VectorExperiment
from studies.fusion.view_tasks import CONSTANT, JOINT, MEAN, PERSISTENCE, PRODUCT, RIDGE
from studies.names import VIEW_EXPERTS, VOLATILITY_EXPERTS
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


def of_volatility() -> Views:
    """Two horizons: the first by a view, the second is the trailing volatility; dated."""
    rng = np.random.default_rng(1)
    a, noise, trailing = (
        rng.normal(size=(COUNT, 3)),
        rng.normal(size=(COUNT, 9)),
        rng.normal(size=COUNT),
    )
    label = np.stack([a[:, 0] - a[:, 1], trailing], 1) + 0.3 * rng.normal(size=(COUNT, 2))
    labels = StudyLabels(
        targets(log_volatility=label),
        known=np.arange(COUNT) // 4 + 10,
        log_scale=trailing,
        horizons=(1, 2),
    )
    time = np.arange(COUNT) // 4
    return views({"view_a": a, "view_noise": noise}, labels, time, SPLIT, dated=True)


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
    monkeypatch.setattr(view_tasks.Classes, "inverse_penalties", (0.1,))
    monkeypatch.setattr(view_tasks.Classes, "powers", (1.0,))
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
    first = experts(v)
    parts = [META[first.fit[META] == k] for k in np.unique(first.fit[META])]
    assert len(parts) == round(config(v).distill.expert_fits * len(META) / len(INNER))
    for part in parts:
        later = experts(relabelled(v, part))
        changed = (later.each(v.batch, META) != first.each(v.batch, META)).any((1, 2))
        np.testing.assert_array_equal(META[changed], META[part[-1] < META], "those after it alone")
        assert (later.weight != first.weight).any()
    again = experts(relabelled(v, SPLIT["test"]))
    np.testing.assert_array_equal(again(v.batch, ALL), first(v.batch, ALL))
    np.testing.assert_array_equal(again.weight, first.weight)


def test_weights_leave_noise_out_and_a_missing_view_leaves_the_others() -> None:
    v = some()
    e, test = experts(v), SPLIT["test"]
    weight = dict(zip(e.names, e.weight[0].tolist(), strict=True))
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
    one = np.stack([models[name](v.batch.inputs[name].x.astype(float)) for name in v.names], 1)
    task = view_tasks.task_of(v)
    rows = view_experts._Rows.of(task, v.batch, v.names, ALL)
    each = view_experts._of_fit(task, models, rows)
    np.testing.assert_allclose(each[:, 0], one.mean(1))
    np.testing.assert_allclose(each[:, 1], one.prod(1) ** (1 / 3))
    np.testing.assert_allclose(each[:, 3:], one)
    assert experts(v).names[:3] == (MEAN, PRODUCT, JOINT)


def test_a_class_that_a_fit_did_not_meet_is_possible_and_a_view_of_no_row_says_nothing() -> None:
    x, label = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 2 * 2
    p = view_tasks.Logistic.fit(x, label, 1.0, 3)(x)
    np.testing.assert_allclose(p.sum(1), 1)
    assert (p[:, 1] > 0).all()
    assert (p[:, 1] < 0.01).all()
    none = view_tasks.Logistic.fit(x[:0], label[:0], 1.0, 3)(x)
    np.testing.assert_array_equal(none, 1 / 3)


def test_other_experts_are_refused() -> None:
    v = some()
    with pytest.raises(
        InputError, match=r"distill.experts is \('ridge',\); expected .*'logist.* of direction"
    ):
        view_experts.learned(
            config(v, **{"distill.experts": ("ridge",)}), v, v.names, (INNER, META)
        )
    with pytest.raises(InputError, match=r"expected \(\) or \('ridge', .* study of volatility"):
        view_experts.learned(config(v), of_volatility(), ("view_a",), (INNER, META))


def test_each_horizon_of_volatility_has_the_weights_that_later_rows_give_it() -> None:
    v, test = of_volatility(), SPLIT["test"]
    changes = {"distill.experts": VOLATILITY_EXPERTS}
    e = view_experts.learned(config(v, **changes), v, v.names, (INNER, META))
    assert e.names == (RIDGE, PERSISTENCE, CONSTANT, "view_a", "view_noise")
    first, second = (dict(zip(e.names, w.tolist(), strict=True)) for w in e.weight)
    assert first["view_a"] + first[RIDGE] > 0.9
    assert second[PERSISTENCE] > 0.9
    error = ((e(v.batch, test) - v.batch.targets.label["volatility"][test]) ** 2).mean(0)
    np.testing.assert_allclose(error, 0.09, rtol=0.3)


def test_labels_that_overlap_count_as_few_and_leave_the_best_expert_alone() -> None:
    v = of_volatility()
    changes = {"distill.experts": VOLATILITY_EXPERTS, "targets.direction.weight": 0.0}
    for span, alone in ((2, False), (200, True)):
        spanning = dataclasses.replace(v, horizons=(1, span))
        c = config(spanning, **changes, **{"targets.volatility.weight": 1.0})
        assert c.targets["volatility"].horizons == (1, span)
        e = view_experts.learned(c, spanning, v.names, (INNER, META))
        assert (e.weight[0].max() == 1) == alone


def test_volatility_is_forecast_without_labels_that_were_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All labels from a part on, and those of the sessions before it that were known after it
    began, become others."""
    v, changes = of_volatility(), {"distill.experts": VOLATILITY_EXPERTS}
    part = np.array_split(INNER, config(v).distill.expert_fits)[3]
    label = v.batch.targets.label["volatility"].copy()
    label[v.known > v.time[part[0]]] += 3
    changed = dataclasses.replace(
        v.batch.targets, label={**v.batch.targets.label, "volatility": label}
    )
    other = dataclasses.replace(v, batch=dataclasses.replace(v.batch, targets=changed))
    monkeypatch.setattr(view_tasks.Volatility, "inverse_penalties", (0.1,))
    before, after = (
        view_experts.learned(config(x, **changes), x, x.names, (INNER, META)).each(x.batch, ALL)
        for x in (v, other)
    )
    np.testing.assert_array_equal(after[: part[-1] + 1], before[: part[-1] + 1])
    assert np.isfinite(before[part]).all()
    assert (after[META] != before[META]).any((1, 2)).all()


def test_ridge_and_levels_by_hand() -> None:
    x, y = np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [3.0], [8.0]])
    ridge = view_tasks.Linear.ridge(x, y, 0.5)  # slope 7 / (2 + 2), through the means 2 and 4
    np.testing.assert_allclose(ridge(x), [[2.25], [4], [5.75]])
    np.testing.assert_allclose(view_tasks.Linear.level(x, y)(x), [[3], [4], [5]])
    for none in (
        view_tasks.Linear.ridge(x[:0], y[:0], 1.0),
        view_tasks.Linear.level(x[:0] * 0, y[:0]),
    ):
        np.testing.assert_array_equal(none(x * 0), np.zeros((3, 1)))


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
    each = moved(np.zeros((5, 3)), network[:, 0], np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(each, np.asarray(network)[:, 0] * [0, 0.5, 1])


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
    assert fitted.share.tolist() == [[0]]
    logits = study.predict(fitted, v.names, SPLIT["test"]).outcome["direction"][0, :, 0]
    expected = np.log(fitted.experts[0](v.batch, SPLIT["test"])).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(logits), expected)
    plain = StartedExperiment(config(v, **changes, **{"distill.experts": ()}), [v])
    alone = plain.fit(v.names)
    assert alone.experts == []
    assert alone.share.tolist() == [[1]]
    assert alone.parts() == {}


@pytest.mark.nightly
def test_a_network_that_knows_more_replaces_them() -> None:
    """Classes by the sign of a product, which no regression sees."""
    v = some(crossed=True)
    study = StartedExperiment(
        config(v, **{"train.steps": 300, "model.dropout": 0.1, "train.learning_rate": 5e-3}), [v]
    )
    fitted = study.fit(v.names)
    assert fitted.share[0, 0] > 0.5
    label = v.batch.targets.label["direction"][SPLIT["test"], 0]
    base = (fitted.experts[0](v.batch, SPLIT["test"]).argmax(1) == label).mean()
    assert base < 0.62
    assert right(study, fitted, v) > base + 0.15


@pytest.mark.slow
def test_what_ended_in_the_later_half_is_left() -> None:
    """Experts are better in half of the days, and worse since."""
    rng, day = np.random.default_rng(0), np.arange(1000)
    gain = np.where(day < 500, -0.4, 0.3) + rng.normal(0, 0.5, 1000)  # of the network, in loss
    losses = 1 - np.array(stack.SHARES)[:, None] * gain
    assert stack.trusted(losses, day, 1) == 0
    assert trusted(losses, day, 1) > 0.9
    assert trusted(losses, day, 42) == 0, "labels of 42 sessions leave too few"
    assert trusted(losses[:, ::-1], day, 1) == 0, "the other way round there is nothing to leave"
    noise = 1 - np.array(stack.SHARES)[:, None] * rng.normal(0, 0.5, 1000)
    assert trusted(noise, day, 1) == 0


def test_it_trains_as_long_as_the_meta_set_says(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = {3: 0.5, 8: 0.2, 12: 0.3}

    def judged(
        self: StartedExperiment, trial: VectorExperiment, *_: object
    ) -> tuple[np.ndarray, float]:
        steps = trial.config.train.steps
        assert refit_start(trial.config) == steps, "what is judged never saw the meta set"
        return np.full((1, 1), steps / 100), loss[steps]

    monkeypatch.setattr(StartedExperiment, "_judged", judged)
    v = some()
    study = StartedExperiment(config(v, **{"ladder.lengths": (3, 8, 12)}), [v])
    fitted = study.fit(v.names)
    assert fitted.steps == 8
    assert fitted.share.tolist() == [[0.08]]
    assert int(fitted.state.step) == 8
