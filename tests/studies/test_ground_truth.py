"""Questions to the weights: which are asked of which data, and what has no answer."""

import numpy as np
import pytest
from conftest import ROOT

from fusionjax.errors import InputError
from studies.configs import digits, maec, planted
from studies.fusion import ground_truth
from studies.schema import StudyConfig


def config(module: object, **changes: object) -> StudyConfig:
    few = {"ladder.seeds": 2, "ladder.first_seed": 300, "train.steps": 200}
    return StudyConfig.of(module.get_config()).override(few | changes)  # type: ignore[attr-defined]


def test_data_without_a_truth_is_refused() -> None:
    with pytest.raises(InputError, match="no truth is known of maec maec15; choose planted"):
        ground_truth.findings(config(maec))
    with pytest.raises(InputError, match="no truth is known of views clean"):
        ground_truth.findings(config(digits))
    with pytest.raises(InputError, match="is 'fulll'; expected full, weak"):
        ground_truth.findings(config(planted, **{"ladder.variant": "fulll"}))


@pytest.mark.nightly
def test_a_planted_market_answers_for_everything() -> None:
    c = config(planted)
    findings = ground_truth.findings(c)
    found = {f.question: f.values for f in findings}
    assert all(v.shape == (2,) for v in found.values())
    assert found["weight of the shortcut"].max() < 0.2
    assert found["modality weights against relevance, Spearman"].mean() > 0.6
    assert found["features, informative from noise, AUC"].min() > 0.6
    table = ground_truth.for_screen(findings, c)
    assert table.title == "planted, full, 2 seeds from 300"
    assert table.row_count == len(found)


@pytest.mark.nightly
@pytest.mark.shared_data
def test_wrong_labels_of_digits_are_found() -> None:
    root = str(ROOT.parent / "shared" / "datasets" / "multiview" / "handwritten.npz")
    c = config(digits, **{"ladder.variant": "wrong_labels", "ladder.root": root})
    (labels,) = ground_truth.findings(c)
    assert np.all(labels.values > 0.95)
