"""What a config is compared with, from the flags that state it."""

from pathlib import Path

import pytest
from conftest import SP500, seeing, small

from fusionjax.config.variant import compared, variant
from fusionjax.errors import InputError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([], "--against is missing; say .* for example --against=model.fusion=equal"),
        (["model.fusion"], "--against=model.fusion: expected key=value"),
        (["mesh.data=2"], "both run on one mesh"),
        (["model.fuson=equal"], "no key 'model.fuson'; did you mean 'fusion'"),
        (["model.fusion=equl"], "config.model.fusion is 'equl'; expected"),
        (["train.steps=many"], "config.train.steps is 'many'; expected"),
        (
            ["train.steps=10", "distill.update_interval=0"],
            "distill.update_interval is 0; expected at least 1",
        ),
    ],
)
def test_what_cannot_be_compared_is_said(changes: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compared(small(seeing(SP500), Path()), changes)


def test_values_are_json_or_text() -> None:
    made = variant(small(seeing(SP500), Path()), ["train.steps=30", "model.fusion=equal"])
    assert (made.train.steps, made.model.fusion) == (30, "equal")
