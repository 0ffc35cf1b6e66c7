"""The one error family of the library.

Every message says what was given, where it stands, what is needed and how to cure it.
"""

from __future__ import annotations


class RecurraError(Exception):
    """Base of all errors that Recurra raises on purpose.

    Args:
        given: what was given, as one sentence ("'abc' is not a number").
        where: the place: file, column, row, argument ("sales.csv, column 'units', row 17").
        need: what is needed ("a number or an empty field in every row").
        cure: what to do about it ("correct the row, or leave the field empty").

    `str(error)` joins the parts that are present. `exit_code` is what the command line returns.

    Example:
        >>> print(DataError("'abc' is not a number", where="a.csv, row 3", need="a number", cure="correct it"))
        a.csv, row 3: 'abc' is not a number. Needed: a number. Cure: correct it.
    """

    exit_code = 1

    def __init__(self, given: str, *, where: str | None = None, need: str | None = None, cure: str | None = None):
        self.given, self.where, self.need, self.cure = given, where, need, cure
        text = f"{where}: {given}" if where else given
        for label, part in (("Needed", need), ("Cure", cure)):
            if part:
                text = f"{text.rstrip('.')}. {label}: {part}"
        super().__init__(text if text.endswith("?") else text.rstrip(".") + ".")


class UsageError(RecurraError, ValueError):
    """An argument or option is wrong, whatever the data are."""

    exit_code = 2


class ShapeError(UsageError):
    """A tensor's shape does not fit: the message names the argument, the shape given and the shape needed."""


class DataError(RecurraError, ValueError):
    """Something in the user's data is wrong: the message names file, column and row."""

    exit_code = 3


class FolderError(RecurraError):
    """A model or run folder is missing, damaged, or made by a newer version."""


class TrainingError(RecurraError, RuntimeError):
    """Training cannot go on (a loss or a gradient that is not finite, say)."""


class Interrupted(RecurraError):
    """Training was interrupted by the user; what was reached has been saved."""

    exit_code = 130
