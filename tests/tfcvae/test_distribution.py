"""Two logical CPU devices; they have to be set up before TensorFlow starts, so the training runs in its own process."""

import json

import pytest

CODE = """
import json
import keras, numpy as np, tensorflow as tf
from tfcvae.model import CVAE

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
numpy = keras.ops.convert_to_numpy
rng = np.random.default_rng(0)
images, labels = rng.random((24, 8, 8, 1), "float32"), rng.integers(0, 3, 24)
noise = {"latents": rng.standard_normal((24, 4), "float32"), "pixels": rng.random((24, 8, 8, 1), "float32")}
dataset = tf.data.Dataset.from_tensor_slices(((images, labels, noise),)).batch(8)

def train(strategy, policy, free_bits):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = CVAE((8, 8, 1), 3, 4, "tiny", label_dim=5, prior="class", free_bits=free_bits, dtype=policy)
        optimizer = keras.optimizers.SGD(1e-3)
        if policy == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0)
        model.compile(optimizer, jit_compile=False)
    start = model.get_weights()
    history = model.fit(dataset, verbose=0, shuffle=False).history
    moved = np.concatenate([np.ravel(b - a) for a, b in zip(start, model.get_weights())])
    return model, moved, {name: values[0] for name, values in history.items()}

@tf.function
def draw(model):
    return model._replica_noise(4)["latents"]

def two_devices():
    # TensorFlow's collective operations on CPUs can start in another order on each device, and then fail.
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice())

for policy, free_bits in (("float32", 0.02), ("mixed_float16", 0.0)):
    one, moved_one, logs_one = train(tf.distribute.OneDeviceStrategy("CPU:0"), policy, free_bits)
    two, moved_two, logs_two = train(two_devices(), policy, free_bits)
    draws = two.distribute_strategy.run(draw, (two,)).values
    print(json.dumps({
        "policy": policy,
        "replicas": two.distribute_strategy.num_replicas_in_sync,
        "moved": float(np.abs(moved_one).max()),
        "difference": float(np.abs(moved_one - moved_two).max()),
        "steps": [int(numpy(model.steps_done)) for model in (one, two)],
        "logs": [logs_one, logs_two],
        "noise_differs": bool(np.abs(draws[0].numpy() - draws[1].numpy()).max() > 0.1),
        "reconstruct": float(np.abs(one.reconstruct(images, labels, 10) - two.reconstruct(images, labels, 10)).max()),
        "evaluated": [m.evaluate(dataset, verbose=0, return_dict=True)["negative_elbo"] for m in (one, two)],
    }))

# With wrong labels and an adversary. Of each device's four images the last two are told a wrong label, and two samples
# are drawn; a single device finds the same images in the second half of its eight.
from tests.tfcvae.control import batch, build, flat, given_noise, untrained_features

order = np.array([0, 1, 4, 5, 2, 3, 6, 7])

def control(strategy, order):
    with strategy.scope():
        model = build(untrained_features(), free_bits=0.01)
    groups = [model.trainable_variables, model.helpers.adversary.variables]
    start = [flat(group) for group in groups]
    data = tf.data.Dataset.from_tensors(keras.tree.map_structure(lambda x: x[order], ((*batch(), given_noise()),)))
    logs = {name: values[0] for name, values in model.fit(data.repeat(2), verbose=0, shuffle=False).history.items()}
    return [flat(group) - values for group, values in zip(groups, start)], logs

(moved_one, logs_one), (moved_two, logs_two) = (
    control(tf.distribute.OneDeviceStrategy("CPU:0"), order), control(two_devices(), np.arange(8))
)
print(json.dumps({
    "moved": [float(np.abs(moved).max()) for moved in moved_one],
    "difference": [float(np.abs(a - b).max()) for a, b in zip(moved_one, moved_two)],
    "logs": [logs_one, logs_two],
}))
"""


@pytest.mark.slow
def test_two_replicas_train_as_one_device_does(python):
    *results, control = [json.loads(line) for line in python("-c", CODE).splitlines() if line.startswith("{")]
    assert len(results) == 2
    assert min(control["moved"]) > 1e-3 and max(control["difference"]) < 1e-5
    assert set(control["logs"][0]) > {"classifier", "layout", "realism", "adversary"}
    assert control["logs"][0] == pytest.approx(control["logs"][1], rel=1e-3)
    for result in results:
        policy = result["policy"]
        tolerance = 1e-5 if policy == "float32" else 1e-3
        assert result["replicas"] == 2 and result["steps"] == [3, 3], policy
        assert result["moved"] > 0.01 and result["difference"] < tolerance, policy
        assert result["logs"][0] == pytest.approx(result["logs"][1], rel=1e-3), policy
        assert result["reconstruct"] < 1e-3, policy
        assert result["evaluated"][0] == pytest.approx(result["evaluated"][1], rel=1e-3), policy
        assert result["noise_differs"], policy
