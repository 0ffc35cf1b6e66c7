"""The whole table of bad inputs, one row each (`bad_input.Case` says what a row holds)."""

from bad_input import Case, good
from data_cases_columns import COLUMNS
from data_cases_files import FILES
from data_cases_sequences import SEQUENCE_CASES
from data_cases_times import TIMES

__all__ = ["CASES", "Case", "good"]

CASES = (*FILES, *COLUMNS, *TIMES, *SEQUENCE_CASES)
