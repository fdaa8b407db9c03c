"""The time left, as printed."""

import pytest

from experiments.harness.running.checkpoint import Progress
from experiments.harness.running.clock import Clock, duration

ROW = {"loss": 0.5, "val_iou": 0.25, "images_per_epoch": 100, "images": 100, "epoch": 1, "seconds": 10.0}


@pytest.mark.parametrize(("seconds", "text"), [(-3, "0m00s"), (59.6, "1m00s"), (303, "5m03s"), (3900, "1h05m")])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_time_left_of_the_model_and_of_all(capsys):
    clock = Clock(images=1000, metric="val_iou", title="val IoU")
    clock.started -= 20  # 100 images took 20 s, their validation included
    clock.epoch("mp-tr-bce seed 0", Progress(history=[ROW], best=0.25), epochs=4)
    line = capsys.readouterr().out
    assert line.startswith("mp-tr-bce seed 0 | epoch 1/4 | loss 0.5000 | val IoU 0.2500 (best 0.2500) | 10.0 images/s")
    assert line.endswith("left: 0m30s, in all 2m30s\n")  # 3 epochs of 10 s; then 600 images of 0.2 s


def test_time_left_where_the_first_epochs_cost_less(capsys):
    clock = Clock(images=400, metric="val_iou", title="val IoU")
    clock.started -= 20
    costs = [0.25, 0.25, 1.0]
    clock.epoch("mp-tr-bce seed 0", Progress(history=[ROW], best=0.25), 3, costs)
    # An epoch of 10 s and one of 40 s; then 400 - 150 images at 20 s for 25.
    assert capsys.readouterr().out.endswith("left: 0m50s, in all 4m10s\n")
    progress = Progress(history=[ROW, {**ROW, "epoch": 2}, {**ROW, "epoch": 3, "seconds": 25.0}])
    assert progress.images_per_second(costs) == 4.0 and progress.images_per_second() == 10.0


def test_one_of_several_processes_tells_its_own_time_left_which_a_pause_does_not_change(capsys):
    history = [ROW, {**ROW, "seconds": 3600.0}, ROW]
    clock = Clock(images=None, metric="val_iou", title="val IoU")
    clock.epoch("trial 3 of 9", Progress(history=history, best=0.25), epochs=5)
    clock.finish(400)
    assert capsys.readouterr().out.endswith("10.0 images/s | left: 0m20s\n")
