import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from experiments.harness.running import runs
from experiments.harness.running.errors import UserError, run_main
from tests.experiments.sessions import ROOT

SHARED = {"image_size": 32, "data": {"fingerprint": {"train": {"size": 72, "sha256": "ab"}}}}
MODELS = {("mp-tr-bce", 0): {"loss": "bce", "epochs": 2}, ("mp-tr-dice", 0): {"loss": "dice", "epochs": 2}}


def content(folder):
    """Every file below a folder with its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Atomic files


@pytest.mark.parametrize(
    "data, expected",
    [("Grüße\n", "Grüße\n".encode()), (b"\x00\xff", b"\x00\xff"), (lambda path: path.write_text("new"), b"new")],
    ids=["str", "bytes", "function"],
)
def test_write_atomic_creates_and_replaces(tmp_path, data, expected):
    path = tmp_path / "a" / "b" / "file.json"
    for _ in range(2):
        runs.write_atomic(path, data)
        assert content(tmp_path) == {"a/b/file.json": expected}
        path.write_bytes(b"old")
    runs.write_atomic(str(path), data)
    assert path.read_bytes() == expected


def test_write_atomic_replaces_the_file_in_one_piece(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("old")
    with open(path) as reader:  # opened before, it goes on to see the old content, whole
        runs.write_atomic(path, "new")
        assert (reader.read(), path.read_text()) == ("old", "new")


def test_write_atomic_keeps_the_old_content_when_writing_fails(tmp_path):
    path = tmp_path / "file.npz"
    path.write_bytes(b"old")

    def tear(temporary):
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.write_atomic(path, tear)
    assert content(tmp_path) == {"file.npz": b"old"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("data", ["text", lambda path: np.savez(path, a=np.zeros(100_000))], ids=["text", "savez"])
def test_full_disk_keeps_the_old_content_and_is_one_line(tmp_path, capsys, data):
    path = tmp_path / "file.npz"
    path.write_bytes(b"old")
    (tmp_path / f".file.{os.getpid()}.tmp.npz").symlink_to("/dev/full")  # writing to it fails as on a full disk
    with pytest.raises(OSError) as raised:
        runs.write_atomic(path, data)
    assert raised.value.errno == errno.ENOSPC
    assert content(tmp_path) == {"file.npz": b"old"} and list(tmp_path.iterdir()) == [path]

    (tmp_path / f".file.{os.getpid()}.tmp.npz").symlink_to("/dev/full")
    with pytest.raises(SystemExit) as exit_:
        run_main(lambda: runs.write_atomic(path, data))
    assert exit_.value.code == 2
    assert capsys.readouterr().err == "error: disk is full; free some space, then run the same command again\n"


@pytest.mark.parametrize("text", ['{"a": 1', "", None, b"\xff\xfe"], ids=["torn", "empty", "missing", "binary"])
def test_unreadable_json_is_an_error_that_names_the_file(tmp_path, text):
    path = tmp_path / "record.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=f"Can't read {path} .*Delete or restore it"):
        runs.read_json(path)


def test_remove_temporary_takes_only_what_was_left_behind(tmp_path):
    seed = tmp_path / "mp-tr-bce" / "seed-0"
    seed.mkdir(parents=True)
    for name in (".checkpoint.123.tmp.npz", ".model.9.tmp.keras", "checkpoint.npz", "notes.tmp.txt"):
        (seed / name).write_text(name)
    (tmp_path / ".comparison.4.tmp.png").write_text("")
    runs.remove_temporary(tmp_path)
    assert sorted(content(tmp_path)) == ["mp-tr-bce/seed-0/checkpoint.npz", "mp-tr-bce/seed-0/notes.tmp.txt"]


# Run folders


def choose(parent, is_plain=True, shared=SHARED, models=MODELS):
    return runs.choose_run_folder(parent, "smoke", is_plain, shared, models)


def begin(folder, shared=SHARED, models=MODELS):
    for key, model in models.items():
        runs.write_json(runs.seed_folder(folder, *key) / runs.CONFIG, {"shared": shared, "model": model})


def finish(folder, key=("mp-tr-bce", 0), weights=True):
    runs.write_json(runs.seed_folder(folder, *key) / runs.RECORD, {"variant": key[0]})
    if weights:
        (runs.seed_folder(folder, *key) / runs.WEIGHTS).write_bytes(b"weights")


def test_the_same_run_goes_on_in_its_folder(tmp_path):
    assert choose(tmp_path) == (tmp_path / "smoke", []) and content(tmp_path) == {}  # choosing writes nothing
    begin(tmp_path / "smoke")
    finish(tmp_path / "smoke")
    before = content(tmp_path)
    assert choose(tmp_path) == (tmp_path / "smoke", [])
    further = {**MODELS, ("mp-tr-bce", 1): {"loss": "bce", "epochs": 2}}
    assert choose(tmp_path, models=further) == (tmp_path / "smoke", [])  # another seed joins the run
    assert choose(tmp_path, models={("mp-tr-dice", 0): MODELS["mp-tr-dice", 0]}) == (tmp_path / "smoke", [])
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    "shared, models",
    [
        ({**SHARED, "image_size": 64}, MODELS),
        ({**SHARED, "data": {"fingerprint": {"train": {"size": 72, "sha256": "cd"}}}}, MODELS),
        (SHARED, {("mp-tr-bce", 0): {"loss": "bce", "epochs": 3}}),
    ],
    ids=["options", "data", "model"],
)
def test_another_run_gets_a_folder_of_its_own(tmp_path, shared, models):
    begin(tmp_path / "smoke")
    before = content(tmp_path)
    folder, notices = choose(tmp_path, shared=shared, models=models)
    assert folder.parent == tmp_path and folder.name.startswith("smoke-") and notices == []
    begin(folder, shared, models)
    assert choose(tmp_path, shared=shared, models=models) == (folder, [])
    assert choose(tmp_path) == (tmp_path / "smoke", [])
    after = content(tmp_path)
    assert {name: after[name] for name in before} == before


def test_a_run_with_options_is_tagged_by_what_its_models_share(tmp_path):
    folder, _ = choose(tmp_path, is_plain=False)
    assert folder.name.startswith("smoke-") and choose(tmp_path, is_plain=False)[0] == folder
    other, _ = choose(tmp_path, is_plain=False, shared={**SHARED, "image_size": 64})
    assert other.name.startswith("smoke-") and other != folder

    begin(folder, {"other": "run of the same tag"})
    assert choose(tmp_path, is_plain=False) == (tmp_path / f"{folder.name}-2", [])


def test_records_without_weights_are_passed_over_and_the_new_folder_is_kept(tmp_path):
    begin(tmp_path / "smoke")
    finish(tmp_path / "smoke", weights=False)
    before = content(tmp_path)
    folder, notices = choose(tmp_path)
    assert folder.parent == tmp_path and folder.name.startswith("smoke-")
    assert len(notices) == 1 and str(tmp_path / "smoke") in notices[0] and "records without weights" in notices[0]
    assert choose(tmp_path) == (folder, notices)

    begin(folder)
    finish(folder)
    assert choose(tmp_path) == (folder, notices)  # goes on there
    assert runs.is_finished(runs.seed_folder(folder, "mp-tr-bce", 0))
    assert not runs.is_finished(runs.seed_folder(folder, "mp-tr-dice", 0))
    assert not runs.is_finished(runs.seed_folder(tmp_path / "smoke", "mp-tr-bce", 0))

    (runs.seed_folder(folder, "mp-tr-bce", 0) / runs.WEIGHTS).unlink()
    third, notices = choose(tmp_path)
    assert third == tmp_path / f"{folder.name}-2" and len(notices) == 2
    assert content(tmp_path / "smoke") == {name.removeprefix("smoke/"): text for name, text in before.items()}


# Writing and locking

HOLD = """
import sys, time
from experiments.harness.running.runs import lock
with lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_held_by_one_process_until_it_dies(tmp_path):
    folder = tmp_path / "run"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"{folder} is in use by another run"), runs.lock(folder):
            pytest.fail("entered a folder that another process holds")
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with runs.lock(folder):
        assert list(content(folder)) == [".lock"]
    with runs.lock(folder):  # let go by the block above
        pass


def test_who_waits_gets_the_folder_when_it_is_let_go(tmp_path, capsys):
    got = threading.Event()

    def wait():
        with runs.lock(tmp_path, wait=True):
            got.set()

    with runs.lock(tmp_path):
        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        assert not got.wait(0.2)
    waiting.join(10)
    assert got.is_set() and "waiting for it" in capsys.readouterr().out


@pytest.mark.parametrize("function", [runs.check_writable, lambda folder: runs.lock(folder).__enter__()])
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, function):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"Can't write to {tmp_path}/file/results: Not a directory.*--results"):
        function(tmp_path / "file" / "results")


# What a record says of its run


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--preset", "smoke", "--data-dir", "/home/me/data"], " --preset smoke"),
        (["--data-dir=/home/me/data", "--preset=smoke"], " --preset=smoke"),
        (["--results", "elsewhere", "--force", "--seeds", "0", "1"], " --seeds 0 1"),
        (["--variants", "a b"], " --variants 'a b'"),
    ],
)
def test_command_line_leaves_out_where_things_lie(monkeypatch, words, expected):
    monkeypatch.setattr(sys, "argv", ["/home/me/experiments/run_unet_matrix.py", *words])
    assert runs.command_line() == "python experiments/run_unet_matrix.py" + expected
