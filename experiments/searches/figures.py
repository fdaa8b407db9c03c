"""Pictures of a search: the score over its trials, and each hyperparameter against the score."""

from pathlib import Path

import numpy as np

from experiments.harness.reporting.figures import COLOURS, new_figure, save_png

TRIALS, HYPERPARAMETERS = "trials.png", "hyperparameters.png"


def draw_pictures(record, folder):
    """Draws `trials.png` and `hyperparameters.png` into a search's folder.

    Returns the paths written; none where no trial ended well.
    """
    good = [trial for trial in record["trials"] if trial["status"] == "completed"]
    if not good:
        return []
    good = sorted(good, key=lambda trial: trial["trial"])
    paths = [Path(folder) / TRIALS, Path(folder) / HYPERPARAMETERS]
    _draw_trials(record, good, paths[0])
    _draw_hyperparameters(record, good, paths[1])
    return paths


def best_so_far(scores, direction):
    """The best of the first score, of the first two, and so on."""
    return (np.maximum if direction == "max" else np.minimum).accumulate(np.asarray(scores, float))


def _score_title(record):
    objective = record["config"]["objective"]
    better = "higher" if objective["direction"] == "max" else "lower"
    return f"{objective['title'].replace('val ', 'validation ')} ({better} is better)"


def _scatter(axis, good, xs, direction):
    """One dot a trial, a colour a number of epochs, the longest on top; a ring around the best."""
    lengths = sorted({trial["epochs"] for trial in good})
    for index, epochs in enumerate(lengths):
        points = [(x, trial["score"]) for x, trial in zip(xs, good, strict=True) if trial["epochs"] == epochs]
        colour = COLOURS[(len(lengths) - 1 - index) % len(COLOURS)]  # the longest have the same one in all pictures
        label = f"{epochs} epoch{'s' * (epochs != 1)}"
        axis.scatter(*zip(*points, strict=True), s=22, color=colour, alpha=0.8, linewidths=0, label=label, zorder=3)
    scores = [trial["score"] for trial in good]
    best = int(np.argmax(scores) if direction == "max" else np.argmin(scores))
    ring = {"s": 70, "facecolors": "none", "edgecolors": "0.2", "linewidths": 1, "label": "best", "zorder": 4}
    axis.scatter(xs[best], scores[best], **ring)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_trials(record, good, path):
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(6.8, 3.6, f"{record['run']}: score of each trial")
    axis = figure.subplots()
    numbers, direction = [trial["trial"] for trial in good], record["config"]["objective"]["direction"]
    _scatter(axis, good, numbers, direction)
    best = best_so_far([trial["score"] for trial in good], direction)
    axis.step(numbers, best, where="post", color="0.6", linewidth=1, label="best so far")
    failed = [trial["trial"] for trial in record["trials"] if trial["status"] != "completed"]
    if failed:
        at_the_foot = axis.get_xaxis_transform()
        axis.scatter(failed, [0.02] * len(failed), marker="x", s=24, color="0.3", transform=at_the_foot, label="failed")
    axis.set(xlabel="trial", ylabel=_score_title(record))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    save_png(figure, path)


def _draw_hyperparameters(record, good, path):
    space = record["config"]["space"]
    columns = min(3, len(space))
    rows = -(-len(space) // columns)
    figure = new_figure(2.9 * columns + 1.1, 2.4 * rows + 0.4, f"{record['run']}: score against each hyperparameter")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis, (name, what) in zip(grid.flat, space.items(), strict=False):
        _panel(axis, good, name, what, record["config"]["objective"]["direction"])
    for axis in list(grid.flat)[len(space) :]:
        axis.set_axis_off()
    figure.supylabel(_score_title(record), fontsize=10)
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
    save_png(figure, path)


def _panel(axis, good, name, what, direction):
    """The score against one hyperparameter: choices side by side, each spread out a little; numbers on their scale."""
    values = [trial["hyperparameters"][name] for trial in good]
    if "choices" in what:
        labels = [_choice(value) for value in what["choices"]]
        spread = np.random.default_rng(0).uniform(-0.22, 0.22, len(values))
        places = [labels.index(_choice(value)) + shift for value, shift in zip(values, spread, strict=True)]
        _scatter(axis, good, places, direction)
        axis.set_xticks(range(len(labels)), labels)
        axis.set_xlim(-0.5, len(labels) - 0.5)
    else:
        _scatter(axis, good, values, direction)
        _scale(axis, what["min"], what["max"], what["log"])
    axis.set_title(name, loc="left", fontsize=10)
    axis.tick_params(labelsize=8)


def _scale(axis, low, high, log):
    """The whole range of a number; on a logarithmic scale with ticks at 1, 3, 10, 30 and so on."""
    from matplotlib import ticker

    if log:
        axis.set_xscale("log")
        margin = (high / low) ** 0.05
        axis.set_xlim(low / margin, high * margin)
        axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 3)))
        axis.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_locator(ticker.NullLocator())
    else:
        margin = 0.05 * (high - low)
        axis.set_xlim(low - margin, high + margin)
        axis.xaxis.set_major_locator(ticker.MaxNLocator(5))


def _choice(value):
    return "none" if value is None else str(value)
