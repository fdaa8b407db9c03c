"""The U-Net of the matrix in PyTorch, a row of its own where PyTorch is installed (`benchmark.py --peer torch`).

As PyTorch trains it fastest: channels last, bfloat16 by `torch.autocast`, `torch.compile`, a fused AdamW, no metrics.
Rows without bfloat16 or without the compiler show what these gain. The step is timed on one batch that stays on
the device. Imports no TensorFlow.
"""

import time

import torch
from torch import nn
from torch.nn import functional

from experiments.benchmarks.memory import peak_memory
from experiments.benchmarks.ratios import rate


def double_conv(channels, filters):
    """Two 3x3 convolutions, each batch-normalized (with Keras's constants) and rectified."""
    parts = []
    for before in (channels, filters):
        parts += [nn.Conv2d(before, filters, 3, padding=1, bias=False)]
        parts += [nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)


class UNet(nn.Module):
    """`tfseg.unet.build_unet` with max pooling and transposed convolutions, for one class; channels come second."""

    def __init__(self, filters, depth, dropout):
        super().__init__()
        widths = [filters * 2**level for level in range(depth + 1)]
        self.encoders = nn.ModuleList(map(double_conv, [3, *widths[:-1]], widths))  # the last one is the bottleneck
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, stride=2) for width in widths[:-1])
        self.decoders = nn.ModuleList(double_conv(2 * width, width) for width in widths[:-1])
        self.dropout, self.logits = nn.Dropout(dropout), nn.Conv2d(filters, 1, 1)

    def forward(self, x):
        skips, depth = [], len(self.ups)
        for level, encode in enumerate(self.encoders):
            x = encode(functional.max_pool2d(x, 2) if level else x)
            x = self.dropout(x) if level >= depth - 1 else x
            skips.append(x)
        x = skips.pop()
        for up, decode in zip(reversed(self.ups), reversed(self.decoders), strict=True):
            x = decode(torch.cat([skips.pop(), up(x)], dim=1))
        return self.logits(x)

    def count_params(self):
        """As Keras counts: batch statistics included."""
        batches = sum(name.endswith("num_batches_tracked") for name in self.state_dict())
        return sum(value.numel() for value in self.state_dict().values()) - batches


class TorchService:
    """One setting of PyTorch's, a `benchmarks.plan.Row` of the loop `"torch"`."""

    def __init__(self, row, sizes):
        self.row, self.recipe, self.start = row, sizes.unet_recipe(), peak_memory()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")  # TF32 on GPUs, as in TensorFlow

    def build(self):
        """Builds the model and takes the first step; returns what is known of the setting then."""
        torch.manual_seed(0)
        recipe, place = self.recipe, {"device": self.device, "memory_format": torch.channels_last}
        model = UNet(recipe.filters, recipe.depth, recipe.dropout).to(**place)
        shape = (recipe.batch_size, 3, recipe.image_size, recipe.image_size)
        images = torch.rand(shape).to(**place)
        masks = torch.randint(0, 2, (shape[0], 1, *shape[2:])).float().to(**place)
        options = {"weight_decay": recipe.weight_decay, "fused": True}
        optimizer = torch.optim.AdamW(model.parameters(), recipe.learning_rate, **options)
        forward = torch.compile(model) if self.row.xla == "compile" else model
        half = self.row.precision == "mixed_bfloat16"

        def step():
            optimizer.zero_grad()
            with torch.autocast(self.device, torch.bfloat16, enabled=half):
                logits = forward(images)
            loss = functional.binary_cross_entropy_with_logits(logits.float(), masks)
            loss.backward()
            optimizer.step()
            return loss.item()

        self.step, started = step, time.perf_counter()
        self.step()
        facts = {"first_step_seconds": time.perf_counter() - started, "framework": f"PyTorch {torch.__version__}"}
        return facts | {"parameters": model.count_params()}

    def measure(self, name, seconds):
        """Images a second; `name` is `"step"`."""
        return rate(self.step, self.recipe.batch_size, seconds)

    def memory(self):
        """Bytes, as `measurements.RowService.memory`."""
        memory = {"start": self.start, "peak": peak_memory()}
        if self.device == "cuda":
            memory["device_peak"] = torch.cuda.max_memory_allocated()
        return memory
