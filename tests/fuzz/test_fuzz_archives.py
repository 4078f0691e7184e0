"""A damaged prepared set is refused by name; nothing in it is unpickled."""

import functools
import io
from pathlib import Path

import numpy as np
from damage import damaged
from hypothesis import given
from hypothesis import strategies as st
from watch import folder, fuzzed, judged

from fusionjax.data import contents, hashes, sums


@functools.cache
def _columns() -> tuple[bytes, ...]:
    files = []
    for array in (
        np.arange(3),
        np.zeros((2, 5), np.float32),
        np.array([b"a", b"b"], contents.KEY),
        np.array([{}, []], object),
    ):
        raw = io.BytesIO()
        np.save(raw, array)
        files.append(raw.getvalue())
    return tuple(files)


@fuzzed(200)
@given(damaged(_columns()))
def test_columns(content: bytes) -> None:
    with folder() as root:
        (root / "a.npy").write_bytes(content)
        found = judged(lambda: contents.load_array(root / "a.npy"), root, "a.npy")
        assert found is None or found.dtype != object


@functools.cache
def _sums() -> tuple[bytes, ...]:
    with folder() as root:
        (root / "a").write_text("a")
        (root / "b").mkdir()
        (root / "b" / "c").write_text("c")
        sums.write(root)
        return ((root / sums.NAME).read_bytes(),)


@fuzzed(200)
@given(damaged(_sums()), st.booleans())
def test_sums(content: bytes, all_files: bool) -> None:
    with folder() as root:
        (root / "a").write_text("a")
        (root / "b").mkdir()
        (root / "b" / "c").write_text("c")
        (root / sums.NAME).write_bytes(content)
        whole = judged(lambda: sums.check(root, all_files=all_files) or True, root)
        assert not whole or set(content.splitlines()) <= set(_sums()[0].splitlines())


@fuzzed(100)
@given(damaged((b'0\n{"/a": [1, 2, "f"]}',)))
def test_remembered_hashes(content: bytes) -> None:
    with folder() as root:
        (root / "hashes").write_bytes(content)
        assert not hashes._read(Path(root / "hashes")), "what has another sum is not believed"
