import pytest

from tfseg.registry import Registry


@pytest.fixture
def fruit():
    registry = Registry("fruit")

    @registry.register("pear")
    def pear():
        return "pear"

    registry.register("apple")(lambda: "apple")
    return registry


def test_decorator_files_the_function_and_returns_it_unchanged():
    registry = Registry("fruit")

    def pear():
        return "pear"

    assert registry.register("pear")(pear) is pear
    assert registry["pear"] is pear


def test_names_are_iterated_in_order_and_can_be_asked_for(fruit):
    assert list(fruit) == ["apple", "pear"]
    assert "pear" in fruit and "plum" not in fruit


def test_second_registration_replaces_the_first(fruit):
    fruit.register("pear")(lambda: "better pear")
    assert fruit["pear"]() == "better pear"
    assert list(fruit) == ["apple", "pear"]


@pytest.mark.parametrize("name", ["plum", "Pear", None, 3, ["pear"]])
def test_unknown_name_is_an_error_that_lists_the_known_and_what_was_received(fruit, name):
    with pytest.raises(ValueError) as raised:
        fruit[name]
    assert str(raised.value) == f"Unknown fruit. Choose one of: apple, pear. Received: {name!r}"
    assert raised.value.__suppress_context__  # no KeyError above it in the traceback


def test_registries_are_independent(fruit):
    assert list(Registry("fruit")) == []
