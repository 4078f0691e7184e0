"""Forecasts of LightGBM's trees from their text, by numpy: importing the library takes longer.

The text is what ``Booster.model_to_string`` writes; the decisions are those of LightGBM 4's
``Tree::NumericalDecision`` (include/LightGBM/tree.h).
"""

import dataclasses
import re

import numpy as np
from jaxtyping import Bool, Float, Int

_CATEGORICAL, _DEFAULT_LEFT = 1, 2  # bits of ``decision_type``
_ZERO, _NAN = 1, 2  # kinds of missing values, in the bits above
_TINY = 1e-35  # an absolute value up to it is zero


@dataclasses.dataclass(frozen=True)
class Tree:
    """One tree of N decisions and N + 1 leaves; a child below 0 is the leaf ``~child``."""

    feature: Int[np.ndarray, "N"]
    threshold: Float[np.ndarray, "N"]
    decision: Int[np.ndarray, "N"]
    left: Int[np.ndarray, "N"]
    right: Int[np.ndarray, "N"]
    leaf: Float[np.ndarray, "L"]

    def __call__(self, x: Float[np.ndarray, "S F"]) -> Float[np.ndarray, "S"]:
        """The leaf's value of each row."""
        rows = np.arange(len(x))
        at = np.full(len(x), 0 if len(self.feature) else -1)
        while (inner := at >= 0).any():
            node = at[inner]
            value = x[rows[inner], self.feature[node]]
            goes_left = self._goes_left(node, value)
            at[inner] = np.where(goes_left, self.left[node], self.right[node])
        return self.leaf[~at]

    def _goes_left(
        self, node: Int[np.ndarray, "K"], value: Float[np.ndarray, "K"]
    ) -> Bool[np.ndarray, "K"]:
        kind, lacks = self.decision[node] >> 2, np.isnan(value)
        value = np.where(lacks & (kind != _NAN), 0.0, value)
        missing = np.where(kind == _NAN, lacks, (kind == _ZERO) & (np.abs(value) <= _TINY))
        default = (self.decision[node] & _DEFAULT_LEFT) > 0
        return np.where(missing, default, value <= self.threshold[node])


@dataclasses.dataclass(frozen=True)
class Forest:
    """The trees of a model of numbers, or of the probability of class 1.

    Attributes:
      trees: their values are added up.
      slope: of the logistic function of the sum; 0 for a model of numbers.
    """

    trees: tuple[Tree, ...]
    slope: float

    @staticmethod
    def read(text: str) -> "Forest":
        """The model of a text.

        Raises:
          ValueError: it has another objective, or decisions by category.
        """
        head, *parts = text.split("end of trees")[0].split("\nTree=")
        objective = re.search(r"^objective=(\w+)(?: sigmoid:(\S+))?", head, re.M)
        if objective is None or objective[1] not in ("binary", "regression"):
            raise ValueError(f"no model of LightGBM that is known here: {head[:200]}")
        slope = float(objective[2] or 1) if objective[1] == "binary" else 0.0
        return Forest(tuple(_tree(part) for part in parts), slope)

    def __call__(self, x: Float[np.ndarray, "S F"]) -> Float[np.ndarray, "S"]:
        """The model's values of rows of features; NaN is missing."""
        total = np.zeros(len(x))
        for tree in self.trees:
            total += tree(x)
        return 1 / (1 + np.exp(-self.slope * total)) if self.slope else total


def _tree(text: str) -> Tree:
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def numbers(name: str, dtype: type) -> np.ndarray:
        return np.array(fields.get(name, "").split(), dtype)

    decision = numbers("decision_type", int)
    if (decision & _CATEGORICAL).any() or fields.get("is_linear", "0") != "0":
        raise ValueError("a tree decides by category, or has linear leaves")
    return Tree(
        numbers("split_feature", int),
        numbers("threshold", float),
        decision,
        numbers("left_child", int),
        numbers("right_child", int),
        numbers("leaf_value", float),
    )
