#!/usr/bin/env bash
# LightGBM is asked for a row whose feature is missing (NaN), as a price is on a day without trade.
#
# Good guess: NaN follows a default branch learned from the data, so that the answer is near the
# mean: what is missing says nothing.
# Seen with 4.7.0: so it is if the training data had a NaN in that column (.65 below). If they had
# none, NaN is read as 0: of a feature around 5 that decides at 5, NaN gives P = 2e-5, exactly as
# 0 does. use_missing is True all the while. The stored model tells which columns are meant
# ("decision_type"), predict does not.
# And labels of one class only, as in a short window of rises, train without an error and give
# P = 1 - 1e-15: the other class, when it comes, costs a log loss of 34.
#
# Installs in a temporary folder (PYTHON=python3). Fails where what is seen changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet lightgbm==4.7.0 scikit-learn==1.7.2 numpy==2.3.5
cat > "$work/missing.py" <<'PY'
import importlib.metadata

import lightgbm
import numpy as np

for name in ("lightgbm", "scikit-learn", "numpy"):
    print(name, importlib.metadata.version(name))
x = np.random.default_rng(0).normal(5, 1, (4000, 1))
rose = (x[:, 0] > 5).astype(int)
with_gaps = x.copy()
with_gaps[::50] = np.nan
asked = np.array([[np.nan], [0.0]])
for name, features in (("no NaN in training", x), ("NaN in 2 % of training", with_gaps)):
    model = lightgbm.LGBMClassifier(verbose=-1).fit(features, rose)
    nan, zero = model.predict_proba(asked)[:, 1]
    print(f"{name}: P(NaN) = {nan:.3g}, P(0) = {zero:.3g}")
    assert (nan == zero) == (features is x)
    assert zero < 1e-4
    if features is with_gaps:
        assert 0.3 < nan < 0.7
risen = np.ones(len(x))
wrapped = lightgbm.LGBMClassifier(verbose=-1).fit(x, risen).predict_proba(x[:1])[0]
plain = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(x, risen))
print("one class:", wrapped, plain.predict(x[:1]))
assert wrapped.min() < 1e-12
assert 1 - plain.predict(x[:1])[0] < 1e-12
PY
"$work/venv/bin/python" "$work/missing.py" 2>&1 | grep -v "\[Warning\]"
