"""Lets the settings of a workload take turns, so that a busy moment of the machine hits all alike.

Tools such as pyperf measure one program after the other, and lay a slow minute to one of them.
"""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from experiments.benchmarks.processes import Child, ChildFailed
from experiments.benchmarks.ratios import summarise
from experiments.harness.running.clock import duration

SERVICES = {
    "project": "experiments.benchmarks.measurements:RowService",
    "plain": "experiments.benchmarks.measurements:RowService",
    "torch": "experiments.benchmarks.torch_peer:TorchService",
}
"""What measures a row, by its loop."""

LIMIT = 900  # seconds for building or for a turn, after which a setting is given up: XLA can take long on a CPU


class Progress:
    """Prints what is measured, and how long the rest of so many turns will take at the pace so far."""

    def __init__(self, turns):
        self.turns, self.taken, self.started = turns, 0, time.perf_counter()

    def say(self, label, text, taken=0):
        """Prints a line; so many turns were taken."""
        self.taken += taken
        if self.taken:
            pace = (time.perf_counter() - self.started) / self.taken
            text += f" | left: {duration(pace * (self.turns - self.taken))}"
        print(f"{label} | {text}", flush=True)


class RoundRobin:
    """One workload's settings, each in a process of its own, and the machine.

    Args:
        rows: `Row`s of the workload.
        products: the dictionary `MachineService.prepare_product` returned, by precision.
        machine: a `Child` that holds a `MachineService`.
        builders: how many rows build and compile at the same time.
    """

    def __init__(self, workload, sizes, rows, products, machine, progress, builders=1):
        self.workload, self.sizes, self.rows, self.builders = workload, sizes, rows, builders
        self.products, self.machine, self.progress = products, machine, progress
        self.seconds, self.children = sizes.turn_seconds(workload), {}
        names = ("loop", "precision", "xla", "default")
        self.outcomes = {row: {name: getattr(row, name) for name in names} for row in rows}
        self.ceilings, self.pipeline, self.network = {precision: [] for precision in products}, [], {}

    def run(self):
        """Measures everything; returns the workload's part of the record."""
        with contextlib.ExitStack() as stack:
            for row in self.rows:  # all import TensorFlow at the same time
                child = Child(SERVICES[row.loop], row, self.sizes, onednn=row.loop != "plain")
                self.children[row] = stack.enter_context(child)
            self._each(lambda _, child: child.wait())
            self._build()
            self.machine.call("prepare_pipeline", self.workload, self.sizes)
            for turn in range(self.sizes.turns):
                self._measure_machine(turn)
                self._each(self._measure, turn)
                self.progress.turns -= len(self.rows) - len(self.children)  # of those that failed
            self._each(self._finish)
        return self._record()

    def _each(self, function, *arguments):
        """Calls a function for each row; a failure is the row's outcome, and the others go on."""
        for row, child in list(self.children.items()):
            try:
                function(row, child, *arguments)
            except ChildFailed as error:
                self.outcomes[row]["failed"] = str(error)
                self.progress.say(str(row), f"failed: {error}")
                self.children.pop(row).kill()

    def _build(self):
        pool = ThreadPoolExecutor(self.builders)
        try:
            built = {row: pool.submit(child.call, "build", limit=LIMIT) for row, child in self.children.items()}
            self._each(lambda row, _: self._keep_facts(row, built[row].result()))
        finally:  # where this is interrupted, the children end, and the threads with them
            pool.shutdown(wait=False, cancel_futures=True)

    def _keep_facts(self, row, facts):
        names = ("network", "unit", "image_shape", "batch_size", "parameters", "forward_flops")
        self.network |= {name: facts.pop(name) for name in names if name in facts}
        self.outcomes[row] |= facts | {"turns": {measure: [] for measure in row.measures}}
        self.progress.say(str(row), f"first step, compilation included, {facts['first_step_seconds']:.1f} s")

    def _measure(self, row, child, turn):
        turns = self.outcomes[row]["turns"]
        for measure in row.measures[:: 1 if turn % 2 == 0 else -1]:  # no measure always comes after the same one
            turns[measure].append(child.call("measure", measure, self.seconds, limit=LIMIT + self.seconds))
        speeds = ", ".join(f"{measure} {values[-1]:.2f}" for measure, values in turns.items())
        self._say_turn(str(row), turn, f"{self.network.get('unit', 'images')}/s: {speeds}")

    def _measure_machine(self, turn):
        self.pipeline.append(self.machine.call("pipeline", self.seconds))
        for precision, speeds in self.ceilings.items():
            speeds.append(self.machine.call("product", precision, self.seconds))
        speeds = ", ".join(f"{precision} {speeds[-1] / 1e9:.1f}" for precision, speeds in self.ceilings.items())
        text = f"input pipeline: {self.pipeline[-1]:.1f} a second, matrix product, GFLOP/s: {speeds}"
        self._say_turn(f"{self.workload}, the machine", turn, text)

    def _say_turn(self, label, turn, text):
        self.progress.say(label, f"turn {turn + 1}/{self.sizes.turns} | {text}", taken=1)

    def _finish(self, row, child):
        self.outcomes[row]["memory"] = child.call("memory")
        if row.default:
            self.outcomes[row]["kernels"] = child.call("kernels", limit=LIMIT)

    def _record(self):
        speeds = {precision: median(turns) for precision, turns in self.ceilings.items()}
        for row in self.children:
            self.outcomes[row] |= summarise(self.outcomes[row], self.network.get("forward_flops"), speeds)
        ceilings = {
            precision: product | {"turns": self.ceilings[precision], "flops_per_second": speeds[precision]}
            for precision, product in self.products.items()
        }
        pipeline = {"turns": self.pipeline, "images_per_second": median(self.pipeline)}
        return self.network | {"pipeline": pipeline, "ceilings": ceilings, "rows": list(self.outcomes.values())}
