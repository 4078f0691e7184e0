"""The words that pages use, in one table: explained where they stand, and in docs/handbook.md."""

import re

from markupsafe import Markup

# By the word as it is written; a plural is found by its singular.
TERMS: dict[str, str] = {
    "abstain": "to call neither side, as the likelier one is not likely enough",
    "accuracy": "share of calls that were right",
    "annual return": "mean daily return, times 252",
    "AUC": "chance that a sample that rose had a higher probability than one that fell; .5: no "
    "skill",
    "balanced accuracy": "mean of the shares of rises and of falls that were called right",
    "bar": "one session of one stock: open, high, low, close, volume",
    "base rate": "how often prices rose in training; the forecast that knows nothing else",
    "baseline": "a simple forecaster that is scored on the same samples, to compare with",
    "beta": "by how much a portfolio moves as the mean stock moves by 1",
    "bps": "basis points, hundredths of a percent of what is traded",
    "Brier": "squared error of the probability; lower is better",
    "calibrated": "what is called 70 % happens in 70 of 100 cases",
    "channel": "one number a session that a model reads, such as a return",
    "child": "a run that was fine-tuned from another, its parent",
    "contribution": "by how much a modality's features move the loss, as a share of all",
    "correction": "what the network adds to the forecast of the experts",
    "coverage": "share of outcomes inside the forecast interval",
    "CRPS": "error of the whole forecast distribution (continuous ranked probability score); lower "
    "is better",
    "decision time": "when a forecast is made: the close plus `data.decision_delay_minutes`; "
    "nothing later is read",
    "detectable": "the least true effect that so many days would show in four of five cases",
    "drift": "a change of the data after training",
    "ECE": "expected calibration error: by how many percent probabilities miss what happens",
    "episode": "mistakes of one stock whose outcomes lie close together, or of several on one day",
    "EWMA": "mean of past squared returns in which older ones count less",
    "expert": "a simple model (ridge, Log-HAR, LightGBM, GARCH, …) from which the forecast starts",
    "F1": "harmonic mean of precision and recall",
    "fusion weight": "how much a modality counts in a sample; 1 is average, 0 is not at all",
    "GARCH": "a model of volatility by past squared returns and its own past (Bollerslev, 1986)",
    "gate": "the test, on the newest labels, that a child must pass before it serves",
    "HAR": "a regression of volatility on that of a day, a week and a month (Corsi, 2009)",
    "head": "what is forecast: direction, returns, volatility",
    "hold-out": "a split that is read once",
    "horizon": "over how many sessions",
    "IC": "information coefficient: correlation of the forecast with the return that follows",
    "ICIR": "mean of the daily IC over its standard deviation",
    "interval": "where the value would lie in 95 of 100 periods like this one, unless another "
    "share is named",
    "label": "what came; matured once its last session has closed",
    "LightGBM": "gradient-boosted decision trees",
    "log loss": "minus the log of the probability that was given to what came; lower is better, "
    ".693 is a coin's",
    "Log-HAR": "a HAR of logarithms",
    "logistic regression": "a linear model of the log odds of a rise",
    "MAE": "mean absolute error; lower is better",
    "majority": "the base rate as a forecast",
    "matured": "of a label: known, as its last session has closed",
    "max drawdown": "largest loss from a peak of the capital",
    "MCC": "Matthews correlation of calls and outcomes: 1 always right, 0 no skill",
    "meta set": "the latest part of the training period, which weighs modalities and experts and "
    "trains no encoder",
    "modality": "one kind of input: prices, news, charts, sound, film",
    "momentum": "the call that the last day's move goes on",
    "MSE": "mean squared error; lower is better",
    "network": "what is learned from all modalities together, beside the experts",
    "not distinguishable": "the interval of the paired difference holds 0: these days do not tell "
    "which is better",
    "paired": "of the differences on the same samples and days, whose common luck cancels",
    "parent": "the run that a child was fine-tuned from",
    "persistence": "the forecast that the last sessions repeat",
    "pinball": "error of forecast quantiles, the mean over them; lower is better",
    "PIT distance": "largest gap between a quantile's level and how often the outcome fell at or "
    "below it",
    "placebo": "a modality's content of another day or stock: what it gains is chance",
    "precision": "share of the calls of a class that were right",
    "quantile": "a value that the return stays below with a given probability",
    "RankIC": "the IC of ranks",
    "recall": "share of a class that was called",
    "refit phase": "the last part of training, which learns from the meta set too",
    "reversal": "the call that the last day's move turns",
    "ridge": "a linear regression with small coefficients",
    "run": "a trained model with all its seeds: a folder below `runs/`",
    "seasonal": "the mean of the same weekday",
    "seed": "one training of several that differ in chance alone; their forecasts are averaged",
    "session": "a day on which the exchange trades",
    "Sharpe": "mean daily return over its standard deviation, times √252",
    "size exposure": "mean standing in size of the stocks held, by dollar volume; shorts count "
    "negative",
    "split": "a period by name: train, dev, test",
    "target day": "the session whose close shows whether a forecast was right",
    "too few days": "so few that no statement about the difference would hold",
    "turnover": "bought and sold a day, as a share of the capital",
    "volatility": "root mean square of the log returns of the sessions, a day",
    "walk-forward": "fitted again and again, each time to what was known by then",
}
_PLURALS = {"modalities": "modality"}
# What is not read as running text: scripts, quotations, and what a tap does something else on.
_SKIPPED = "|".join(rf"<{tag}\b.*?</{tag}>" for tag in ("script", "blockquote", "summary", "a"))
_TAGS = re.compile(rf"({_SKIPPED}|<[^>]+>)", re.DOTALL)


def find(text: str) -> list[str]:
    """The terms in a text, each once, in its order."""
    return list(dict.fromkeys(_term(word.group()) for word in _WORDS.finditer(text)))


def explained(html: str, seen: set[str]) -> Markup:
    """HTML in which the first mention of each term shows its meaning on hover or tap.

    Args:
      html: a part of a page.
      seen: terms that need no explanation any more; those that are explained here are added.
    """

    def marked(word: re.Match[str]) -> str:
        term = _term(word.group())
        if term in seen:
            return word.group()
        seen.add(term)
        return str(
            Markup('<abbr tabindex=0 data-term="{}" data-means="{}">{}</abbr>').format(
                term, plain(TERMS[term]), Markup(word.group())
            )
        )

    pieces = _TAGS.split(html)
    pieces[::2] = [_WORDS.sub(marked, text) for text in pieces[::2]]
    return Markup("".join(pieces))


def plain(meaning: str) -> str:
    """A meaning without the marks of code."""
    return meaning.replace("`", "")


def _pattern() -> re.Pattern[str]:
    """Any term as a word of its own, not in a path, a key or a flag; longer terms first."""
    words = sorted([*TERMS, *_PLURALS], key=len, reverse=True)
    # Acronyms as they are written; other words also at the beginning of a sentence.
    each = (
        re.escape(w) if not w.islower() else f"[{w[0]}{w[0].upper()}]{re.escape(w[1:])}"
        for w in words
    )
    return re.compile(rf"(?<![\w/.=&-])(?:{'|'.join(each)})s?(?![\w/=-]|\.\w)")


def _term(word: str) -> str:
    forms = (word, word[:-1], word[0].lower() + word[1:], word[0].lower() + word[1:-1])
    return next(_PLURALS.get(form, form) for form in forms if form in TERMS or form in _PLURALS)


_WORDS = _pattern()
