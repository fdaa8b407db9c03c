import numpy as np
import pytest
from PIL import Image

from experiments.cvaes import figures as cvae_figures
from experiments.cvaes import image_grids as cvae_grids
from experiments.harness.reporting import figures

DIGITS = list("0123456789")


def plain(colours, side=28):
    """Images of one colour each, `(n, side, side, 3)`, from colours in [0, 255]."""
    return np.ones((len(colours), side, side, 3), "float32") * np.float32(colours)[:, None, None] / 255


def code(colour):
    return int(np.dot(colour, [1 << 16, 1 << 8, 1]))


def pixels(path):
    """The colours of a picture as one number each, `(height, width)`."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int) @ [1 << 16, 1 << 8, 1]


def having(picture, colour):
    """Where a picture has a colour: rows and columns."""
    return np.nonzero(picture == code(colour))


def block(picture, colour):
    """Left, top, width and height of the one rectangle of a colour in a picture."""
    ys, xs = having(picture, colour)
    left, top, width, height = xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1
    assert len(xs) == width * height, f"{colour} is no rectangle"
    return left, top, width, height


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn, which are written nowhere."""
    kept = []
    for module in (cvae_grids, figures):
        monkeypatch.setattr(module, "save_png", lambda figure, path: kept.append(figure))
    return kept


def texts(figure):
    return [text.get_text() for text in figure.texts]


def wrong_labels(path, count=25, read=None, names=DIGITS, caption="Seed 0."):
    reds = 5 * np.arange(count)
    inputs = plain([(red, 0, 200) for red in reds])
    outputs = plain([(red, 255, 60) for red in reds])
    true = np.arange(count) % 10
    asked = (true + 3) % 10
    read = {"one": asked, "other": asked} if read is None else read
    cvae_grids.draw_wrong_labels(inputs, outputs, true, asked, read, names, path, "Wrong labels", caption)


@pytest.mark.parametrize("count", [25, 7])
def test_wrong_labels_are_pairs_five_across_in_order(tmp_path, count):
    wrong_labels(tmp_path / "wrong.png", count)
    picture = pixels(tmp_path / "wrong.png")
    places = [block(picture, (5 * n, 0, 200)) for n in range(count)]
    for n, (left, top, width, height) in enumerate(places):
        assert (width, height) == (140, 140)  # each pixel a square of 5 x 5
        output = block(picture, (5 * n, 255, 60))
        assert 140 < output[0] - left < 180 and output[1:] == (top, 140, 140)
        assert left == places[n % 5][0] and top == places[n - n % 5][1]
    assert [place[0] for place in places[:5]] == sorted({place[0] for place in places})
    assert len({place[1] for place in places}) == -(-count // 5)
    assert picture.shape[0] - places[-1][1] < 140 + 200  # no room for rows that are not there


def test_wrong_labels_say_what_was_asked_and_what_each_judge_read(drawn):
    one = (np.arange(25) + 3) % 10
    one[[1, 24]] = [1, 8]
    other = one.copy()
    other[[0, 24]] = [5, 2]
    wrong_labels("unused.png", read={"one": one, "other": other})
    words = texts(drawn[0])
    assert words.count("→") == 25
    assert "0 → 3" in words and "4 → 7" in words and "4 → 8" not in words
    assert words.count("✓ read as 3") == 2 and "✓ read as 4" in words  # classes 10 and 20; 11 and 21
    wrong = ["✗ read as 3 / 5", "✗ read as 1", "✗ read as 8 / 2"]  # one disagrees; both read another; all differ
    assert [word for word in words if word.startswith("✗")] == wrong
    assert "22 of these 25" in " ".join(words) and "Seed 0." in words and "Wrong labels" in words
    colours = {text.get_text()[0]: text.get_color() for text in drawn[0].texts if "read as" in text.get_text()}
    assert colours == {"✓": cvae_grids.RIGHT[1], "✗": cvae_grids.WRONG[1]}


def inside(figure, text):
    box = text.get_window_extent()
    return box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height


def overlapping(boxes):
    return [(a, b) for n, a in enumerate(boxes) for b in boxes[n + 1 :] if a.overlaps(b)]


@pytest.mark.parametrize("count", [1, 10])
def test_long_names_and_captions_stay_in_the_picture(drawn, count):
    caption = "A caption of many words that cannot stand on one line. " * 5
    wrong_labels("unused.png", count, names=["an extraordinarily long name of a class"] * 10, caption=caption)
    figure = drawn[0]
    assert all(inside(figure, text) for text in figure.texts)
    assert not overlapping([text.get_window_extent() for text in figure.texts])
    assert " ".join(texts(figure)).count("many words") == 5


def test_grey_images_keep_their_levels_within_the_range_and_pixels_stay_sharp(tmp_path):
    images = np.stack([np.full((28, 28, 1), value, "float32") for value in (40 / 255, -0.5, 1.5)])
    images[0, 5, 7] = 200 / 255
    cvae_grids.draw_samples(images[None], [""], tmp_path / "samples.png", "")
    picture = pixels(tmp_path / "samples.png")
    left, top, width, height = block(picture, (200, 200, 200))
    assert (width, height) == (3, 3)
    ys, xs = having(picture, (40, 40, 40))
    assert (xs.min(), ys.min(), len(xs)) == (left - 21, top - 15, 84 * 84 - 9)
    assert block(picture, (0, 0, 0))[2:] == (84, 84)  # clipped


def test_label_sweep_frames_the_own_label(tmp_path):
    inputs = plain([(0, 0, 200), (10, 0, 200)])
    outputs = np.stack([plain([(20 * column, 255, row) for column in range(10)]) for row in range(2)])
    path = tmp_path / "sweep.png"
    cvae_grids.draw_label_sweep(inputs, outputs, [2, 7], DIGITS, path, "Sweep", "Seed 0.")
    picture, frame = pixels(path), cvae_grids.FRAME
    assert len(having(picture, cvae_grids.FRAME_COLOUR)[0]) == 2 * ((84 + 2 * frame) ** 2 - 84**2)
    for row, label in ((0, 2), (1, 7)):
        left, top, _, _ = block(picture, (20 * label, 255, row))
        assert picture[top + 40, left - 1] == picture[top - 1, left + 40] == code(cvae_grids.FRAME_COLOUR)


def test_label_sweep_names_rows_and_columns(drawn):
    outputs = np.zeros((1, 3, 32, 32, 3), "float32")
    cvae_grids.draw_label_sweep(outputs[:, 0], outputs, [1], ["cat", "dog", "frog"], "unused.png", "Sweep")
    assert texts(drawn[0])[0] == "Sweep" and "Framed: the image's own label." in " ".join(texts(drawn[0]))
    assert [texts(drawn[0]).count(name) for name in ("input", "cat", "dog", "frog")] == [1, 1, 2, 1]


def test_samples_have_a_row_a_class(tmp_path):
    samples = np.stack([plain([(100 * row, 50 * n, 255) for n in range(4)], side=32) for row in range(3)])
    cvae_grids.draw_samples(samples, ["cat", "dog", "frog"], tmp_path / "samples.png", "Samples")
    picture = pixels(tmp_path / "samples.png")
    places = [[block(picture, (100 * row, 50 * n, 255)) for n in range(4)] for row in range(3)]
    assert all(place[2:] == (96, 96) for row in places for place in row)
    assert all(len({top for _, top, _, _ in row}) == 1 for row in places)
    assert places[0][0][1] < places[1][0][1] < places[2][0][1] and places[0][0][0] < places[0][1][0]


def test_reconstructions_stand_below_their_inputs_sorted_by_class(tmp_path):
    count = 12
    inputs, outputs = (plain([(20 * n, green, 90) for n in range(count)]) for green in (0, 255))
    classes = np.arange(count)[::-1] % 10  # 1, 0, 9, ..., 0
    path = tmp_path / "reconstructions.png"
    cvae_grids.draw_reconstructions(inputs, outputs, classes, DIGITS, path, "Reconstructions")
    picture = pixels(path)
    above, below = ([block(picture, (20 * n, green, 90)) for n in range(count)] for green in (0, 255))
    for (left, top, _, _), (left_below, top_below, _, _) in zip(above, below, strict=True):
        assert left_below == left and top + 84 <= top_below < top + 100
    order = sorted(range(count), key=lambda n: (above[n][1], above[n][0]))
    assert [classes[n] for n in order] == sorted(classes) and len({top for _, top, _, _ in above}) == 2


def history(loss_factor=1.0):
    elbo = [1000.0, 300.0, *np.linspace(100.0, 80.0, 8)]
    kl = [0.0, 5.0, *np.linspace(20.0, 25.0, 8)]
    columns = {"negative_elbo": elbo, "kl": kl, "reconstruction": list(np.subtract(elbo, kl))}
    columns["loss"] = [loss_factor * value for value in elbo]
    return {"images": [500_000 * n for n in range(1, 11)], **columns} | {
        f"val_{name}": [value + 1 for value in values] for name, values in columns.items()
    }


def test_curves_show_the_later_part(drawn):
    cvae_figures.draw_curves(history(), "unused.png", "Curves")
    panels = drawn[0].axes
    assert [axis.get_title(loc="left").split(",")[0] for axis in panels] == ["Negative ELBO", "Reconstruction", "KL"]
    # the first of ten epochs lies before a fifth of the training; of the second on, training and validation are shown
    assert panels[0].get_ylim() == pytest.approx((80 - 0.06 * 221, 301 + 0.06 * 221))
    assert panels[2].get_ylim() == pytest.approx((5 - 0.06 * 21, 26 + 0.06 * 21))
    validation, training = panels[0].lines
    np.testing.assert_allclose(validation.get_xdata(), 0.5 * np.arange(1, 11))
    assert panels[0].get_xlabel() == "million images seen"
    np.testing.assert_allclose(validation.get_ydata() - training.get_ydata(), 1)
    assert {text.get_text() for text in panels[2].texts} == {"training", "validation"}


def test_curves_show_the_loss_where_it_differs(drawn):
    cvae_figures.draw_curves(history(2.0), "unused.png", "Curves")
    panels = drawn[0].axes
    assert len(panels) == 4 and panels[0].get_title(loc="left").startswith("Loss")
    np.testing.assert_allclose(panels[0].lines[1].get_ydata()[-1], 160)
    assert panels[0].get_ylim() != panels[1].get_ylim()


def test_curves_of_short_trainings_count_in_thousands_and_those_of_an_energy_say_so(drawn):
    short = history() | {"images": [100 * n for n in range(1, 11)]}
    cvae_figures.draw_curves(short, "unused.png", "Curves", energy=True)
    first, second, _ = drawn[0].axes
    assert [axis.get_title(loc="left") for axis in (first, second)] == ["Energy and KL", "Energy of the reconstruction"]
    assert first.get_xlabel() == "thousand images seen" and first.lines[0].get_xdata()[-1] == pytest.approx(1)


def test_principal_components_are_the_directions_of_largest_variance():
    random = np.random.default_rng(0)
    latent = random.normal(size=(500, 2)) * [5, 2]
    turn = np.linalg.qr(random.normal(size=(6, 6)))[0][:2]
    points, shares = cvae_figures.principal_components(latent @ turn + 7)
    centred = latent - latent.mean(axis=0)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] == pytest.approx(np.linalg.eigvalsh(centred.T @ centred)[1] / np.square(centred).sum())
    np.testing.assert_allclose(points @ points.T, centred @ centred.T, atol=1e-9)  # the same but for a turn
    assert points[:, 0].var() > points[:, 1].var()


@pytest.mark.parametrize("shape", [(1,), (2, 2, 3)])
def test_principal_components_of_any_latent(shape):
    points, shares = cvae_figures.principal_components(np.ones((4, *shape)).reshape(4, -1))
    assert points.shape == (4, 2) and not points.any() and not shares.any()


def test_latents_show_every_class_that_is_there(drawn):
    random = np.random.default_rng(0)
    classes = np.repeat([0, 3, 9], 30)
    means = random.normal(size=(90, 4, 4, 2)) * 0.01 + classes[:, None, None, None]
    cvae_figures.draw_latents(means, classes, DIGITS, "unused.png", "Latents", "A caption.")
    axis = drawn[0].axes[0]
    assert "99" in axis.get_xlabel() or "100" in axis.get_xlabel()
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["0", "3", "9"]
    medians = np.array([line.get_xydata()[0] for line in axis.lines])
    assert abs(medians[2, 0] - medians[0, 0]) == pytest.approx(3 * abs(medians[1, 0] - medians[0, 0]), rel=0.01)
    assert [line.get_color() for line in axis.lines] == [cvae_figures.CLASS_COLOURS[n] for n in (0, 3, 9)]


def point(name, a, b, retention, milliseconds, images=450_000):
    chosen = name == "control"
    scores = {"relabel_a": a, "relabel_b": b, "retention": retention, "milliseconds": milliseconds}
    scores["images_seen"] = images
    scores["retention_b"] = retention - 0.1
    return {"name": name, "chosen": chosen, **scores}


POINTS = [
    point("control", 0.92, 0.80, 0.91, 12.5),
    point("density", 0.02, 0.03, 1.0, 4.5),
    *(point(f"flat-{n}", 0.30 + 0.01 * n, 0.25, 0.5 + 0.01 * n, 5.0 + 0.01 * n) for n in range(6)),
]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_tradeoff_marks_points_names_and_goals(drawn):
    cvae_figures.draw_tradeoff(POINTS, "unused.png", "Trade-off")
    left, right = drawn[0].axes
    dots = {tuple(np.round(line.get_xydata()[0], 3)): line for line in left.lines if len(line.get_xdata()) == 1}
    assert {(0.92, 0.91), (0.80, 0.81), (0.02, 1.0), (0.03, 0.9)} <= dots.keys() and len(dots) == 16
    assert (0.92, 12.5) in {tuple(np.round(line.get_xydata()[0], 3)) for line in right.lines}
    assert [dots[place].get_markerfacecolor() == "white" for place in ((0.92, 0.91), (0.80, 0.81))] == [False, True]
    assert [dots[place].get_marker() for place in ((0.92, 0.91), (0.02, 1.0))] == ["*", "o"]
    aim, mark = left.patches
    assert (aim.get_xy(), mark.get_xy()) == ((0.9, 0.9), (0.8, 0.75)) and aim.get_alpha() <= 0.15
    assert legend(drawn[0])[:-2] == ["control (chosen)", *(point["name"] for point in POINTS[1:])]


def test_tradeoff_names_the_images_seen_where_they_differ(drawn):
    cvae_figures.draw_tradeoff([POINTS[0], POINTS[1] | {"images_seen": 1_600_000}], "unused.png", "Trade-off")
    assert legend(drawn[0])[:2] == ["control, 450,000 images (chosen)", "density, 1,600,000 images"]
