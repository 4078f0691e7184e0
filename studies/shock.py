"""Do intervals cover when volatility jumps? In simulated worlds, and of the S&P 500: method |
coverage | worst 250 days | first 5 days after a jump | first 20 | width, % | interval score, %.

python studies/shock.py
"""

from fusionjax import app


def main(_: None) -> None:
    from fusionjax.telemetry import say
    from studies.streams import shock

    for world in shock.WORLDS:
        say("\n".join([f"\n{world.name}", *map(str, shock.study(range(20), world))]))
    say("\n".join(["\nS&P 500", *map(str, shock.real())]))


if __name__ == "__main__":
    app.run(main, app.Needs(config=False))
