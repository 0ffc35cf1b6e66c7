"""Every bad input of the table gives its message, word for word: what was given, where, what is needed, the cure."""

import builtins
import dataclasses

import pytest
from data_cases import CASES, Case, good

from recurra.data.forecast_table import from_arrays, learn_schema, read_series, require_future
from recurra.data.sequence_table import from_sequence_arrays, learn_schema_sequences, read_sequences
from recurra.data.source import read_source
from recurra.errors import DataError, RecurraError, UsageError
from recurra.settings import ClassifyData, ForecastData


def read(case: Case, folder) -> None:
    source = case.make(folder)
    if case.task == "series":
        from_arrays(source)
    elif case.task == "sequences":
        from_sequence_arrays(*source) if isinstance(source, tuple) else from_sequence_arrays(source)
    elif case.task == "classify":
        table, settings = read_source(source), ClassifyData(**case.options)
        read_sequences(table, learn_schema_sequences(table, settings), settings, fitting=True)
    else:
        table, settings = read_source(source), ForecastData(**case.options)
        schema = learn_schema(table, settings)
        read_series(table, schema, settings, fitting=True)
        if case.then is not None:
            later = read_source(case.then(folder))
            data, _ = read_series(later, schema, settings, fitting=False)
            require_future(data, schema, settings.horizon, later.name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_gives_its_message(case, tmp_path):
    with pytest.raises(RecurraError) as caught:
        read(case, tmp_path)
    error = caught.value
    expected = {part: getattr(case, part).replace("{folder}", str(tmp_path)) for part in PARTS}
    assert {part: getattr(error, part) for part in PARTS} == expected
    assert type(error) is case.error
    assert error.exit_code == (3 if case.error is DataError else 2)
    text = str(error)
    assert all(expected[part].rstrip(".?") in text for part in PARTS)


PARTS = ("given", "where", "need", "cure")


def test_every_row_of_the_table_is_whole_and_different():
    assert len(CASES) >= 80
    assert len({case.name for case in CASES}) == len(CASES)
    for case in CASES:
        assert all(getattr(case, part).strip() for part in PARTS), case.name
    assert {field.name for field in dataclasses.fields(Case)} >= set(PARTS)


def test_a_file_without_permission_is_named(tmp_path, monkeypatch):
    path = tmp_path / "sales.csv"
    path.write_text(good())
    real = builtins.open

    def refuse(file, *args, **kwargs):
        if str(file) == str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(file, *args, **kwargs)

    # The superuser may read any file, whatever its mode: so the refusal of the system is put in its place.
    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(DataError) as caught:
        read_source(path)
    assert caught.value.given == f"'{path}' may not be read (permission denied)"
    assert caught.value.cure == f"change it with: chmod u+r {path}"


def test_the_line_in_a_message_counts_blank_lines_and_lines_within_quotes(tmp_path):
    path = tmp_path / "notes.csv"
    path.write_text('\nday,note,units\n1,"two\nlines",3\n\n2,one,x\n3,one,4\n')
    table = read_source(path)
    with pytest.raises(DataError) as caught:
        learn_schema(table, ForecastData(target=("units",), time="day"))
    assert caught.value.where == "notes.csv, column 'units', line 6"


def test_a_frame_that_polars_cannot_take_is_refused_with_its_reason():
    with pytest.raises(DataError) as caught:
        read_source({"a": [1, 2], "b": [1, 2, 3]})
    assert "cannot be read as a table" in caught.value.given
    with pytest.raises(UsageError):
        read_source(object())
