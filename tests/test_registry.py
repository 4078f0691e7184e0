"""What a config names is found by its name, or refused with the names that there are."""

import subprocess
import sys

import pytest
from conftest import ROOT

from fusionjax.errors import InputError
from fusionjax.registry import FUSIONS, Registry


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


@pytest.mark.parametrize("name", [*FUSIONS])
def test_each_file_registers_the_name_that_it_is_listed_by(name: str) -> None:
    assert FUSIONS[name].__module__.endswith(f".{name}")


def test_a_config_is_checked_without_importing_what_it_names() -> None:
    code = (
        "import sys; from fusionjax.registry import FUSIONS; FUSIONS.require('qmf'); "
        "sys.exit('flax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
