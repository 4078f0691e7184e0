"""What a study says of a fusion, on planted markets: the truth is known."""

import jax
import numpy as np
import pytest
from jax import Array
from sklearn.metrics import roc_auc_score

from fusionjax.distill.contribution import Diagnosis, anomalies
from fusionjax.distill.weights import elimination_step
from fusionjax.errors import InputError
from fusionjax.train.state import TrainState
from fusionjax.types import Batch
from studies.configs import planted as planted_config
from studies.data.planted import MODALITIES, REGIMES, plant
from studies.fusion.ladder import with_vectors
from studies.fusion.vector_experiment import VectorExperiment
from studies.schema import StudyConfig

VIEWS = [plant(REGIMES["full"], s, dev=200, test=1500).views for s in (200, 201)]


def diagnoses(fusion: str) -> list[tuple[Diagnosis, Diagnosis]]:
    """Of both markets: on training rows and on later ones."""
    config = with_vectors(StudyConfig.of(planted_config.get_config()), VIEWS[0])
    study = VectorExperiment(config.override({"model.fusion": fusion, "train.steps": 300}), VIEWS)
    state, _ = study.fit(MODALITIES)
    training, later = (
        study.diagnose(state, MODALITIES, VIEWS[0].split[name]) for name in ("train", "test")
    )
    return list(zip(training, later, strict=True))


@pytest.mark.nightly
def test_equal_weight_is_told_what_is_wrong_with_it_and_ours_is_not() -> None:
    """Six modalities, of which audio and video are noise and source is a shortcut that ended."""
    for training, later in diagnoses("equal"):
        said = "\n".join(anomalies(MODALITIES, training, later))
        assert "source helps in training" in said
        assert "a leak or a shortcut" in said
        assert "weighted alike" in said
        assert "audio, video, source earn nothing" in said
    for training, later in diagnoses("distilled"):
        said = "\n".join(anomalies(MODALITIES, training, later))
        assert "leak" not in said
        assert "alike" not in said
        assert "source is dead" in said
        assert "numeric" not in said


@pytest.mark.nightly
def test_contributions_tell_features_from_noise_where_encoders_leave_them_as_they_are() -> None:
    config = with_vectors(StudyConfig.of(planted_config.get_config()), VIEWS[0])
    study = VectorExperiment(config.override({"model.layers": 0, "train.steps": 300}), VIEWS)
    state, _ = study.fit(MODALITIES)
    feature = np.asarray(jax.device_get(state.ema_params["fusion"]["feature"]))
    for weight in feature:
        told = [weight[i, :n] for i, n in enumerate((8, 12, 12))]
        informative = np.concatenate([np.arange(len(x)) < 3 for x in told])
        assert roc_auc_score(informative, np.concatenate(told)) > 0.9
    assert not feature[:, 0, 8:].any(), "what only pads the width carries nothing"


@pytest.mark.slow
def test_it_makes_the_steps_of_its_config_and_selects_before_the_same_one_as_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = with_vectors(StudyConfig.of(planted_config.get_config()), VIEWS[0])
    changes = {"train.steps": 45, "distill.warmup_steps": 6, "distill.refit_fraction": 0.5}
    study = VectorExperiment(config.override(changes), VIEWS)
    seen, select = [], study._eliminate

    def watched(state: TrainState, data: Batch, asked: Array) -> tuple[TrainState, dict]:
        seen.append(int(state.step))
        return select(state, data, asked)

    monkeypatch.setattr(study, "_eliminate", watched)
    state = study.fit(MODALITIES[:2]).state
    assert seen == [elimination_step(study.config)] == [14]
    assert int(state.step) == 45


def test_a_fit_that_becomes_non_finite_is_refused() -> None:
    config = with_vectors(StudyConfig.of(planted_config.get_config()), VIEWS[0])
    wild = {"train.steps": 10, "train.warmup_steps": 1, "train.learning_rate": 1e15}
    study = VectorExperiment(config.override(wild | {"model.fusion": "concat"}), VIEWS)
    with pytest.raises(InputError, match="numeric, text: the loss of seed 0 is non-finite after"):
        study.fit(MODALITIES[:2])


def test_only_modalities_that_the_subset_has_are_asked() -> None:
    """They are in the order of the config, which is not that of their names."""
    config = with_vectors(StudyConfig.of(planted_config.get_config()), VIEWS[0])
    study = VectorExperiment(config, VIEWS)
    asked = study._asked(study.rows(("numeric", "source")))
    assert np.asarray(asked).tolist() == [[1, 0, 0, 0, 0, 1]] * 2
