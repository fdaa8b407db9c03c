"""Lets the settings of a workload take turns, so that a busy moment of the machine hits all alike.

Tools such as pyperf measure one program after the other, and lay a slow minute to one of them.
"""

import time
from statistics import median

from experiments.benchmarks.plan import make_rows, workloads
from experiments.benchmarks.processes import Child, ChildFailed
from experiments.benchmarks.ratios import summarise
from experiments.harness.running.clock import duration

SLOW = 2  # times its seconds that a turn's single step takes: what is slower has one turn
SERVICES = {
    "project": "experiments.benchmarks.measurements:RowService",
    "torch": "experiments.benchmarks.torch_peer:TorchService",
}
"""What measures a row, by its loop."""
LIMIT = 900  # seconds for building or for a turn, after which a setting is given up: XLA can take long on a CPU


class Progress:
    """Prints what is measured, and how long the rest will take at the pace so far.

    Args:
        turns: how many there are to take.
    """

    def __init__(self, turns):
        self.turns, self.taken, self.started = turns, 0, time.perf_counter()

    def say(self, label, text, taken=0, given_up=0):
        """Prints a line; so many turns were taken, or won't be."""
        self.taken, self.turns = self.taken + taken, self.turns - given_up
        if self.taken:
            pace = (time.perf_counter() - self.started) / self.taken
            text += f" | left: {duration(pace * (self.turns - self.taken))}"
        print(f"{label} | {text}", flush=True)


def count_turns(sizes, machine, precisions):
    """Turns that the settings take which `sizes`, a `Sizes`, asks for; in each the machine itself takes one, too."""
    rows = [make_rows(workload, sizes, precisions, machine) for workload in workloads(sizes)]
    return sizes.turns * sum(1 + len(each) for each in rows)


class Turns:
    """One workload's settings, each in a process of its own, and the machine.

    Args:
        workload: a value in `benchmarks.plan.WORKLOADS`.
        sizes: a `benchmarks.plan.Sizes`.
        rows: `Row`s of the workload.
        products: the dictionary `MachineService.prepare_product` returned, by precision.
        machine: a `Child` that holds a `MachineService`.
        progress: a `Progress`.
    """

    def __init__(self, workload, sizes, rows, products, machine, progress):
        self.workload, self.sizes, self.rows = workload, sizes, rows
        self.seconds, self.slow = sizes.turn_seconds(workload), set()
        self.products, self.machine, self.progress = products, machine, progress
        self.left = dict.fromkeys(rows, sizes.turns)
        names = ("loop", "precision", "xla", "default")
        self.outcomes = {row: {name: getattr(row, name) for name in names} for row in rows}
        self.ceilings, self.pipeline, self.network = {precision: [] for precision in products}, [], {}

    def run(self):
        """Measures everything; returns the workload's part of the record."""
        children = {}
        try:
            for row in self.rows:  # all import TensorFlow at the same time
                children[row] = Child(SERVICES.get(row.loop, SERVICES["project"]), row, self.sizes)
            for row, child in children.items():
                self._attempt(row, lambda _, child: child.wait(), child)
            for row, child in children.items():
                self._attempt(row, self._build, child)
            self.machine.call("prepare_pipeline", self.workload, self.sizes)
            self.progress.say(f"{self.workload}, the machine", "ready")
            for turn in range(self.sizes.turns):
                self._measure_machine(turn)
                for row, child in children.items():
                    self._attempt(row, self._measure, child, turn)
            for row, child in children.items():
                self._attempt(row, self._finish, child)
        finally:
            for child in children.values():
                child.kill()
        return self._record()

    def _attempt(self, row, function, *arguments):
        """Calls a function for a row; a failure is the row's outcome, and the others go on."""
        if "failed" in self.outcomes[row]:
            return
        try:
            function(row, *arguments)
        except ChildFailed as error:
            self.outcomes[row]["failed"] = str(error)
            self.progress.say(str(row), f"failed: {error}", given_up=self.left[row])

    def _build(self, row, child):
        facts = child.call("build", limit=LIMIT)
        names = ("network", "unit", "image_shape", "batch_size", "parameters", "forward_flops")
        self.network |= {name: facts.pop(name) for name in names if name in facts}
        self.outcomes[row] |= facts | {"turns": {measure: [] for measure in row.measures}}
        self.progress.say(str(row), f"first step, compilation included, {facts['first_step_seconds']:.1f} s")

    def _measure(self, row, child, turn):
        turns, seconds = self.outcomes[row]["turns"], dict.fromkeys(row.measures, 0.0)
        for measure in row.measures[:: 1 if turn % 2 == 0 else -1]:  # no measure always comes after the same one
            if (row, measure) in self.slow:
                continue
            started = time.perf_counter()
            turns[measure].append(child.call("measure", measure, self.seconds, limit=LIMIT + self.seconds))
            seconds[measure] = time.perf_counter() - started
            if seconds[measure] > SLOW * self.seconds:
                self.slow.add((row, measure))
        speeds = ", ".join(f"{measure} {turns[measure][-1]:.2f}" for measure in row.measures if seconds[measure])
        speeds = speeds or "as before, too slow for another turn"
        text = f"turn {turn + 1}/{self.sizes.turns} | {self.network['unit']}/s: {speeds}"
        self.left[row] -= 1
        self.progress.say(str(row), text, taken=1)

    def _measure_machine(self, turn):
        self.pipeline.append(self.machine.call("pipeline", self.workload, self.seconds))
        for precision, speeds in self.ceilings.items():
            speeds.append(self.machine.call("product", precision, self.seconds))
        speeds = ", ".join(f"{precision} {speeds[-1] / 1e9:.1f}" for precision, speeds in self.ceilings.items())
        text = f"turn {turn + 1}/{self.sizes.turns} | input pipeline: {self.pipeline[-1]:.1f} a second"
        text += f", matrix product, GFLOP/s: {speeds}"
        self.progress.say(f"{self.workload}, the machine", text, taken=1)

    def _finish(self, row, child):
        self.outcomes[row]["memory"] = child.call("memory")

    def _record(self):
        speeds = {precision: median(turns) for precision, turns in self.ceilings.items()}
        for outcome in self.outcomes.values():
            if "failed" not in outcome:
                outcome |= summarise(outcome | self.network, speeds)
        ceilings = {
            precision: product | {"turns": self.ceilings[precision], "flops_per_second": speeds[precision]}
            for precision, product in self.products.items()
        }
        pipeline = {"turns": self.pipeline, "images_per_second": median(self.pipeline)}
        return self.network | {"pipeline": pipeline, "ceilings": ceilings, "rows": list(self.outcomes.values())}
