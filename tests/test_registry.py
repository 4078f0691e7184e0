"""What a config names is found by its name, or refused with the names that there are."""

import subprocess
import sys

import pytest
from conftest import ROOT

from fusionjax.errors import InputError
from fusionjax.registry import FUSIONS, MODALITIES, Registry


def test_a_name_of_ones_own_is_found_and_another_is_refused() -> None:
    kinds: Registry[type] = Registry("model.kind")

    @kinds.register("mine")
    class Mine:
        pass

    assert kinds["mine"] is Mine
    assert [*kinds] == ["mine"]
    with pytest.raises(
        InputError, match="config.model.kind is 'mins'; expected one of mine; did you mean 'mine'"
    ):
        kinds["mins"]
    with pytest.raises(InputError, match="is 3; expected one of mine"):
        kinds.require(3)


@pytest.mark.parametrize("kinds", [FUSIONS, MODALITIES], ids=["fusions", "modalities"])
def test_each_file_registers_the_name_that_it_is_listed_by(kinds: Registry) -> None:
    brought = {name: kinds[name].__module__ for name in kinds}  # and what tests have registered
    brought = {n: module for n, module in brought.items() if module.startswith("fusionjax.")}
    assert len(brought) >= 8
    assert all(module.endswith(f".{name}") for name, module in brought.items())


def test_a_config_is_checked_without_importing_what_it_names() -> None:
    """A fusion is not imported; modalities are, which import nothing heavy."""
    code = (
        "import sys; from fusionjax.registry import FUSIONS, MODALITIES; FUSIONS.require('qmf'); "
        "kinds = [MODALITIES[kind] for kind in MODALITIES]; "
        "sys.exit(bool({'flax', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
