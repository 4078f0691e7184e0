"""The one exception a user's mistake raises: its message says what was wrong and what to do."""


class InputError(Exception):
    """Bad input. The message names the file and row (or key), what was expected, and the remedy.

    Entry points print it without a traceback and exit with status 2; anything else is a bug and
    keeps its traceback.
    """
