#!/usr/bin/env bash
# ParquetFile.iter_batches(n) of pyarrow: the first n rows of a table of frames or ticks, for example.
#
# Good guess: batches of n rows, the last one excepted, whatever the types of the columns.
# Seen with 26.0.1: so it is across row groups for numbers and texts. With one dictionary column (a
# category of pandas or polars, or read_dictionary=) every batch also ends where a row group does:
# of groups of 10 rows the first batch of 64 has 10, and next(iter_batches(64)) reads a tenth.
#
# Installs in a temporary folder (PYTHON=python3). Fails where what is seen changes.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pyarrow==26.0.1
"$work/venv/bin/python" - "$work" <<'PY'
import sys

import pyarrow as pa
import pyarrow.parquet as pq

print("pyarrow", pa.__version__)
frames, words = list(range(100)), pa.array(["A", "B"] * 50)
for name, column in (("text", words), ("category", words.dictionary_encode())):
    path = f"{sys.argv[1]}/{name}.parquet"
    pq.write_table(pa.table({"frame": frames, "camera": column}), path, row_group_size=10)


def rows(name, columns=None, **options):
    file = pq.ParquetFile(f"{sys.argv[1]}/{name}.parquet", **options)
    return [batch.num_rows for batch in file.iter_batches(64, columns=columns)]


by_group = [10, 10, 10, 10, 10, 10, 4, 6, 10, 10, 10]
for said, expected in (
    (rows("text"), [64, 36]),
    (rows("category", ["frame"]), [64, 36]),
    (rows("category"), by_group),
    (rows("text", read_dictionary=["camera"]), by_group),
):
    print(said)
    assert said == expected
PY
