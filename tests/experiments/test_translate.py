"""`translate.py`: sentences, files and standard input; a line for every mistake."""

import io
import sys

import pytest

from experiments import translate
from tests.experiments.sessions import ROOT, quick, run_here


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A model that has learned nothing, with its tokenizer."""
    import keras

    from tfnmt.model import Transformer
    from tfnmt.tokenizer import Tokenizer

    keras.utils.set_random_seed(0)
    folder, tokenizer = tmp_path_factory.mktemp("weights"), Tokenizer.train(["two dogs run", "deux chiens"], 300)
    (folder / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    Transformer(tokenizer.size, layers=1, width=16, heads=2, feed_forward=16).save(folder / "model.keras")
    return folder / "model.keras"


def feed(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


def test_a_line_for_each_line(tmp_path, monkeypatch, capfd, weights):
    (tmp_path / "letter.txt").write_text("Two dogs.\n\n🙂 Ελληνικά\n", encoding="utf-8")
    options = ["Two dogs run.", tmp_path / "letter.txt", "word " * 300, "--weights", weights, "--beam", "1"]
    status, out, err = run_here(monkeypatch, capfd, translate, *options)
    assert status == 0 and err == "Starting TensorFlow ...\n"
    assert out.count("\n") == 5 and out.split("\n")[2] == ""
    feed(monkeypatch, b"Two dogs run.\r\nTwo dogs run.\n")
    status, again, _ = run_here(monkeypatch, capfd, translate, "--weights", weights, "--beam", "1")
    assert status == 0 and again == 2 * f"{out.splitlines()[0]}\n"


def test_what_a_terminal_lacks_is_replaced(monkeypatch, capfd, weights):
    from tfnmt.translate import Translator

    monkeypatch.setattr(Translator, "translate", lambda self, texts: ["Où est le cœur\u202f?"])
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", write_through=True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        assert run_here(patch, capfd, translate, "Where?", "--weights", weights)[0] == 0
    assert terminal.buffer.getvalue().decode("latin-1") == "Où est le c?ur ?\n"


def test_bad_weights(tmp_path, monkeypatch, capfd, weights):
    (tmp_path / "model.keras").write_bytes(weights.read_bytes()[:1000])
    status, _, err = run_here(monkeypatch, capfd, translate, "Hello.", "--weights", tmp_path / "model.keras")
    assert status == 2 and "can't load" in err and "Traceback" not in err


def test_binary_input(tmp_path, monkeypatch, capfd):
    (tmp_path / "photo.png").write_bytes(b"\xff\xfe\x00")
    status, _, err = run_here(monkeypatch, capfd, translate, tmp_path / "photo.png")
    assert status == 2 and err.startswith(f"error: can't read {tmp_path / 'photo.png'}: ") and err.count("\n") == 1
    feed(monkeypatch, b"\xff\xfe\x00")
    status, _, err = run_here(monkeypatch, capfd, translate)
    assert status == 2 and err.startswith("error: standard input is not UTF-8 text") and err.count("\n") == 1


@pytest.mark.parametrize(
    "options, message",
    [
        (["", " "], "there is no text to translate"),
        (["leter.txt"], "leter.txt does not exist; name a text file"),
        (["/"], "/ is a folder; name a text file"),
        (["caf\udce9"], r"'caf\udce9' is not UTF-8 text"),
    ],
)
def test_mistakes_are_answered_in_a_line(monkeypatch, capfd, options, message):
    status, _, err = run_here(monkeypatch, capfd, translate, *options)
    assert status == 2 and message in err and err.count("\n") == 1


def test_a_mistake_is_answered_without_tensorflow(tmp_path):
    done = quick(tmp_path, ROOT / "experiments" / "translate.py", "Hello.", "--weights", "nowhere.keras")
    assert done.returncode == 2 and "nowhere.keras does not exist" in done.stderr
