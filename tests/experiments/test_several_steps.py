"""Tests of what training on JAX draws its batches with."""

AHEAD = """
import threading

from experiments.harness.running.several_steps import ahead

made, second = [], threading.Event()


def batches():
    for number in range(3):
        made.append(number)
        if number == 1:
            second.set()
        yield number


drawn = ahead(batches())
assert next(drawn) == 0
assert second.wait(10) and made == [0, 1]  # the second is made while the first is in use, the third is not yet
assert list(drawn) == [1, 2]


def broken():
    yield 0
    raise OSError("the disk is gone")


try:
    list(ahead(broken()))
except OSError as error:
    assert str(error) == "the disk is gone"
else:
    raise AssertionError("the error was lost")
"""


def test_batches_are_made_one_stack_ahead_in_their_order(python_on_jax):
    python_on_jax("-c", AHEAD)
