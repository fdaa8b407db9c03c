import importlib.util
import warnings

import keras
import numpy as np
import pytest

from tfseg.evaluate import predict_probabilities
from tfseg.export import check_export, export
from tfseg.predict import WEIGHTS, load_model, predict_photo
from tfseg.unet import build_unet


def run_saved_model(path, images):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    return loaded.serve(images).numpy()


def run_litert(path, images):
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # announces that the interpreter moves to a package of its own
        interpreter = tf.lite.Interpreter(str(path))
    inputs, outputs = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    interpreter.resize_tensor_input(inputs, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(inputs, images)
    interpreter.invoke()
    return interpreter.get_tensor(outputs)


def run_onnx(path, images):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


ONNX_MISSING = not all(importlib.util.find_spec(name) for name in ("tf2onnx", "onnxruntime"))
FORMATS = [
    pytest.param("pets", run_saved_model, id="savedmodel"),
    pytest.param("pets.tflite", run_litert, id="litert"),
    pytest.param(
        "pets.onnx",
        run_onnx,
        id="onnx",
        marks=pytest.mark.skipif(ONNX_MISSING, reason='needs the converter: pip install ".[export]"'),
    ),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, disturb):
    """Files of models trained in mixed precision: `{channels: path}`."""
    folder, paths = tmp_path_factory.mktemp("trained"), {}
    keras.utils.set_random_seed(5)  # of which no unit is dead, so that few pixels have the same probability
    keras.config.set_dtype_policy("mixed_bfloat16")
    for channels, up in ((1, "transpose"), (3, "upsample")):
        model = build_unet((32, 32, 3), channels, filters=4, depth=2, down="strided", up=up, dropout=0.2)
        disturb(model)
        paths[channels] = folder / f"{channels}.keras"
        model.save(paths[channels])
    keras.config.set_dtype_policy("float32")
    return paths


def check_same(model, path, run):
    """The exported file gives the Keras model's probabilities and masks, for a batch of any size, in float32."""
    size = model.input_shape[1]
    for count in (1, 3):
        images = np.random.default_rng(count).random((count, size, size, 3), np.float32)
        expected, found = predict_probabilities(model, images), run(path, images)
        assert found.dtype == np.float32 and found.shape == (count, size, size, model.output_shape[-1])
        np.testing.assert_allclose(found, expected, atol=1e-5)
        middle = np.median(expected, axis=(0, 1, 2))  # the threshold that leaves half of the pixels
        differ = (found > middle) != (expected > middle)
        assert np.abs(expected - middle)[differ].max(initial=0) < 1e-5 and differ.mean() < 1e-3
        assert 0.4 < (expected > middle).mean() < 0.6


@pytest.mark.parametrize("name, run", FORMATS)
def test_an_exported_model_gives_the_same_mask(tmp_path, trained, name, run):
    model = load_model(trained[3 if name == "pets" else 1])  # three classes are exported as their softmax
    export(model, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    check_same(model, tmp_path / name, run)


@pytest.mark.parametrize("name, run", FORMATS[1:])
def test_a_model_of_any_size_is_exported_for_any_size(tmp_path, disturb, name, run):
    up = "transpose" if name.endswith(".tflite") else "upsample"
    model = build_unet((None, None, 3), 2, filters=2, depth=2, up=up)
    disturb(model)
    export(model, tmp_path / name)
    for height, width in ((8, 8), (13, 6)):
        photo = np.random.default_rng(width).integers(0, 256, (height, width, 3), "uint8")
        found = run(tmp_path / name, photo[None].astype("float32") / 255)
        np.testing.assert_allclose(found[0], predict_photo(model, photo), atol=1e-5)


def test_litert_needs_a_size_to_upsample(tmp_path, disturb):
    model = build_unet((None, None, 3), 2, filters=2, depth=2, up="upsample")
    disturb(model)
    with pytest.raises(ValueError, match="can't upsample images of any size; give a size, or export to ONNX"):
        export(model, tmp_path / "any.tflite")
    for size in (8, 10):  # the second is padded to 12
        export(model, tmp_path / f"{size}.tflite", size=size)
        photo = np.random.default_rng(0).integers(0, 256, (size, size, 3), "uint8")
        found = run_litert(tmp_path / f"{size}.tflite", photo[None].astype("float32") / 255)
        np.testing.assert_allclose(found[0], predict_photo(model, photo), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name, run", FORMATS[-1:])
def test_the_included_weights_exported_give_the_same_mask(tmp_path, name, run):
    model = load_model(WEIGHTS)
    export(model, tmp_path / "new folder" / name)
    check_same(model, tmp_path / "new folder" / name, run)


@pytest.mark.parametrize("name", ["pets.pt", "pets.TFLITE"])
def test_an_unknown_suffix_is_an_error(tmp_path, name):
    with pytest.raises(ValueError, match=rf"Name a file .tflite .* Received: .*{name}$"):
        check_export(tmp_path / name)


@pytest.mark.parametrize("name", ["pets", "pets.tflite"])
def test_what_exists_is_never_replaced(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=f"{name} exists already; delete it, or export to another path"):
        export(None, tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"


def test_a_missing_converter_is_named_with_the_command_that_brings_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'export to ONNX needs tf2onnx; run: pip install "\.\[export\]"'):
        check_export(tmp_path / "pets.onnx")
    check_export(tmp_path / "pets.tflite")


def test_another_backend_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="export needs KERAS_BACKEND=tensorflow. Received: jax"):
        export(None, tmp_path / "pets")


def test_a_failed_export_leaves_no_file_behind(tmp_path, trained, monkeypatch):
    """Nor a folder, as the tests of `experiments/segment.py` have it."""

    def fail(model, path, **_):
        path.write_text("half")
        raise RuntimeError("disk")

    monkeypatch.setattr(keras.Model, "export", fail)
    with pytest.raises(RuntimeError, match="disk"):
        export(load_model(trained[1]), tmp_path / "pets.tflite")
    assert list(tmp_path.iterdir()) == []
