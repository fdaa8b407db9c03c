"""Progress lines with the time left, for one model and for all models of a command.

Lines instead of bars, since most runs are read in a log.
"""

import statistics
import sys
import time

QUIET_SECONDS = 60  # between lines within an epoch, where the output is no terminal


class Clock:
    """Prints how far the training of several models is.

    Args:
        images: training images of all models that are left to train, each by its cost; None where nobody knows, as in
            one of several processes that share the work.
        metric: key of the validation metric in the history, and `title`, what to call it.
        unit: what the images are, where they are none.
    """

    def __init__(self, images, metric, title, unit="images"):
        self.work_left, self.metric, self.title, self.unit = images, metric, title, unit
        self.work_done, self.started, self.printed = 0, time.perf_counter(), time.perf_counter()

    def step(self, label, epoch, step, steps):
        """Shows a step within an epoch: in place on a terminal, else a line a minute."""
        now, terminal = time.perf_counter(), sys.stdout.isatty()
        if now - self.printed < (0.5 if terminal else QUIET_SECONDS):
            return
        self.printed = now
        print(f"{label} | epoch {epoch} | step {step}/{steps}", end="\r" if terminal else "\n", flush=True)

    def epoch(self, label, progress, epochs, costs=None):
        """Prints a line for the last finished epoch, of `epochs` in all.

        `costs` are what an image costs in each of them, relative to one another; by default, the same.
        """
        row, done = progress.history[-1], progress.epochs_done
        costs = costs or [1.0] * epochs
        self.printed = time.perf_counter()
        self.work_done += row["images_per_epoch"] * costs[done - 1]
        recent = [row["seconds"] / costs[row["epoch"] - 1] for row in progress.history[-5:]]
        usual = statistics.median(recent)  # whatever paused one of them
        of_model = sum(costs[done:]) * usual
        of_all = ""
        if self.work_left is not None:
            pace = (self.printed - self.started) / self.work_done
            rest = self.work_left - sum(costs) * row["images_per_epoch"]
            of_all = f", in all {duration(of_model + rest * pace)}"
        print(
            f"{label} | epoch {row['epoch']}/{epochs} | loss {row['loss']:.4f} | {self.title} {row[self.metric]:.4f} "
            f"(best {progress.best:.4f}) | {row['images_per_epoch'] / row['seconds']:.1f} {self.unit}/s | "
            f"left: {duration(of_model)}{of_all}",
            flush=True,
        )

    def callbacks(self, label, epochs, costs=None):
        """What `harness.running.training.train` calls with its progress, as keyword arguments."""
        return {
            "on_epoch": lambda progress: self.epoch(label, progress, epochs, costs),
            "on_step": lambda epoch, step, steps: self.step(label, f"{epoch}/{epochs}", step, steps),
        }

    def finish(self, images):
        """Takes a finished model's images, each by its cost, off what is left."""
        if self.work_left is not None:
            self.work_left -= images


def duration(seconds):
    """`"1h05m"`, `"5m03s"`."""
    minutes, seconds = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s"
