from dataclasses import replace

import pytest

from experiments.unets.recipes import (
    BUILTIN_SIZES,
    ENCODER_DEPTH,
    MATRIX,
    PRESETS,
    VARIANTS,
    Recipe,
    make_recipe,
    pick_preset,
)
from tfseg import encoders
from tfseg.blocks import DOWN_BLOCKS, UP_BLOCKS
from tfseg.losses import LOSSES


def test_matrix_is_the_four_required_variants():
    parts = {name: (v.down, v.up, v.loss, v.network) for name, v in VARIANTS.items()}
    assert {name: parts[name] for name in MATRIX} == {
        "mp-tr-bce": ("maxpool", "transpose", "bce", "unet"),
        "mp-tr-dice": ("maxpool", "transpose", "dice", "unet"),
        "strconv-tr-bce": ("strided", "transpose", "bce", "unet"),
        "strconv-ups-dice": ("strided", "upsample", "dice", "unet"),
    }
    others = "pretrained-tr-bce_dice scratch-tr-bce_dice tutorial tutorial-keras3"
    assert set(VARIANTS) - set(MATRIX) == set(others.split())


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_name_parts_that_exist(variant):
    parts = VARIANTS[variant]
    downs = encoders.ENCODERS if parts.network == "encoder" else DOWN_BLOCKS
    assert callable(downs[parts.down]) and callable(UP_BLOCKS[parts.up]) and callable(LOSSES[parts.loss])
    assert ENCODER_DEPTH == encoders.ENCODER_DEPTH


@pytest.mark.parametrize("preset", PRESETS)
def test_variants_of_the_matrix_differ_in_nothing_but_the_variant(preset):
    recipes = [make_recipe(preset, name, {"filters": 6}).record() for name in MATRIX]
    for name, recipe in zip(MATRIX, recipes, strict=True):
        assert [recipe.pop(part) for part in ("down", "up", "loss")] == list(vars(VARIANTS[name]).values())[:3]
    assert all(recipe == recipes[0] for recipe in recipes)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_whole(preset):
    recipe = make_recipe(preset, "mp-tr-bce", {})
    assert recipe.image_size % 2**recipe.depth == 0
    assert recipe.target == "foreground" and recipe.one_cycle and recipe.weight_decay > 0
    train, test = BUILTIN_SIZES[preset]
    assert train > recipe.batch_size and test > 0
    assert recipe.train_limit in (0, train) and recipe.test_limit in (0, test)


def test_presets_grow():
    ladder = ["smoke", "demo", "cpu", "gpu"]
    assert list(PRESETS) == list(BUILTIN_SIZES) == ladder
    recipes = [make_recipe(preset, "mp-tr-bce", {}) for preset in ladder]
    budgets = [recipe.epochs_for(3_312) * 3_312 for recipe in recipes]
    assert budgets == [3_312, 6_624, 46_368, 662_400]
    assert [recipe.filters for recipe in recipes] == [4, 16, 16, 64]


@pytest.mark.parametrize("preset", ["demo", "cpu", "gpu"])
def test_the_pretrained_network_and_the_same_from_scratch(preset):
    pretrained, scratch = (
        make_recipe(preset, f"{name}-tr-bce_dice", {}).record() for name in ("pretrained", "scratch")
    )
    assert pretrained["filters"] == 16
    differing = {name for name in pretrained | scratch if pretrained.get(name) != scratch.get(name)}
    assert differing == {"weights", "learning_rate", "encoder_rate", "ema"}


@pytest.mark.parametrize("size, scale, depth", [(96, 2, 4), (128, 2, 4), (160, 1, 5), (256, 1, 5)])
def test_an_encoder_sees_small_images_enlarged(size, scale, depth):
    recipe = make_recipe("cpu", "scratch-tr-bce_dice", {"image_size": size})
    assert (recipe.encoder_scale, recipe.depth) == (scale, depth)
    for scale, depth in ((1, 5), (2, 4)):
        recipe = make_recipe("cpu", "scratch-tr-bce_dice", {"image_size": size, "encoder_scale": scale})
        assert (recipe.encoder_scale, recipe.depth) == (scale, depth)
    plain = make_recipe("cpu", "mp-tr-bce", {"encoder_scale": 2, "encoder_rate": 0.1, "filters": 8})
    assert plain == make_recipe("cpu", "mp-tr-bce", {"filters": 8})


def test_half_the_size_is_for_the_four_and_for_sizes_that_can_be_halved_once_more():
    recipe = make_recipe("cpu", "mp-tr-bce", {})
    epochs = recipe.epochs_for(585)
    assert (epochs, recipe.half_size_epochs(epochs)) == (80, 52)
    assert make_recipe("cpu", "mp-tr-bce", {"image_size": 96}).half_size == recipe.half_size
    for changes in ({"image_size": 112}, {"half_size": 0.0}):  # 56 can't be halved four times
        full = make_recipe("cpu", "mp-tr-bce", changes)
        assert (full.half_size, full.images) == (0, 25_000)
    assert make_recipe("cpu", "mp-tr-bce", {"half_size": 0.0, "images": 30_000}).images == 30_000
    assert all(replace(recipe, half_size=share).half_size_epochs(n) < n for share in (0.65, 0.9) for n in range(1, 6))
    for variant in ("scratch-tr-bce_dice", "tutorial"):
        other = make_recipe("cpu", variant, {"half_size": 0.5})
        assert other.half_size == 0 and other.images == 25_000


def test_records_leave_out_later_fields_that_change_nothing():
    """So a folder that an earlier version began still counts as the same run."""
    record = make_recipe("cpu", "tutorial", {}).record()
    assert not {"weights", "encoder_rate", "ema"} & set(record)
    assert make_recipe("cpu", "mp-tr-bce", {"ema": 0.9}).record()["ema"] == 0.9


def test_tutorial_is_the_articles_own_recipe():
    recipe = make_recipe("cpu", "tutorial", {})
    assert recipe.record() == {
        "down": "maxpool",
        "up": "transpose",
        "loss": "bce",
        "network": "tutorial",
        "image_size": 128,
        "filters": 32,
        "depth": 4,
        "normalization": "batch",
        "dropout": 0.3,
        "batch_size": 32,
        "images": 25_000,
        "epochs": 20,
        "target": "trimap",
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "one_cycle": False,
        "augmentation": 0.0,
        "train_limit": 0,
        "test_limit": 0,
    }
    assert recipe.epochs_for(3_312) == 20


@pytest.mark.parametrize(
    "images, train, epochs",
    [(25_000, 3_312, 8), (1_000, 400, 2), (1_400, 400, 4), (1, 400, 1), (25_000, 3, 400)],
)
def test_epochs_make_up_the_budget(images, train, epochs):
    assert Recipe(images=images).epochs_for(train) == epochs
    assert Recipe(images=images, epochs=7).epochs_for(train) == 7


@pytest.mark.parametrize(
    "requested, device, dataset, preset",
    [
        ("auto", "GPU", "shapes", "gpu"),
        ("auto", "CPU", "oxford_iiit_pet", "cpu"),
        ("auto", "CPU", "shapes", "demo"),
        ("smoke", "GPU", "oxford_iiit_pet", "smoke"),
    ],
)
def test_auto_picks_the_preset_by_hardware_and_data(requested, device, dataset, preset):
    assert pick_preset(requested, device, dataset) == preset
