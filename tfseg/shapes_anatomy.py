"""The animals of `shapes`: poses made of tapered capsules, and the distance to their outline.

A capsule is a row (x1, y1, r1, x2, y2, r2): a thick line from one point and radius to another, x right, y down, in
units of about half the animal's length.
"""

import numpy as np

SPECIES = ("cat", "dog")
POSES = ("standing", "sitting", "lying", "portrait")

_TORSO = {
    "standing": [
        (-0.55, 0.0, 0.31, 0.45, 0.0, 0.29),
        (0.45, -0.1, 0.24, 0.78, -0.4, 0.2),  # neck
        (-0.66, 0.1, 0.14, -0.74, 0.78, 0.08),  # legs
        (-0.42, 0.1, 0.14, -0.4, 0.8, 0.08),
        (0.36, 0.1, 0.13, 0.32, 0.8, 0.08),
        (0.58, 0.1, 0.13, 0.62, 0.78, 0.08),
    ],
    "sitting": [
        (0.0, -0.1, 0.27, 0.0, 0.5, 0.42),
        (-0.16, 0.2, 0.14, -0.17, 0.88, 0.11),  # front legs
        (0.16, 0.2, 0.14, 0.17, 0.88, 0.11),
        (-0.35, 0.6, 0.2, -0.42, 0.85, 0.13),  # haunches
        (0.35, 0.6, 0.2, 0.42, 0.85, 0.13),
    ],
    "lying": [
        (-0.6, 0.28, 0.32, 0.4, 0.25, 0.3),
        (0.4, 0.15, 0.24, 0.62, -0.05, 0.22),
        (0.4, 0.45, 0.13, 0.95, 0.5, 0.09),  # paws
        (-0.55, 0.45, 0.2, -0.2, 0.55, 0.1),
    ],
    "portrait": [
        (0.0, 0.2, 0.38, 0.0, 0.9, 0.5),
        (-0.45, 1.1, 0.4, 0.45, 1.1, 0.4),  # shoulders
    ],
}
_HEAD = {  # x, y, radius, turned (0 = towards the viewer, 1 = in profile), root of the tail
    "standing": (0.82, -0.47, 0.25, 0.8, (-0.8, -0.12)),
    "sitting": (0.0, -0.58, 0.33, 0.0, (0.4, 0.75)),
    "lying": (0.68, -0.12, 0.27, 0.4, (-0.88, 0.35)),
    "portrait": (0.0, -0.2, 0.52, 0.1, None),
}


def animal(rng, species, pose):
    """Makes up one animal.

    Args:
        rng: `numpy.random.Generator`.
        species: `"cat"` or `"dog"`: pointed or hanging ears, short or long muzzle.
        pose: a name in `POSES`.

    Returns:
        `(body, face)`: float32 capsules `(n, 6)` of the whole outline, and `(3, 6)` of eyes and nose, which lie in it.
    """
    x, y, r, turned, tail = _HEAD[pose]
    body = np.array(_TORSO[pose] + _head(x, y, r, turned, species), np.float32)
    if tail:
        body = np.concatenate([body, _tail(rng, tail, species)])
    face = np.array(_face(x, y, r, turned, species), np.float32)
    body[:, [0, 1, 3, 4]] += rng.normal(0, 0.025, (len(body), 4))
    body[:, [2, 5]] *= rng.uniform(0.85, 1.2, (len(body), 1))
    angle, mirror = rng.normal(0, 0.15), 1 if rng.random() < 0.5 else -1
    return _turn(body, angle, mirror), _turn(face, angle, mirror)


def _head(x, y, r, turned, species):
    muzzle = r * (0.55 if species == "cat" else 1.15)
    parts = [
        (x, y, r, x, y, r),
        (x, y + 0.2 * r, 0.6 * r, x + turned * muzzle, y + 0.35 * r + (1 - turned) * 0.3 * muzzle, 0.42 * r),
    ]
    for side in (-1, 1):
        root = x + r * (0.62 * side * (1 - 0.4 * turned) - 0.3 * turned)
        if species == "cat":
            parts.append((root, y - 0.65 * r, 0.36 * r, root + 0.2 * side * r, y - 1.5 * r, 0.04 * r))
        else:
            parts.append((root + 0.2 * side * r, y - 0.6 * r, 0.24 * r, root + 0.65 * side * r, y + 0.5 * r, 0.26 * r))
    return parts


def _face(x, y, r, turned, species):
    muzzle = r * (0.55 if species == "cat" else 1.15)
    eyes = [(x + r * (0.38 * side + 0.35 * turned), y - 0.1 * r) for side in (-1, 1)]
    nose = (x + turned * (muzzle + 0.2 * r), y + 0.3 * r + (1 - turned) * 0.3 * muzzle)
    return [(ex, ey, 0.1 * r, ex, ey, 0.1 * r) for ex, ey in eyes] + [
        (nose[0] - 0.07 * r, nose[1], 0.09 * r, nose[0] + 0.07 * r, nose[1], 0.09 * r)
    ]


def _tail(rng, root, species):
    """Five segments along a random curve; a cat's is longer and thinner."""
    length, radius = (0.22, 0.075) if species == "cat" else (0.14, 0.1)
    outwards = 0 if root[0] > 0 else np.pi
    angles = outwards + rng.normal(0, 0.4) + np.linspace(0, rng.normal(0, 1.8), 5)
    steps = length * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.array(root) + np.concatenate([[(0, 0)], np.cumsum(steps, axis=0)])
    radii = np.linspace(radius, 0.6 * radius, 6)[:, None]
    knots = np.concatenate([points, radii], axis=1)
    return np.concatenate([knots[:-1], knots[1:]], axis=1).astype(np.float32)


def _turn(capsules, angle, mirror):
    turned = capsules.copy()
    for i in (0, 3):
        x, y = capsules[:, i], capsules[:, i + 1]
        turned[:, i] = mirror * (np.cos(angle) * x - np.sin(angle) * y)
        turned[:, i + 1] = np.sin(angle) * x + np.cos(angle) * y
    return turned


def signed_distance(capsules, rows, columns, softness=0.03):
    """Distance to the outline of a smooth union of capsules, negative inside.

    Args:
        capsules: float32 `(n, 6)`.
        rows: y coordinates, `(h,)`.
        columns: x coordinates, `(w,)`.
        softness: how wide the joints between capsules are rounded.

    Returns:
        Float32 `(h, w)`, in the capsules' unit.
    """
    total = np.full((len(rows), len(columns)), 1e-30, np.float32)
    for x1, y1, r1, x2, y2, r2 in capsules.astype(np.float32):
        dx, dy = x2 - x1, y2 - y1
        px, py = columns[None, :] - x1, rows[:, None] - y1
        along = np.clip((px * dx + py * dy) / (dx * dx + dy * dy + np.float32(1e-6)), 0, 1)
        distance = np.sqrt((px - along * dx) ** 2 + (py - along * dy) ** 2) - (r1 + along * (r2 - r1))
        total += np.exp(np.minimum(-distance / softness, 60))
    return -softness * np.log(total)
