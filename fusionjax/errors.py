"""How a command ends other than well: by a user's mistake, or stopped on request."""


class InputError(Exception):
    """Bad input. The message names the file and row (or key), what was expected, and the remedy.

    Entry points print it without a traceback and exit with status 2; anything else is a bug and
    keeps its traceback.
    """


class Preempted(Exception):
    """Asked to stop by a signal; the state is saved and the same command goes on from there."""
