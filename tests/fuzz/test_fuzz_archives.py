"""Damaged arrays beside a prepared set are made again or refused; nothing in them is unpickled."""

import functools
import io

import numpy as np
from damage import damaged
from hypothesis import given
from hypothesis import strategies as st
from watch import folder, fuzzed, judged

from fusionjax.data import parts, text


@functools.cache
def _archives() -> tuple[bytes, ...]:
    files = []
    for save in (np.savez, np.savez_compressed):
        for arrays in (
            {"bars": np.arange(3, dtype=np.uint64), "image": np.arange(2, dtype=np.uint64)},
            {
                "keys": np.array([b"a", b"b"], "S32"),
                "embedding": np.zeros((2, text.EMBEDDING_WIDTH), np.float16),
                "lexicon": np.zeros((2, len(text.LEXICON)), np.float32),
            },
            {"keys": np.array([{}, []], object), "bars": np.array([{}], object)},
        ):
            raw = io.BytesIO()
            save(raw, **arrays)
            files.append(raw.getvalue())
    return tuple(files)


@fuzzed(200)
@given(damaged(_archives()), st.booleans())
def test_archives(content: bytes, cache: bool) -> None:
    with folder() as root:
        path = root / ("a.npz" if cache else "digests.npz")
        path.write_bytes(content)
        if cache:
            found = judged(lambda: text._Cache.open(path), root, "a.npz")
            if found is not None:
                assert found.embedding.shape == (len(found.keys), text.EMBEDDING_WIDTH)
                assert found.lexicon.shape == (len(found.keys), len(text.LEXICON))
                assert found.keys.dtype.kind == "S"
        else:
            held = judged(lambda: parts.digests(root), root) or {}
            assert all(x.dtype == np.uint64 and x.ndim == 1 for x in held.values())
