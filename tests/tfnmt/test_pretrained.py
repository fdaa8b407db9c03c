"""Included weights translate as those they were made from; those of another record are refused."""

import hashlib
import json

import keras
import numpy as np
import pytest

from tfnmt import pretrained
from tfnmt.model import Transformer
from tfnmt.tokenizer import Tokenizer

TOKENS = np.array([[5, 6, 7, 2]])


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A model that was trained in mixed precision, included as `tiny`."""
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path)
    tokenizer = Tokenizer.train(["two dogs"], 300)
    model = Transformer(tokenizer.size, layers=1, width=16, heads=2, feed_forward=16, dtype="mixed_bfloat16")
    model.save(tmp_path / "tiny.keras")
    (tmp_path / "tiny.tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    record = {"weights_sha256": hashlib.sha256((tmp_path / "tiny.keras").read_bytes()).hexdigest()}
    (tmp_path / "tiny.json").write_text(json.dumps(record))
    return model


def test_loaded_for_prediction(trained):
    assert pretrained.included() == ["tiny"]
    model, tokenizer = pretrained.load("tiny")
    assert model.dtype_policy.name == "float32" and {w.dtype for w in model.weights} == {"float32"}
    for loaded, weight in zip(model.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, weight)
    inputs = {"source": TOKENS, "target": TOKENS}
    np.testing.assert_allclose(model(inputs), trained(inputs), atol=0.1)
    assert tokenizer.decode(tokenizer.encode(["two dogs"])[0]) == "two dogs"


def test_weights_of_another_record(trained, tmp_path):
    (tmp_path / "tiny.json").write_text('{"weights_sha256": "0"}')
    with pytest.raises(ValueError, match="is not the file of its record"):
        pretrained.load("tiny")
    with pytest.raises(ValueError, match="Weights are included of tiny. Received: 'large'"):
        pretrained.load("large")


def test_a_tokenizer_of_another_model(trained, tmp_path):
    other = Tokenizer.train(["two dogs run on the beach", "a man eats an apple"] * 3, 290)
    assert other.size != trained.vocabulary_size
    (tmp_path / "tiny.tokenizer.json").write_text(other.to_json(), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"tokenizer\.json is not the tokenizer of .*it has {other.size} words"):
        pretrained.load("tiny")


def test_no_transformer(tmp_path):
    keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="holds no transformer"):
        pretrained.load_trained(tmp_path / "model.keras")
    (tmp_path / "model.keras").write_bytes(b"words")
    with pytest.raises(ValueError, match=r"model\.keras is no model that Keras can load"):
        pretrained.load_trained(tmp_path / "model.keras")
