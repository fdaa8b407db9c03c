"""What the summary says around the tables of conditional VAEs: terms, captions, the classifiers."""

from experiments.cvaes.recipes import ELBO_SAMPLES

INTRODUCTION = f"""## Conditional VAE

A conditional VAE turns an image into a few numbers, its latent, and those back into an image. It is told the image's
label on both ways. The question: does the label decide what comes out? Test images are sent in with a wrong label. Two
judges, classifiers of real images, say which class the output shows. The judges only measure, and of their figures the
lower one counts. All scores are of the test split unless a column says otherwise.

- **−ELBO** bounds −log p(x|y), in nats an image; lower is better. KL weight 1 and no free bits, whatever the training
  used, and {ELBO_SAMPLES} latents an image. **−ELBO + ln 10** bounds −log p(x) and so compares with models that know no
  labels. **IW-NLL** is the tighter, importance-weighted bound. **bits/dim** is −ELBO in bits, divided by pixels and
  colours.
- **Likelihood `features`** compares images in pixels and in the activations of a feature network. It is an energy, not
  a log-probability: a model with it has no −ELBO and no bits/dim.
- **KL**: the nats that the latent says of an image. **Active units**: latent units in use, those whose mean varies over
  images with a variance above 0.01; where each class has a prior of its own, relative to that and in its standard
  deviations. **Error a pixel**: mean squared error of reconstructions, pixels in [0, 1].
- **Wrong labels**: share of the training images that are sent in with a wrong label. They are not to be reconstructed,
  or, by MNIST's `standard`, under their right label alone.
  The feature network reads what comes out, and its loss asks for the label told (*classifier*: the weight of that);
  averaged over blocks of 4 x 4 pixels, the output should look like its input (*layout*). **Adversary**: the weight of a
  network that tells decoded images from real ones of their class, and trains along.
- **Samples**: share of new images, drawn from the prior, that are read as the class asked for.
- **Read as asked**: share of relabelled images that are read as the wrong label. **(a)**: encoder and decoder are told
  the wrong label, which is what sending an image in with a wrong label means. **(b)**: the encoder is told the true
  label, the decoder the wrong one. **(shift)**, where each class has a prior of its own: as (b), and the latent moves
  from the true class's prior to the other's. *By all at once*: share that every judge reads as asked.
- **Label by**: how encoder and decoder are told the label. *modulation*: it scales and shifts the features of every
  residual block; *input*: once, beside the input.
- **Label ignored**: what a model that ignores its label would score in "read as asked"; r is the judge's accuracy on
  plain reconstructions.
- **Retention**: share of outputs whose nearest image among 1,000 of the test split, by squared error, is the very one
  sent in. A model that draws any image of the class obeys the label too, and keeps nothing.
- **Slant kept, stroke thickness kept**: correlation of a digit's slant, and of its strokes' thickness, between input
  and output over all wrong labels. Each class's own mean is taken away. 1 is a style that is kept.
- **Still true**: share of relabelled images that are read as their true class all the same.
- **Fréchet distance**: how far outputs under a wrong label are from real test images of the class asked for, in the
  features of a judge; lower is better. Beside it the distance of other real images of the class, from as many images.
"""

JUDGE = """## Judges and feature networks

Judges are classifiers of real images, two a dataset, of different architectures and trained apart. They say which class
a generated image shows. No loss, gradient or checkpoint comes from them. Their accuracy on real images that they were
not trained on:
"""

FEATURES = """### Feature networks

A feature network is a classifier of real images that a loss may use: its activations, and what it reads. It is of
another architecture than the judges and was trained apart from them. Its accuracy on real images that it was not
trained on:
"""

BLURRED = "{:.0%} of the training images were made 2 or 4 times coarser: what a decoder makes of a photo is smooth"

PICTURES = {
    "wrong_labels": (
        "25 test images beside what the model makes of them under a wrong label, with the judges' readings",
        "Test images sent in with a wrong label, drawn at random.",
    ),
    "label_sweep": (
        "Test images, each decoded under all labels",
        "One image a row, shown under every label; framed: its own. The latent is held.",
    ),
    "samples": ("New images of each class", "Samples, a row a class."),
    "reconstructions": ("Test images, each above its reconstruction", "Test images and their reconstructions."),
    "latents": (
        "Two principal components of the latent means of test images, coloured by class",
        "Latent means, along the two directions of largest variance.",
    ),
    "curves": (
        "Loss, reconstruction and KL over images seen, in training and on validation images",
        "Learning curves; the vertical axes fit the last four fifths of the training.",
    ),
}
