"""Any key, any value, any JSON: a config that was checked, or an error that names the key."""

import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from watch import fuzzed, judged

from fusionjax.config import Config, resolve
from fusionjax.configs import base

_MODALITIES: dict[str, dict[str, Any]] = {
    "price": {"kind": "numeric", "sessions": 8, "patch": 4, "channels": ("ret", "vol20")},
    "text": {"kind": "text", "sessions": 3, "max_documents": 4, "author_buckets": 16},
    "chart": {
        "kind": "chart",
        "sessions": 8,
        "height": 20,
        "patch_height": 10,
        "patch_sessions": 4,
    },
    "image": {"kind": "image", "sessions": 2, "patch": 8},
    "audio": {
        "kind": "audio",
        "sessions": 2,
        "hertz": 16_000,
        "window": 400,
        "hop": 200,
        "mels": 8,
        "patch": 4,
    },
    "video": {"kind": "video", "sessions": 2, "patch": 8, "patch_frames": 2},
    "frames": {"kind": "frames", "sessions": 2, "patch": 8},
    "vector": {"kind": "vector", "features": 4},
}


@functools.cache
def _whole() -> Config:
    """A config that has every kind of modality."""
    c = base.get_config()
    with c.unlocked():
        c.modalities.update(_MODALITIES)
    return resolve(c)


def _leaves(node: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(node, dict):
        return [path]
    return [path, *(leaf for key, child in node.items() for leaf in _leaves(child, (*path, key)))]


_RAW = json.loads(_whole().to_json())
_PATHS = [path for path in _leaves(_RAW) if path]
_HELD = [functools.reduce(lambda node, name: node[name], path, _RAW) for path in _PATHS]
_NUMBERS = (
    *(0, 1, -1, 2, 7, 64, 10**6, 2**31, 2**63, 10**400, True, False, 0.0, -0.0, 0.5, 1.0, 1e-300),
    *(1e308, float("nan"), float("inf"), float("-inf")),
)
_WORDS = (
    *("", "train", "dev", "kind", "numeric", "2020-01-01", "2020-13-01", "\0", "\ud800"),
    "ä" * 99,
)
_scalars = st.none() | st.sampled_from(_NUMBERS + _WORDS) | st.text(max_size=6) | st.integers()
_any = st.recursive(
    _scalars | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.sampled_from(_WORDS), inner, max_size=3)
    ),
    max_leaves=6,
)
values = st.sampled_from(_HELD) | _any  # now and then of the right form


@st.composite
def _changes(draw: Callable) -> tuple[str, Any]:
    """A dotted key that exists, or nearly so, and a value: its own, one near it, or any."""
    at = draw(st.integers(0, len(_PATHS) - 1))
    path, value = list(_PATHS[at]), _HELD[at]
    if draw(st.integers(0, 3)) == 0:
        value = draw(values)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        value = type(value)(value * draw(st.sampled_from([0, 0.5, 1, 2, 10, -1])))
    if draw(st.integers(0, 9)) == 0:
        path[draw(st.integers(0, len(path) - 1))] = draw(st.text(max_size=6))
    if draw(st.integers(0, 9)) == 0:
        path.append(draw(st.sampled_from(["", "x", "kind", "0"])))
    return ".".join(path), value


def _judged(read: Callable[[], Config]) -> None:
    config = judged(read, Path("/nowhere"), "config")
    if config is not None:
        again = Config.from_json(json.loads(config.to_json()))
        assert again.to_json() == config.to_json()
        assert math.isfinite(config.train.learning_rate * config.data.audio_seconds)


@fuzzed(300)
@given(st.lists(_changes(), min_size=1, max_size=3))
def test_overrides(changes: list[tuple[str, Any]]) -> None:
    _judged(lambda: _whole().override(dict(changes)))


@st.composite
def _documents(draw: Callable) -> Any:
    """The JSON of a config with up to three nodes replaced, removed or added."""
    raw = json.loads(_whole().to_json())
    for _ in range(draw(st.integers(0, 3))):
        *parents, leaf = draw(st.sampled_from(_PATHS))
        node = raw
        for name in parents:
            node = node.get(name) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            continue
        how = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if how == "replace":
            node[leaf] = draw(values)
        elif how == "remove":
            node.pop(leaf, None)
        else:
            node[draw(st.text(max_size=4) | st.sampled_from(_WORDS))] = draw(values)
    return json.loads(json.dumps(raw)) if draw(st.integers(0, 9)) else draw(values)


@fuzzed(200)
@given(_documents())
def test_json(raw: Any) -> None:
    _judged(lambda: Config.from_json(raw))
