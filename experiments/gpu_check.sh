#!/usr/bin/env bash
# What to run first on a fresh GPU machine, on JAX: CIFAR-10's control, beside it a U-Net, a conditional VAE and a
# transformer in their smallest size, then the U-Net matrix, and the benchmark.
#
#     bash experiments/gpu_check.sh [RESULTS]        # default: results/; TFDS_DATA_DIR says where the datasets are
#
# Each part leaves a log in RESULTS/gpu_check/ and its records below RESULTS; one that fails
# does not stop the others, and the exit status says whether any did. Run again, it goes on where it stopped.
set -uo pipefail
results=${1:+$(realpath -m "$1")}
cd "$(dirname "$0")/.."
results=${results:-results}
logs=$results/gpu_check
mkdir -p "$logs" 2>/dev/null || { echo "error: can't write to $results; name another folder" >&2; exit 2; }
export KERAS_BACKEND=jax XLA_PYTHON_CLIENT_PREALLOCATE=false PYTHONUNBUFFERED=1
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$logs/compiled}
python=${PYTHON:-python}
failed=0

part() { # part NAME COMMAND...: runs a command with its output in a log, and says how it went
    local name=$1 started=$SECONDS status=ok
    shift
    "$@" >"$logs/$name.log" 2>&1 || status="failed, see $logs/$name.log"
    echo "$name: $status ($((SECONDS - started)) s)"
    [ "$status" = ok ] || failed=1
    [ "$status" = ok ]
}

smoke() { # every training script in its smallest size, on data drawn here
    local smoke # not below RESULTS, whose summary has every record
    smoke=$(mktemp -d)
    part smoke-unet "$python" experiments/run_unet_matrix.py --data shapes --preset smoke --results "$smoke"
    part smoke-cvae "$python" experiments/cvae.py --data glyphs --preset smoke --results "$smoke"
    part smoke-nmt "$python" experiments/nmt.py --data numbers --preset smoke --results "$smoke"
    rm -r "$smoke"
}

# Compiling keeps the processor busy and leaves the GPU idle, so the smoke tests run beside the long compilation.
part cifar10-control "$python" experiments/cvae.py --data cifar10 --preset gpu --model control --results "$results" &
control=$!
smoke
wait "$control" || failed=1
part unet-matrix "$python" experiments/run_unet_matrix.py --preset gpu --results "$results"
part benchmark "$python" experiments/benchmark.py --results "$results"
exit "$failed"
