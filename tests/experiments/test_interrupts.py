import contextlib
import os
import signal

import pytest

from experiments.harness.running.interrupts import interruptible


@pytest.mark.parametrize("becomes", [None, TypeError("of TensorFlow's"), KeyboardInterrupt()])
def test_ctrl_c_is_kept_where_tensorflow_swallows_it_or_makes_another_error_of_it(becomes):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), interruptible():
            with contextlib.suppress(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
            if becomes:
                raise becomes
        with pytest.raises(TypeError, match="another"), interruptible():
            raise TypeError("another")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
