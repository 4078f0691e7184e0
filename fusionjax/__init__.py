"""fusionjax: a multimodal stock forecaster that learns which data deserve weight.

``load`` opens a trained run, ``fit`` trains one, ``load_config`` reads settings; ``Run`` has what a
run can be asked. A user's mistake raises ``InputError`` with the sentence that a command prints.
"""

from typing import TYPE_CHECKING, Any

from fusionjax.errors import InputError

if TYPE_CHECKING:
    from fusionjax.api import Run, fit, load, load_config
    from fusionjax.config import Config

__version__ = "0.2.0"
__all__ = ["Config", "InputError", "Run", "fit", "load", "load_config"]


def __getattr__(name: str) -> Any:
    """Imports what takes seconds once it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module 'fusionjax' has no attribute {name!r}")
    from fusionjax import api

    return getattr(api, name)
