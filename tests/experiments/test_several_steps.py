"""Tests of how training on JAX takes its steps."""

AHEAD = """
import threading

import numpy as np

from experiments.harness.running.several_steps import SeveralSteps

several = SeveralSteps(None, 2)
made, second = [], threading.Event()


def stacks():
    for number in range(3):
        made.append(number)
        if number == 1:
            second.set()
        yield number


drawn = several.ahead(stacks())
assert next(drawn) == 0
assert second.wait(10) and made == [0, 1]  # the second is made while the first is in use, the third is not yet
assert list(drawn) == [1, 2]


def broken():
    yield 0
    raise OSError("the disk is gone")


try:
    list(several.ahead(broken()))
except OSError as error:
    assert str(error) == "the disk is gone"
else:
    raise AssertionError("the error was lost")


class Batches(list):
    def as_numpy_iterator(self):
        return iter(self)


class Data:
    asked, again = [], threading.Event()

    def epoch(self, number):
        self.asked.append(number)
        if number == 6:
            self.again.set()
        return Batches(np.array([10 * number + batch]) for batch in range(3))


data, epochs = Data(), []
for stacks in several.epochs(data, range(5, 7)):
    epochs.append([(np.ravel(stack).tolist(), count) for stack, count in stacks])
    assert data.again.wait(10)  # the next epoch is begun before anyone asks for it
assert epochs == [[([50, 51], 2), ([52], 1)], [([60, 61], 2), ([62], 1)]]
assert data.asked == [5, 6]
"""


INTERRUPTED = """
import keras

model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile(keras.optimizers.SGD(0.1), "mse")
model.optimizer.build(model.trainable_variables)
before = model.get_weights()
batch = np.ones((4, 2), "float32"), np.zeros((4, 1), "float32")


def refuse(done, loss):
    raise ArithmeticError


try:
    SeveralSteps(model).run(iter([(batch, 1)] * 3), refuse)
except ArithmeticError:
    pass
else:
    raise AssertionError("the error was lost")
after = model.get_weights()
assert all(np.isfinite(weights).all() for weights in after) and not np.array_equal(before[0], after[0])
"""


def test_stacks_come_one_ahead_in_order_and_an_error_leaves_the_weights_of_the_last_step(python_on_jax):
    python_on_jax("-c", AHEAD + INTERRUPTED)  # in one process, which takes longest to start
