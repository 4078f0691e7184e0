"""``fusionjax track``, from a checkout."""

from fusionjax.commands import run

if __name__ == "__main__":
    run("track")
