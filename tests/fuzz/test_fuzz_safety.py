"""Nothing is unpickled, run or read elsewhere, and the watch over that is awake."""

import contextlib
import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_fuzz_media import _config
from test_fuzz_tables import BARS, ITEM, _market, _media, placed
from watch import watched

from fusionjax.config import Config
from fusionjax.data import contents, media, schema
from fusionjax.data.sources import folder as source
from fusionjax.errors import InputError


class Evil:
    """Unpickled, it would make a folder."""

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return os.mkdir, ("unpickled",)


BAIT = pickle.dumps(Evil())


@pytest.fixture
def no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any use of pickle fails at once."""

    def used(*_: Any, **__: Any) -> None:
        raise AssertionError("a reader unpickles")

    for name in ("load", "loads", "Unpickler", "_load", "_loads", "_Unpickler"):
        monkeypatch.setattr(pickle, name, used)


def _objects(save: Callable) -> bytes:
    raw = io.BytesIO()
    save(raw, np.array([Evil()], object))
    return raw.getvalue()


def _bait_in_parquet(metadata: dict[str, bytes | str], field: dict[str, bytes]) -> bytes:
    """Bars with a column of pickles, whose description says that they are Python's objects."""
    table = pa.Table.from_pylist(BARS).append_column(
        pa.field("bait", pa.binary(), metadata=field), pa.array([BAIT] * len(BARS), pa.binary())
    )
    raw = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), raw)
    return raw.getvalue()


_PANDAS = {
    "index_columns": ["bait"],
    "column_indexes": [],
    "columns": [
        {
            "name": "bait",
            "field_name": "bait",
            "pandas_type": "object",
            "numpy_type": "object",
            "metadata": {"encoding": "pickle"},
        }
    ],
}
_EXTENSION = {
    b"ARROW:extension:name": b"arrow.py_extension_type",
    b"ARROW:extension:metadata": BAIT,
}
BAITS = {
    "pickle": BAIT,
    "npy": _objects(np.save),
    "npz": _objects(np.savez),
    "parquet": _bait_in_parquet({}, {}),
    "parquet of objects": _bait_in_parquet({"pandas": json.dumps(_PANDAS)}, {}),
    "parquet of an extension": _bait_in_parquet({"PANDAS_ATTRS": BAIT}, _EXTENSION),
}


@pytest.mark.usefixtures("no_pickle")
@pytest.mark.parametrize("bait", BAITS)
def test_nothing_is_unpickled(bait: str, tmp_path: Path) -> None:
    content = BAITS[bait]
    for name in ("bars.parquet", "bars.csv", "texts.jsonl", "keys.npy", "a.mp4"):
        (tmp_path / name).write_bytes(content)
    with watched(tmp_path):
        for name in ("bars.parquet", "bars.csv", "texts.jsonl"):
            _tried(schema.read_table, tmp_path / name)
        _tried(contents.load_array, tmp_path / "keys.npy")
        for kind in media.folders():
            decode = media.decoder(kind, _config())
            for name in ("bars.parquet", "bars.csv", "a.mp4"):
                _tried(decode, tmp_path / name)
        with pytest.raises(InputError):
            Config.from_json({"py/reduce": [BAIT.hex()], "data": {"py/object": "os.system"}})
    assert not Path("unpickled").exists()


def _tried(read: Callable[[Path], Any], path: Path) -> None:
    with contextlib.suppress(InputError, media.Undecodable):
        read(path)


@pytest.mark.parametrize("path", ["link.png", "chain.png", "up/secret.png", "../../secret.png"])
def test_a_file_outside_is_never_opened(path: str, tmp_path: Path) -> None:
    home = _market(tmp_path)
    _media(tmp_path, home / "images")
    (home / "images" / "manifest.jsonl").write_text(json.dumps(ITEM | {"path": path}))
    with watched(home):
        assert not [p for p in source.files(home) if p.name in ("link.png", "chain.png")]
        with pytest.raises(InputError, match=r"manifest\.jsonl: row 0: path .* leaves"):
            placed(home)


def test_the_watch_sees_what_a_reader_must_not_do(tmp_path: Path) -> None:
    (tmp_path / "market").mkdir()
    (tmp_path / "secret").write_text("canary")
    for deed in (
        lambda: (tmp_path / "secret").read_text(),
        lambda: (tmp_path / "market" / ".." / "secret").read_bytes(),
        lambda: (tmp_path / "market" / "new").write_text("written"),
        lambda: pickle.loads(pickle.dumps(os.getcwd)),
        lambda: os.system("true"),
    ):
        with pytest.raises(AssertionError, match="a reader did"), watched(tmp_path / "market"):
            deed()
