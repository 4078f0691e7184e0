"""A model's inputs pooled into one vector: for baselines without sequences, and for drift."""

import numpy as np
from jaxtyping import Float, Int64

from fusionjax.data.pipeline import evaluation_batches
from fusionjax.data.windows import Windows

_BATCH = 1024


def pooled_features(windows: Windows, rows: Int64[np.ndarray, "S"]) -> Float[np.ndarray, "S F"]:
    """The pooled features of all modalities, side by side. Missing values are NaN."""
    return np.concatenate([*pooled_by_modality(windows, rows).values()], axis=1)


def pooled_by_modality(
    windows: Windows, rows: Int64[np.ndarray, "S"], hidden: frozenset[str] = frozenset()
) -> dict[str, Float[np.ndarray, "S _F"]]:
    """The pooled features of each modality, by its name; those in ``hidden`` are missing."""
    parts = [
        {
            name: m.pooled(batch.inputs[name], batch.present[name]).astype(np.float64)
            for name, m in windows.config.modalities.items()
        }
        for batch in evaluation_batches(rows, windows, _BATCH, hidden)
    ]
    return {name: np.concatenate([p[name] for p in parts])[: len(rows)] for name in parts[0]}
