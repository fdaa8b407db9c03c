"""Ctrl-C amid the work of TensorFlow."""

import contextlib
import signal


@contextlib.contextmanager
def interruptible():
    """Sees to it that Ctrl-C ends the block with `KeyboardInterrupt`, which TensorFlow may swallow or turn into another
    error while it is imported, traces a graph or exports a model."""
    pressed, before = [], signal.getsignal(signal.SIGINT)

    def press(*arguments):
        pressed.append(True)
        signal.default_int_handler(*arguments)

    if callable(before):  # else Ctrl-C is ignored, as in the background
        signal.signal(signal.SIGINT, press)
    try:
        yield
    except BaseException:
        if not pressed:
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
