"""``python -m fusionjax`` is the command ``fusionjax``."""

from fusionjax.commands import main

main()
