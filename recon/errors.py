"""The one exception that users see: a single line that says what, where, and what to do."""


class ReconError(Exception):
    """Bad input or an impossible request.

    The command line prints it as one line and exits with status 2.
    """
