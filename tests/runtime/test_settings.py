"""Mistakes in settings: one line that names the setting, also where several types are allowed."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from coarsecon.errors import InputError
from coarsecon.runtime.settings import Settings, validate


class Inner(Settings):
    size: Annotated[int, Field(ge=2)] | Literal["all"] = 5
    pair: tuple[int, int] = (1, 2)


class Outer(Settings):
    inner: Inner = Inner()
    path: str = ""


@pytest.mark.parametrize(
    ("values", "subject", "problem"),
    [
        ({"inner": {"size": 1}}, "inner.size", "input should be greater than or equal to 2, or 'all' (got 1)"),
        ({"inner": {"size": "many"}}, "inner.size", "input should be a valid integer, or 'all' (got 'many')"),
        ({"inner": {"pair": (1, "x")}}, "inner.pair.1", "input should be a valid integer (got 'x')"),
        ({"inner": 3}, "inner", "input should be a valid dictionary or instance of Inner (got 3)"),
    ],
)
def test_a_value_that_does_not_fit_is_reported_once_under_its_setting(values, subject, problem):
    with pytest.raises(InputError) as error:
        validate(Outer, values)
    assert (error.value.subject, error.value.problem) == (subject, problem)


def test_two_mistakes_are_reported_together():
    with pytest.raises(InputError) as error:
        validate(Outer, {"inner": {"size": 5, "pair": 5}, "path": 5})
    assert error.value.subject == "inner.pair"
    assert "path: input should be a valid string (got 5)" in str(error.value)
