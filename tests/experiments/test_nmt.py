"""`nmt.py`: which text it takes, what it refuses, and a whole run with its record."""

import json
import math

import keras
import pytest

from experiments import nmt
from experiments.harness.running.errors import UserError
from experiments.nmts import sources
from experiments.nmts.data import ParallelText
from experiments.nmts.recipes import MODELS, PRESETS, Recipe, make_recipe
from tests.experiments.sessions import ROOT, finish_here, quick, read, store
from tfnmt.tokenizer import Tokenizer
from tfnmt.translate import Translator

SCRIPT = ROOT / "experiments" / "nmt.py"


def write_pairs(folder, name, count, first=0):
    """Aligned files whose sentences are numbers."""
    lines = {"en": [f"number {i} here" for i in range(first, first + count)]}
    lines["fr"] = [f"nombre {i} ici" for i in range(first, first + count)]
    for language, sentences in lines.items():
        path = folder / f"{name}.{language}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(sentences) + "\n", encoding="utf-8")


# Sources


def test_files_of_one_name_are_found(tmp_path):
    assert sources.find("pairs", tmp_path) is None and sources.find("../x", tmp_path) is None
    (tmp_path / "tatoeba_en_fr.tsv.gz").touch()
    assert sources.find("tatoeba", tmp_path) == {"all": (tmp_path / "tatoeba_en_fr.tsv.gz",)}
    write_pairs(tmp_path, "pairs", 1)
    assert sources.find("pairs", tmp_path) == {"all": (tmp_path / "pairs.en", tmp_path / "pairs.fr")}
    for name in ("train", "val", "test_2016_flickr"):
        write_pairs(tmp_path / "multi30k", name, 1)
    assert sources.find("multi30k", tmp_path)["test"][1] == tmp_path / "multi30k" / "test_2016_flickr.fr"
    assert sources.choose("auto", tmp_path).name == "multi30k"
    for name in ("train", "val", "test"):
        write_pairs(tmp_path / "mine", name, 1)
    assert sources.find("mine", tmp_path)["test"][0] == tmp_path / "mine" / "test.en"


def test_without_files_numbers_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSLATION_DATA_DIR", str(tmp_path))
    choice = sources.choose("auto")
    assert (choice.name, choice.source) == ("numbers", "builtin") and "--data-dir" in choice.notice
    with pytest.raises(UserError, match="holds no tatoeba; name the folder"):
        sources.choose("tatoeba")
    for name in ("train.en", "train.fr", "val.en", "test.en", "test.fr"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / name).write_text("One.\n")
    with pytest.raises(UserError, match=r"holds no mine \(its folder mine lacks val.en with val.fr\); name the folder"):
        sources.choose("mine")
    with pytest.raises(UserError, match="is not a folder"):
        sources.choose("auto", tmp_path / "nowhere")


def prepare(folder, pairs, nested=True, languages=("en", "fr")):
    """A TFDS dataset `books` of `(English, French)` pairs, nested as Hugging Face's `opus_books` is or not."""
    import tensorflow_datasets as tfds

    features = tfds.features.Translation(languages)
    rows = [dict(zip(languages, pair, strict=True)) for pair in pairs]
    if nested:
        features, rows = {"translation": features}, [{"translation": row} for row in rows]
    store(folder, "books", features, {"train": rows})


@pytest.mark.parametrize("nested", [True, False])
def test_what_tfds_has_prepared_is_read(tmp_path, monkeypatch, nested):
    prepare(tmp_path, [(f"number {i} here", f"nombre  {i} ici") for i in range(200)] + [("nothing", " ")], nested)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    choice = sources.choose("books")
    assert (choice.name, choice.source) == ("books", "prepared")
    data = ParallelText(choice, "smoke", Recipe(vocabulary=300))
    assert data.sizes == {"train": 160, "validation": 20, "test": 20} and data.record()["left_out"]["empty"] == 1
    test = data.corpora["test"]
    assert [pair for pair in zip(test.english, test.french, strict=True)] == [
        (sentence, sentence.replace("number", "nombre").replace("here", "ici")) for sentence in test.english
    ]


def test_auto_passes_over_what_it_cannot_choose_between(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    for config in ("de-en", "en-fr"):
        folder = tmp_path / "opus_books" / config / "1.0.0"
        folder.mkdir(parents=True)
        for name in ("dataset_info.json", "features.json"):
            (folder / name).write_text("{}")
    choice = sources.choose("auto")
    assert choice.name == "numbers" and "(opus_books is prepared as de-en, en-fr; say which" in choice.notice
    assert sources.choose("opus_books/en-fr").source == "prepared"
    with pytest.raises(UserError, match="opus_books is prepared as de-en, en-fr; say which"):
        sources.choose("opus_books")


def test_a_tfds_dataset_of_other_languages_is_refused(tmp_path):
    prepare(tmp_path, [("number", "Zahl")], languages=("en", "de"))
    with pytest.raises(UserError, match="books has de, en; it needs en and fr"):
        sources.from_tfds(sources.choose("books", tmp_path))


# Recipes


def test_the_assignments_network():
    recipe = MODELS["multi30k"]["assignment"]
    assert (recipe.layers, recipe.width, recipe.heads, recipe.feed_forward) == (6, 512, 8, 128)
    for dataset, models in MODELS.items():
        for model in models:
            for preset in PRESETS:
                assert make_recipe(dataset, model, preset, {"beam": 3}).beam == 3


@pytest.mark.parametrize("field, value", [("norm", "none"), ("heads", 7), ("dropout", 1.0), ("longest", 151),
                                          ("vocabulary", 100), ("warmup", 0.0), ("learning_rate", -1.0)])  # fmt: skip
def test_bad_recipes(field, value):
    with pytest.raises(ValueError, match=f"{field if field != 'heads' else 'width'} must .*Received"):
        Recipe(**{field: value})


# The command line


@pytest.mark.parametrize(
    "options, message",
    [
        (["--data", "numbers", "--model", "large"], "--model must be one of small or all for numbers. Received: large"),
        (["--data", "numbers", "--heads", "3"], "small: width must be even and divisible by heads."),
    ],
)
def test_mistakes_are_answered_in_a_line(tmp_path, options, message):
    done = quick(tmp_path, SCRIPT, *options)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert message in done.stderr and done.stdout == ""


# A whole run


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nmt")
    options = ["--data", "numbers", "--preset", "smoke", "--epochs", "1", "--precision", "float32"]
    finish_here(nmt, *options, "--results", folder / "results")
    return folder / "results"


def test_record(results):
    (path,) = results.rglob("record.json")
    assert path.relative_to(results).parts[:2] == ("nmt", "numbers") and path.parent.name == "seed-0"
    record = json.loads(path.read_text())
    assert record["test"]["sentences"] == 40 and 0 <= record["test"]["bleu"] <= 100 and record["test"]["chrf"] >= 0
    assert record["training_loss"] > record["fit"]["least_loss"] and math.isfinite(record["training_cross_entropy"])
    assert record["last_training_loss"] == record["training_loss"]  # of the only epoch
    assert record["sentences_seen"] == 400 and record["data"]["train"] == 400 and record["data"]["vocabulary"] == 300
    assert record["fit"]["perplexity"] == pytest.approx(math.exp(record["fit"]["cross_entropy"]))
    assert record["test"]["perplexity_per_character"] < record["test"]["perplexity"]
    assert len((path.parent / "translations.txt").read_text(encoding="utf-8").splitlines()) == 40
    assert {name.name for name in path.parent.glob("*.png")} == {"attention.png"}
    assert (path.parents[2] / "curves.png").is_file() and "nmt" in (results / "summary.md").read_text()


def test_what_was_saved_translates(results):
    (path,) = results.rglob("model.keras")
    tokenizer = Tokenizer.load(path.parent / "tokenizer.json")
    translator = Translator(keras.models.load_model(path), tokenizer, beam=1)
    assert isinstance(translator.translate(["twenty-one"])[0], str)
    assert read(path.parent)["parameters"] == translator.search.model.count_params()


def test_a_corpus_that_does_not_come_split(tmp_path):
    write_pairs(tmp_path, "pairs", 100)
    data = ParallelText(sources.choose("pairs", tmp_path), "smoke", make_recipe("pairs", "small", "smoke", {}))
    assert data.sizes == {"train": 80, "validation": 10, "test": 10}  # a tenth each of a small corpus
    assert set(data.identity()) == {"name", *data.sizes, "fingerprint", "vocabulary"}  # nothing of a model's batches
    with pytest.raises(UserError, match="no training pair of pairs is short enough"):
        ParallelText(sources.choose("pairs", tmp_path), "smoke", make_recipe("pairs", "small", "smoke", {"longest": 1}))
    (tmp_path / "pairs.fr").write_text("un\n")
    with pytest.raises(UserError, match="must have equally many lines. Received: 100 and 1"):
        ParallelText(sources.choose("pairs", tmp_path), "smoke", make_recipe("pairs", "small", "smoke", {}))
