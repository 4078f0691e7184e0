#!/usr/bin/env bash
# tensorflow-datasets 4.9.10: a feature declared as float64.
#
# Good guess: what is read back is the float64 that was written; its dtype says float64, and int64
# and uint64 features come back exact.
# Seen: Scalar and Tensor of float64 come back as float64 arrays with the digits of float32: 101.37
# is 101.37000274658203, 16,777,217 is 16,777,216, 1e39 is infinite. No message. With
# encoding="bytes" they are exact, in the same file format.
# Why: the default encoding is a tf.train.Example, whose float_list is 32 bits wide.
#
# Installs in a temporary folder (PYTHON=python3). Fails where what is seen changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet \
  tensorflow-datasets==4.9.10 array_record==0.8.6 importlib_resources==6.5.2
mkdir "$work/prices"
touch "$work/prices/__init__.py"
cat > "$work/prices/builder.py" <<'PY'
import numpy as np
import tensorflow_datasets as tfds

PRICES = (101.37, 16_777_217.0, 1e39)


class Prices(tfds.core.GeneratorBasedBuilder):
    """One price a record, declared in four ways."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        f = tfds.features
        features = {
            "order": f.Scalar(np.int64),
            "scalar": f.Scalar(np.float64),
            "tensor": f.Tensor(shape=(1,), dtype=np.float64),
            "bytes": f.Tensor(shape=(1,), dtype=np.float64, encoding="bytes"),
        }
        return self.dataset_info_from_configs(features=f.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"rows": self._generate_examples()}

    def _generate_examples(self):
        for i, price in enumerate(PRICES):
            yield i, {"order": i, "scalar": price, "tensor": [price], "bytes": [price]}
PY
cat > "$work/run.py" <<'PY'
import importlib.metadata
import sys

import numpy as np
from prices.builder import PRICES, Prices

for name in ("tensorflow-datasets", "array_record", "numpy"):
    print(name, importlib.metadata.version(name))
builder = Prices(data_dir=sys.argv[1], file_format="array_record")
builder.download_and_prepare()
rows = sorted(builder.as_data_source("rows"), key=lambda row: row["order"])
with np.errstate(over="ignore"):
    short = [float(np.float32(p)) for p in PRICES]
assert builder.info.features["scalar"].np_dtype == np.float64
for row, price, rounded in zip(rows, PRICES, short, strict=True):
    print(price, "->", {k: row[k] for k in ("scalar", "tensor", "bytes")})
    assert row["tensor"].dtype == np.float64
    assert row["scalar"] == row["tensor"][0] == rounded != price
    assert row["bytes"][0] == price
PY
"$work/venv/bin/python" "$work/run.py" "$work/data"
