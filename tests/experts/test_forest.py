"""Trees are evaluated from their text as LightGBM does."""

import lightgbm
import numpy as np
import pytest

from fusionjax.experts.forest import Forest


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("leaves", [2, 15])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_they_say_what_lightgbm_says(classes: bool, leaves: int, missing: float) -> None:
    rng = np.random.default_rng(leaves)
    x = np.round(rng.normal(size=(800, 5)), 1)  # many values are alike, and zero
    x[rng.uniform(size=x.shape) < missing] = np.nan
    x[:, 4] = np.where(np.isnan(x[:, 4]), 0, x[:, 4])  # never missing here, but later
    y = np.nan_to_num(x[:, 0]) * x[:, 4] + np.isnan(x[:, 1]) + 0.1 * rng.normal(size=800)
    kind = lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor
    model = kind(num_leaves=leaves, n_estimators=60, verbose=-1, n_jobs=1)
    model.fit(x, y > y.mean() if classes else y)
    later = np.concatenate([x, rng.normal(size=(500, 5))])
    later[rng.uniform(size=later.shape) < 0.2] = np.nan
    later[0] = 0
    text = model.booster_.model_to_string()
    np.testing.assert_allclose(Forest.read(text)(later), model.booster_.predict(later), rtol=1e-13)


def test_zero_as_missing() -> None:
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(800, 3)))
    y = (x[:, 0] == 0) + 0.1 * x[:, 1]
    model = lightgbm.LGBMRegressor(zero_as_missing=True, n_estimators=20, verbose=-1, n_jobs=1)
    model.fit(x, y)
    x[:50, 0] = np.nan
    got = Forest.read(model.booster_.model_to_string())(x)
    np.testing.assert_allclose(got, model.booster_.predict(x), rtol=1e-13)


def test_a_tree_without_a_decision() -> None:
    x, y = np.zeros((50, 2)), np.full(50, 3.0)
    model = lightgbm.LGBMRegressor(n_estimators=3, verbose=-1, n_jobs=1).fit(x, y)
    got = Forest.read(model.booster_.model_to_string())(x)
    np.testing.assert_allclose(got, model.booster_.predict(x), rtol=1e-13)


def test_what_is_not_known_is_refused() -> None:
    x, y = np.random.default_rng(0).normal(size=(200, 2)), np.arange(200) % 3
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1).fit(x, y)
    with pytest.raises(ValueError, match="no model of LightGBM that is known here"):
        Forest.read(model.booster_.model_to_string())
    model = lightgbm.LGBMRegressor(n_estimators=2, verbose=-1, n_jobs=1)
    model.fit((x * 2).round() + 9, y, categorical_feature=[0, 1])
    with pytest.raises(ValueError, match="decides by category"):
        Forest.read(model.booster_.model_to_string())
