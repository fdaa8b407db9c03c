"""Child processes that measure: each has its own TensorFlow, memory and crashes, and answers calls one at a time.

Python's process pools neither say how a worker died, nor stop one that takes too long, nor end with their parent.
"""

import contextlib
import importlib
import multiprocessing
import os
import signal

from experiments.harness.running import hardware
from experiments.harness.running.errors import first_line

START_SECONDS = 300  # that a process may take to import TensorFlow


class ChildFailed(Exception):
    """A call raised an error, took too long, or its process died; the message is one line."""


class Child:
    """A process that holds one object and calls its methods on request.

    The process makes the object at once, in the background, and ends when this one does, however that happens.

    Args:
        service: the object's class as `"module:Class"`, which only the process imports; TensorFlow before it, unless
            the module is PyTorch's.
        arguments: of its constructor; they must pickle.
        onednn: whether TensorFlow uses oneDNN as in this project's scripts; else as it does by itself.
    """

    def __init__(self, service, *arguments, onednn=True):
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, service, arguments, onednn), daemon=True)
        self._process.start()
        theirs.close()
        self._ready = False

    def wait(self):
        """Waits until the object is there; raises `ChildFailed` if it can't be."""
        if not self._ready:
            self._answer(START_SECONDS)
            self._ready = True

    def call(self, method, *arguments, limit=None):
        """Calls a method and returns what it returns; raises `ChildFailed` where that did not work out.

        The process is killed where it takes longer than `limit` seconds; None for no limit.
        """
        self.wait()
        try:
            self._line.send((method, arguments))
        except OSError:
            raise ChildFailed(self._death()) from None
        return self._answer(limit)

    def _answer(self, limit):
        try:
            if not self._line.poll(limit):
                self.kill()
                raise ChildFailed(f"no answer within {limit:g} s")
            worked, answer = self._line.recv()
        except (EOFError, ConnectionResetError):
            raise ChildFailed(self._death()) from None
        if not worked:
            raise ChildFailed(answer)
        return answer

    def _death(self):
        self._process.join()
        code = self._process.exitcode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"its process ended with {how}" + (", as for lack of memory" if code == -signal.SIGKILL else "")

    def kill(self):
        """Ends the process at once."""
        self._line.close()
        self._process.kill()
        self._process.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def _serve(line, service, arguments, onednn):
    """What the process does: builds the object, then answers calls until the other end of the line is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # or the first process would take all of a GPU's memory
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the same for JAX
    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        try:
            held = _construct(service, arguments, onednn)
        except Exception as error:
            line.send((False, first_line(error)))
            return
        line.send((True, None))
        while True:
            method, arguments = line.recv()
            try:
                answer = True, getattr(held, method)(*arguments)
            except Exception as error:
                answer = False, first_line(error)
            line.send(answer)


def _construct(service, arguments, onednn):
    module, name = service.split(":")
    if "torch" not in module:
        hardware.import_tensorflow(onednn)
    return getattr(importlib.import_module(module), name)(*arguments)
