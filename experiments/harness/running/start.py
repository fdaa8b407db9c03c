"""How every training script starts, once its options are known to be right."""

from experiments.harness.running import hardware, runs


def start(choice, args):
    """Checks the results folder, says where the data comes from, starts TensorFlow and decides about the hardware.

    Args:
        choice: the dataset, a `datasets.Choice`.
        args: the script's options: `results`, `dry_run`, `precision` and, where it has one, `strategy`.

    Returns:
        The `hardware.Hardware`; None where there is nothing more to do: a dry run does not download data.

    Raises:
        UserError: where files can't be written into the results folder.
    """
    if not args.dry_run:
        runs.check_writable(args.results)
    if choice.notice:
        print(choice.notice)
    if args.dry_run and choice.source == "download":
        print("How much work it is depends on the size of the data, which a dry run does not download.")
        return None
    print("Starting TensorFlow ...", flush=True)
    hardware.import_tensorflow()
    machine = hardware.decide(args.precision, getattr(args, "strategy", "none"))
    print(f"Hardware: {machine}")
    return machine
