"""What a trained run says in Python: run it after ``fusionjax demo``, in the same folder.

python examples/forecasts.py
"""

import fusionjax

run = fusionjax.load("runs/demo")

# The newest forecast of every stock; several days of one; one without a modality.
print(run.predict().T.to_string(header=False))
week = run.predict("SPX", ["2018-06-25", "2018-06-26", "2018-06-27", "2018-06-28", "2018-06-29"])
print(week[["session", "direction.1d.up", "daily_volatility.5d"]].to_string(index=False))
print(run.predict("SPX", "2018-06-29", without=["vix"])["daily_volatility.5d"].item())

# What each modality, channel, session and expert contributes, against other days' content there.
print("\n".join(run.explanation("SPX", "2018-06-29").lines("volatility.5d")))
print(run.explain("SPX", "2018-06-29")[["weight", "direction.1d", "volatility.5d"]].head())

# A user's mistake is one sentence, the same as the command's.
try:
    run.predict("spx")
except fusionjax.InputError as mistake:
    print(mistake)
