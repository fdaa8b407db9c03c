"""The classes that a model tells apart, and how a model file remembers them.

A file saved by Keras is a zip archive. `remember` adds a note to it, which Keras doesn't read and `recall` does.
"""

import json
import zipfile
from dataclasses import dataclass

IGNORE = 255
"""In masks of class ids: the pixels that neither train nor score."""

NOTE = "classes.json"


@dataclass(frozen=True)
class Classes:
    """Names and colours by class id, 0 to at most 254.

    Attributes:
        names: one a class, at least two, no two alike. Of two classes, the second is the foreground.
        colours: (red, green, blue) in [0, 255], one a class; by default those of PASCAL VOC, which start with black.

    Raises:
        ValueError: for fewer than two classes, more than 255, or names that are not as many as the colours, or alike.
    """

    names: tuple
    colours: tuple = ()

    def __post_init__(self):
        object.__setattr__(self, "names", tuple(str(name) for name in self.names))
        colours = self.colours or map(voc_colour, range(len(self.names)))
        object.__setattr__(self, "colours", tuple(tuple(int(part) for part in colour) for colour in colours))
        if not 2 <= len(self.names) <= IGNORE:
            raise ValueError(f"There must be 2 to {IGNORE} classes. Received: {len(self.names)} ({self})")
        twice = [name for n, name in enumerate(self.names) if name in self.names[:n]]
        if twice:
            raise ValueError(f"Class names must differ. Received twice: {twice[0]}")
        if len(self.colours) != len(self.names):
            raise ValueError(f"There must be a colour a class. Received: {len(self.colours)} for {len(self.names)}")

    @property
    def channels(self):
        """A model's output channels: one for two classes (sigmoid), else one a class (softmax)."""
        return 1 if len(self.names) == 2 else len(self.names)

    def record(self):
        """JSON-like; `Classes(**record)` is the same again."""
        return {"names": list(self.names), "colours": [list(colour) for colour in self.colours]}

    def __str__(self):
        return ", ".join(f"{n} {name}" for n, name in enumerate(self.names))


def voc_colour(number):
    """Colour of a class id in PASCAL VOC's palette: the id's bits, dealt out to red, green and blue, highest first."""
    colour = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            colour[channel] |= ((number >> (3 * place + channel)) & 1) << (7 - place)
    return tuple(colour)


def remember(path, classes, image_size):
    """Writes the classes of a model, and the size it was trained at, into its file.

    Args:
        path: a `.keras` file without such a note.
        classes: a `Classes`.
        image_size: side of the square that photos were squeezed to, in pixels.
    """
    note = {**classes.record(), "ignore": IGNORE, "image_size": image_size, "image_range": [0, 1]}
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(zipfile.ZipInfo(NOTE, (1980, 1, 1, 0, 0, 0)), json.dumps(note))


def recall(path):
    """What `remember` wrote.

    Returns:
        `(classes, image_size)`; `(None, None)` for a file without a note.
    """
    if not zipfile.is_zipfile(path):
        return None, None
    with zipfile.ZipFile(path) as file:
        if NOTE not in file.namelist():
            return None, None
        note = json.loads(file.read(NOTE))
    return Classes(note["names"], note["colours"]), note["image_size"]
