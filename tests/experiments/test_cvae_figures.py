import numpy as np
import pytest
from PIL import Image

from experiments.cvaes import figures as cvae_figures
from experiments.cvaes import image_grids as cvae_grids

DIGITS = list("0123456789")


def plain(colours):
    """Images of one colour each, `(n, 28, 28, 3)`, from colours in [0, 255]."""
    return np.ones((len(colours), 28, 28, 3), "float32") * np.float32(colours)[:, None, None] / 255


def pixels(path):
    """The colours of a picture as one number each, `(height, width)`."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int) @ [1 << 16, 1 << 8, 1]


def block(picture, colour):
    """Left, top, width and height of the one rectangle of a colour in a picture."""
    ys, xs = np.nonzero(picture == np.dot(colour, [1 << 16, 1 << 8, 1]))
    left, top, width, height = xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1
    assert len(xs) == width * height, f"{colour} is no rectangle"
    return left, top, width, height


def wrong_labels(path, count=25, read=None):
    reds = 5 * np.arange(count)
    inputs = plain([(red, 0, 200) for red in reds])
    outputs = plain([(red, 255, 60) for red in reds])
    true = np.arange(count) % 10
    asked = (true + 3) % 10
    read = {"one": asked, "other": asked} if read is None else read
    cvae_grids.draw_wrong_labels(inputs, outputs, true, asked, read, DIGITS, path, "Wrong labels", "Seed 0.")


def test_wrong_labels_are_pairs_five_across_in_order(tmp_path):
    count = 7
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


def test_wrong_labels_say_what_was_asked_and_what_each_judge_read(monkeypatch):
    drawn = []
    monkeypatch.setattr(cvae_grids, "save_png", lambda figure, path: drawn.append(figure))
    one = (np.arange(25) + 3) % 10
    one[[1, 24]] = [1, 8]
    other = one.copy()
    other[[0, 24]] = [5, 2]
    wrong_labels("unused.png", read={"one": one, "other": other})
    words = [text.get_text() for text in drawn[0].texts]
    assert words.count("→") == 25
    assert "0 → 3" in words and "4 → 7" in words and "4 → 8" not in words
    assert words.count("✓ read as 3") == 2 and "✓ read as 4" in words  # classes 10 and 20; 11 and 21
    wrong = ["✗ read as 3 / 5", "✗ read as 1", "✗ read as 8 / 2"]  # one disagrees; both read another; all differ
    assert [word for word in words if word.startswith("✗")] == wrong
    assert "22 of these 25" in " ".join(words) and "Seed 0." in words and "Wrong labels" in words


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


def test_principal_components_of_one_latent_unit():
    points, shares = cvae_figures.principal_components(np.ones((4, 1)))
    assert points.shape == (4, 2) and not points.any() and not shares.any()
