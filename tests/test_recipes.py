"""Recipes: each is well-formed, summarised, and fits the settings of its method."""

import pytest

from coarsecon import recipes, registry
from coarsecon.config import RunConfig, validate
from coarsecon.errors import InputError


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_fits_its_method(name):
    config = validate(RunConfig, recipes.read(name))
    method = registry.load(registry.METHODS, config.method["name"])
    settings = {key: value for key, value in config.method.items() if key != "name"}
    validate(method.Config, settings, section="method")
    assert config.recipe == name
    assert recipes.summary(name)
    assert name.startswith(config.method["name"])


def test_maskcons_recipes_hold_the_papers_settings():
    cifar, sop = recipes.read("maskcon-cifar100"), recipes.read("maskcon-sop")
    assert (cifar["method"]["w"], cifar["method"]["t"], cifar["method"]["t0"]) == (1.0, 0.05, 0.1)
    assert (sop["method"]["w"], sop["method"]["t"]) == (0.8, 0.1)
    assert recipes.read("maskcon-imagenet32")["method"]["queue_size"] == 16384
    assert recipes.read("maskcon-imagenet32")["schedule"]["epochs"] == 100


def test_an_unknown_recipe_tells_the_nearest():
    with pytest.raises(InputError, match="did you mean maskcon-cifar100"):
        recipes.text("maskcon-cifar10")
    with pytest.raises(InputError, match="recipes ls"):
        recipes.text("../../etc/passwd")
