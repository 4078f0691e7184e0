"""Do intervals cover when volatility jumps? Simulated: method | coverage | worst 250 days | width.

python studies/shock.py
"""

from fusionjax import app


def main(_: None) -> None:
    from fusionjax.train.telemetry import say
    from studies.streams import shock

    say("\n".join(map(str, shock.study(range(20)))))


if __name__ == "__main__":
    app.run(main, needs_config=False)
