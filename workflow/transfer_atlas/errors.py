"""The one exception that is meant to be read by a user."""


class UserError(Exception):
    """Something the user can mend. Its message is one line: what is wrong, where, and what to do."""
