import pytest

from tfseg.registry import Registry


@pytest.fixture
def fruit():
    registry = Registry("fruit")

    @registry.register("pear")
    def pear():
        return "pear"

    assert registry["pear"] is pear
    registry.register("apple")(lambda: "apple")
    return registry


def test_names_are_iterated_in_order_and_the_last_registered_counts(fruit):
    assert list(fruit) == ["apple", "pear"] and "pear" in fruit and "plum" not in fruit
    fruit.register("pear")(lambda: "better pear")
    assert fruit["pear"]() == "better pear" and list(fruit) == ["apple", "pear"]


@pytest.mark.parametrize("name", ["plum", "Pear", None, ["pear"]])
def test_unknown_name_is_an_error_that_lists_the_known_and_what_was_received(fruit, name):
    with pytest.raises(ValueError) as raised:
        fruit[name]
    assert str(raised.value) == f"Unknown fruit. Choose one of: apple, pear. Received: {name!r}"
    assert raised.value.__suppress_context__  # no KeyError above it in the traceback
