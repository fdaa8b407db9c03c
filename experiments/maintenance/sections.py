"""The sections of `results/summary.md`, by experiment, in the order of the page."""

from experiments.benchmarks.report import benchmark_section
from experiments.cvaes.report import cvae_section, judge_section
from experiments.searches.report import tuning_section
from experiments.unets.report import unet_section

SECTIONS = {
    "unet": unet_section,
    "judge": judge_section,
    "cvae": cvae_section,
    "tuning": tuning_section,
    "benchmark": benchmark_section,
}
