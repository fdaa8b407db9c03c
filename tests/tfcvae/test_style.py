import numpy as np
import pytest

from tfcvae.style import kept, slant, stroke_thickness


def stroke(lean=0.0, thickness=2.0, top=6, bottom=22, centre=14.0):
    """A drawn stroke, `(28, 28, 1)`: straight, `lean` pixels further right for each pixel up, edges smoothed."""
    y, x = np.mgrid[:28, :28].astype("float64")
    middle = centre + lean * ((top + bottom - 1) / 2 - y)
    across = np.abs(x - middle) / np.hypot(1, lean)  # the distance from the stroke's middle line
    bright = np.clip(thickness / 2 + 0.5 - across, 0, 1) * ((y >= top) & (y < bottom))
    return bright[..., None]


@pytest.mark.parametrize("lean", [-0.5, 0.0, 1.0])
def test_slant_is_the_shift_for_each_pixel_up(lean):
    assert slant(stroke(lean)[None]) == pytest.approx([lean], abs=0.05)


@pytest.mark.parametrize("thickness", [2, 3, 4])
def test_thickness_of_a_drawn_stroke(thickness):
    """Its ends belong to the outline: of a stroke 16 long, 2 (16 + t) long instead of 2 * 16."""
    for lean in (0.0, 0.3):
        length = 16 * np.hypot(1, lean)
        expected = thickness * length / (length + thickness)
        assert stroke_thickness(stroke(lean, thickness)[None])[0] == pytest.approx(expected, rel=0.1)


def test_black_images_have_no_style():
    black = np.zeros((2, 28, 28, 1))
    assert np.array_equal(slant(black), [0, 0]) and np.array_equal(stroke_thickness(black), [0, 0])
    assert kept(slant(black), slant(black), np.array([0, 1]), np.array([1, 0])) == 0.0


def strokes(count, seed):
    rng = np.random.default_rng(seed)
    return np.stack([stroke(rng.uniform(-0.5, 0.5), rng.uniform(1.5, 4)) for _ in range(count)])


@pytest.mark.parametrize("measure", [slant, stroke_thickness])
def test_style_that_passes_on_correlates_and_independent_style_does_not(measure):
    inputs, others = strokes(300, 0), measure(strokes(300, 1))
    true = np.arange(300) % 3
    asked = (true + 1 + np.arange(300) % 2) % 3
    same, inputs = measure(np.roll(inputs, 2, axis=1)), measure(inputs)
    assert kept(inputs, same, true, true) == pytest.approx(1, abs=1e-6)
    assert kept(inputs, same, true, asked) > 0.95
    assert abs(kept(inputs, others, true, asked)) < 0.15


def test_what_classes_have_in_common_is_no_style():
    """Class 1 leans more whoever writes it: that alone is no correlation, and hides none."""
    rng = np.random.default_rng(0)
    true = np.arange(200) % 2
    own = rng.uniform(-0.2, 0.2, 200)
    inputs = slant(np.stack([stroke(0.5 * t + lean) for t, lean in zip(true, own, strict=True)]))
    plain = slant(np.stack([stroke(0.5 * (1 - t)) for t in true]))
    styled = slant(np.stack([stroke(0.5 * (1 - t) + lean) for t, lean in zip(true, own, strict=True)]))
    assert abs(kept(inputs, plain, true, 1 - true)) < 0.05
    assert kept(inputs, styled, true, 1 - true) > 0.98
