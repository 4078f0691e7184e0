#!/usr/bin/env bash
# tensorflow-datasets 4.9.10 writes ArrayRecord without TensorFlow installed.
#
# Good guess: what it can write does not depend on how much it is.
# Seen: 900 examples of one MiB are written; 1,100 raise ModuleNotFoundError on the way.
# Why: the shuffler holds 1,000 MiB in memory and then writes buckets through tf.io.gfile.
# importlib_resources, which it imports too, is not installed with it.
#
# Installs in a temporary folder (PYTHON=python3), which takes 3 GB. Fails where what is seen changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet \
  tensorflow-datasets==4.9.10 array_record==0.8.6 importlib_resources==6.5.2
mkdir "$work/mebibytes"
touch "$work/mebibytes/__init__.py"
cat > "$work/mebibytes/builder.py" <<'PY'
import tensorflow_datasets as tfds


class Mebibytes(tfds.core.GeneratorBasedBuilder):
    """So many examples of one MiB."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=n) for n in ("900", "1100")]

    def _info(self):
        features = {"x": tfds.features.Text()}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(int(self.builder_config.name)):
            yield i, {"x": f"{i:<{2**20}}"}
PY
cat > "$work/run.py" <<'PY'
import importlib.metadata
import importlib.util
import sys

from mebibytes.builder import Mebibytes

for name in ("tensorflow-datasets", "array_record", "numpy"):
    print(name, importlib.metadata.version(name))
assert importlib.util.find_spec("tensorflow") is None


def written(config):
    builder = Mebibytes(config=config, data_dir=sys.argv[1], file_format="array_record")
    builder.download_and_prepare()
    return builder.info.splits["train"].num_examples


assert written("900") == 900
print("900 MiB: written", flush=True)
try:
    written("1100")
except ImportError as e:
    print("1,100 MiB:", type(e).__name__, str(e).splitlines()[0][:100])
else:
    raise SystemExit("1,100 MiB: written")
PY
"$work/venv/bin/python" "$work/run.py" "$work/data"
