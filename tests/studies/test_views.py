"""Vectors as modalities: scaled by the past alone, missing where they are not finite."""

import numpy as np
import pytest

from fusionjax.errors import InputError
from fusionjax.types import Targets
from studies.data.views import StudyLabels, Views, views

ROWS = np.arange(6)
SPLIT = {"train": ROWS[:4], "dev": ROWS[4:5], "test": ROWS[5:]}
NONE = np.zeros((6, 1), np.float32)
TARGETS = Targets(
    {"direction": NONE.astype(np.int32), "returns": NONE, "volatility": NONE},
    {"direction": NONE > -1, "returns": NONE > 1, "volatility": NONE > 1},
)


def made(time: np.ndarray = ROWS, **vectors: np.ndarray) -> Views:
    always = {"always": np.array([[1.0], [3.0], [1.0], [3.0], [5.0], [7.0]])}
    return views(always | vectors, StudyLabels(TARGETS), time, SPLIT)


def test_scaled_by_the_training_rows_alone() -> None:
    v = made()
    # Mean 2 and deviation 1 of the first four.
    np.testing.assert_allclose(v.batch.inputs["always"].x[:, 0], [-1, 1, -1, 1, 3, 5])
    assert v.known.tolist() == [1, 2, 3, 4, 5, 6]


def test_a_value_that_is_not_finite_hides_its_row_in_that_modality_only() -> None:
    x = np.arange(12.0).reshape(6, 2)
    x[1, 0], x[5, 1] = np.nan, np.inf
    v = made(other=x)
    assert v.batch.present["other"].tolist() == [True, False, True, True, True, False]
    assert v.batch.present["always"].all()
    assert not v.batch.inputs["other"].x[[1, 5]].any()
    assert np.isfinite(v.batch.inputs["other"].x).all()


def test_what_training_never_saw_stays_absent_and_what_never_varies_is_zero() -> None:
    late = np.full((6, 1), np.nan)
    late[4:] = 9.0
    v = made(late=late, constant=np.array([[2.0]] * 4 + [[5.0]] * 2))
    assert not v.batch.present["late"].any()
    assert not v.batch.inputs["constant"].x.any()


def test_falling_times_and_rows_with_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="row 2 is earlier than the last"):
        made(time=np.array([0, 5, 3, 6, 7, 8]))
    nothing = np.full((6, 1), np.nan)
    nothing[:5] = np.arange(5)[:, None]
    with pytest.raises(InputError, match="row 5 has no modality present"):
        views({"only": nothing}, StudyLabels(TARGETS), ROWS, SPLIT)
