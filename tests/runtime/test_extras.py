"""Missing optional packages are reported with the command that installs them."""

import json
import sys

import pytest

from coarsecon.errors import InputError
from coarsecon.runtime.extras import require_extra


def test_the_first_module_is_returned():
    assert require_extra("maps", "json", "json.decoder", needed_by="a map") is json


def test_every_missing_package_is_named_with_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(InputError) as caught:
        require_extra("maps", "sklearn.cluster", "json", "nonesuch.inner", needed_by="clustering", instead="wait")
    error = caught.value
    assert error.subject == "clustering"
    assert error.problem == "needs scikit-learn and nonesuch, which are not installed"
    assert error.hint == "run `pip install 'coarsecon[maps]'`, or wait"
