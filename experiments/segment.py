"""Finds the pet in photos: writes a mask and an overlay for each, at the photo's own size.

    python experiments/segment.py cat.jpg dog.png
    python experiments/segment.py holiday/ --out masks --flip
    python experiments/segment.py street.jpg --weights results/unet/own-streets/cpu/mp-tr-bce/seed-0/model.keras
    python experiments/segment.py --export pets.onnx

Works at once with the weights that come with the repository. `cat.jpg` gives `cat-mask.png` (255 = pet, 0 = background)
and `cat-overlay.png`; of a folder, all images are taken. Weights of more than two classes give masks of class ids, as
palette images, and overlays with a legend.
"""

import contextlib
import errno
import io
import os
import signal
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from experiments.harness.running import hardware, runs
from experiments.harness.running.errors import UserError, first_line, run_main
from experiments.harness.running.interrupts import interruptible
from experiments.harness.running.parser import Parser
from tfseg.export import check_export
from tfseg.photos import PhotoError, photos_in, read_photo

NAMES = {"": "SavedModel", ".tflite": "LiteRT", ".onnx": "ONNX"}
INCLUDED = ROOT / "tfseg" / "weights" / "pets.keras"


def parse_arguments(argv=None):
    parser = Parser(__doc__)
    add = parser.add_argument
    add("photos", nargs="*", type=Path, metavar="PHOTO", help="an image file, or a folder of them")
    add("--out", default=Path("segmented"), type=Path, metavar="DIR", help="where to write (default: %(default)s)")
    add("--weights", default=INCLUDED, type=Path, metavar="FILE", help="your own model.keras (default: the included)")
    add("--flip", action="store_true", help="average with the mirrored photo: a little better, twice the work")
    add("--threshold", type=runs.number(0, 1), metavar="P",
        help="foreground is above it (default: 0.5); of weights of two classes")  # fmt: skip
    add("--export", type=Path, metavar="PATH",
        help="write the model as LiteRT (PATH ends in .tflite), ONNX (.onnx) or SavedModel (a folder)")  # fmt: skip
    args = parser.parse_args(argv)
    if not args.photos and not args.export:
        parser.error("name a photo or a folder of photos")
    return args


def find_photos(paths):
    """The files among these paths and the images in the folders among them, each once, in the order given."""
    found = {}
    for path in paths:
        if not os.path.exists(path):
            raise UserError(f"{path} does not exist")
        inside = [path]
        if path.is_dir():
            try:
                inside, others = photos_in(path)
            except OSError as error:
                raise UserError(f"can't read the folder {path}: {error.strerror}") from None
            print(f"{path}: {_count(len(inside), 'image')}{_left_out(others)}")
        for photo in inside:
            found.setdefault(os.path.realpath(photo), photo)
    if paths and not found:
        raise UserError(f"no image in {', '.join(map(str, paths))}")
    return list(found.values())


def _count(number, noun):
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _left_out(files):
    """What is not taken of a folder, so that no photo is missed unseen."""
    suffixes = sorted({path.suffix.lower() or "no suffix" for path in files})
    return f"; {_count(len(files), 'other file')} left out ({', '.join(suffixes)})" if files else ""


def name_outputs(photos, out):
    """Paths of mask and overlay for each photo, no two alike even where the file system ignores case.

    Returns `{photo: (mask, overlay)}`. Photos of the same stem are told apart by a number: `cat-mask.png`,
    `cat-2-mask.png`. Raises `UserError` if one of these paths is one of the photos.
    """
    outputs, taken, inputs = {}, set(), {os.path.realpath(photo) for photo in photos}
    for photo in photos:
        stem, number = photo.stem, 1
        while stem.casefold() in taken:
            number += 1
            stem = f"{photo.stem}-{number}"
        taken.add(stem.casefold())
        outputs[photo] = tuple(out / f"{stem}-{kind}.png" for kind in ("mask", "overlay"))
        for path in outputs[photo]:
            if os.path.realpath(path) in inputs:
                raise UserError(f"{path} is one of the photos and would be overwritten; choose another --out")
    return outputs


def load(weights):
    """Imports TensorFlow and loads a model."""
    print("Starting TensorFlow ...", flush=True)
    hardware.import_tensorflow()
    from tfseg.predict import load_model

    try:
        model = load_model(weights)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    if getattr(model, "classes", None):
        print(f"Model: classes {model.classes}")
    if weights == INCLUDED:
        record = runs.read_json(INCLUDED.with_suffix(".json"))
        print(f"Model: {record['variant']}, trained on {record['dataset']}, test IoU {record['test']['iou']:.3f}")
    return model


def find_mask(model, image, args):
    """A photo's mask and overlay as Pillow images, and what to say of it."""
    from experiments.unets.overlays import pictures_of
    from tfseg.predict import segment, segment_classes, tells_classes

    if tells_classes(model):
        if args.threshold is not None:
            raise UserError("--threshold is of weights of two classes; these tell more, and take the likeliest")
        pictures, told = pictures_of(image, segment_classes(model, image, args.flip)[1], model.classes)
    else:
        pictures, told = pictures_of(
            image, segment(model, image, args.flip)[0], None, 0.5 if args.threshold is None else args.threshold
        )
    return pictures["mask"], pictures["overlay"], told


def write_outputs(pictures, paths):
    """Writes mask and overlay as PNG, atomically."""
    for path, picture in zip(paths, pictures, strict=True):
        png = io.BytesIO()
        picture.save(png, "PNG", compress_level=3)  # 6 takes thrice the time for a tenth less
        runs.write_atomic(path, png.getvalue())


def write_model(model, path):
    import tensorflow as tf

    from tfseg.export import export

    try:
        export(model, path)
    except (ValueError, OSError, tf.errors.OpError) as error:  # the last: a SavedModel on a full disk
        raise UserError(f"can't export to {path}: {first_line(error)}") from error
    height, width = model.input_shape[1:3]
    size = f"of {height} x {width} pixels" if height and width else "of any size"
    print(f"{path}: {NAMES[path.suffix]}, for photos {size}")


@contextlib.contextmanager
def naming_lack_of_memory(photo):
    """Turns a lack of memory, NumPy's or the backend's, into a `PhotoError`."""
    import tensorflow as tf

    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):  # what JAX says of it
            raise
        raise PhotoError(f"{photo} takes more memory than there is; make it smaller") from error


def segment_photos(outputs, args, model=None):
    """Segments photos, a line each, and returns how many had to be skipped. Loads the model when a photo was read."""
    skipped = 0
    for photo, paths in outputs.items():
        started = time.perf_counter()
        try:
            image = read_photo(photo)
            if model is None:
                loading = time.perf_counter()
                model = load(args.weights)
                started += time.perf_counter() - loading
            with naming_lack_of_memory(photo):
                *pictures, told = find_mask(model, image, args)
                write_outputs(pictures, paths)
        except (PhotoError, OSError) as error:
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise
            print(f"skipped: {error if isinstance(error, PhotoError) else f'{photo}: {error}'}", file=sys.stderr)
            skipped += 1
        except ValueError as error:  # a model that no photo passes through
            raise UserError(f"{args.weights}: {first_line(error)}") from error
        else:
            seconds = time.perf_counter() - started
            written = f"{paths[0]}, {paths[1].name}"
            print(f"{photo}: {told}, {seconds:.2f} s -> {written}", flush=True)
    return skipped


def check_paths(args):
    """Refuses weights and places to write to that can't work; creates the folders to write to."""
    if not args.weights.is_file():
        raise UserError(f"--weights {args.weights} is not a file")
    if args.weights.suffix == ".keras" and not zipfile.is_zipfile(args.weights):
        raise UserError(f"--weights {args.weights} can't be read: it is damaged, or no Keras model")
    if args.export:
        try:
            check_export(args.export)
        except (ValueError, OSError, ImportError) as error:
            raise UserError(f"--export: {error}") from error
        if args.photos and args.export.resolve() in (args.out.resolve(), *args.out.resolve().parents):
            raise UserError(f"--out {args.out} is what --export writes, or lies in it; choose another --out")
        runs.check_writable(args.export.parent, "--export")
    if args.photos:
        runs.check_writable(args.out, "--out")


def main():
    args = parse_arguments()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # file names that the terminal can't show
    outputs = name_outputs(find_photos(args.photos), args.out)
    check_paths(args)
    try:
        with interruptible():
            model = None
            if args.export:
                model = load(args.weights)
                write_model(model, args.export)
            skipped = segment_photos(outputs, args, model)
    except KeyboardInterrupt:
        print("interrupted: what is listed above is written", file=sys.stderr)
        return 130
    if skipped:
        print(f"{skipped} of {len(outputs)} photos skipped", file=sys.stderr)
    return 1 if skipped else 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ends quietly where nobody reads on, as before `| head`
    sys.exit(run_main(main))
