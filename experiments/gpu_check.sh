#!/usr/bin/env bash
# What to run first on a fresh GPU machine, on JAX: the benchmark alone, then side by side CIFAR-10's control, the U-Net
# matrix, and every training script in its smallest size.
#
#     bash experiments/gpu_check.sh [RESULTS]        # default: results/; TFDS_DATA_DIR says where the datasets are
#
# Each part leaves a log in RESULTS/gpu_check/ and its records below RESULTS; one that fails
# does not stop the others, and the exit status says whether any did. Run again, the trainings go on where they stopped.
set -uo pipefail
results=${1:+$(realpath -m "$1")}
cd "$(dirname "$0")/.."
results=${results:-results}
logs=$results/gpu_check
mkdir -p "$logs" 2>/dev/null || { echo "error: can't write to $results; name another folder" >&2; exit 2; }
export KERAS_BACKEND=jax XLA_PYTHON_CLIENT_PREALLOCATE=false PYTHONUNBUFFERED=1
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$logs/compiled}
python=${PYTHON:-python}
smoke=$(mktemp -d) # not below RESULTS, whose summary has every record
trap 'rm -rf "$smoke"' EXIT
set -m # each part in the background is a process group, which ends with this script
trap 'for job in $(jobs -p); do kill -- "-$job"; done; exit 130' INT TERM
failed=0

part() { # part NAME COMMAND...: runs a command with its output in a log, and says how it went
    local name=$1 started=$SECONDS status=ok
    shift
    "$@" >"$logs/$name.log" 2>&1 || status="failed, see $logs/$name.log"
    echo "$name: $status ($((SECONDS - started)) s)"
    [ "$status" = ok ]
}

smoke() { # every training script in its smallest size, on data drawn here
    local failed=0
    part smoke-unet "$python" experiments/run_unet_matrix.py --data shapes --preset smoke --results "$smoke" || failed=1
    part smoke-cvae "$python" experiments/cvae.py --data glyphs --preset smoke --results "$smoke" || failed=1
    part smoke-nmt "$python" experiments/nmt.py --data numbers --preset smoke --results "$smoke" || failed=1
    return "$failed"
}

part benchmark env -u JAX_COMPILATION_CACHE_DIR "$python" experiments/benchmark.py --parts unet cvae nmt --settings default --results "$results" &
wait $! || failed=1
# Compiling keeps the processor busy and leaves the GPU idle, so all that need not be timed runs side by side. Records say
# that they were made beside each other.
export BESIDE=${BESIDE:-the other trainings of gpu_check.sh}
part cifar10-control "$python" experiments/cvae.py --data cifar10 --preset gpu --model control --results "$results" &
part unet-matrix "$python" experiments/run_unet_matrix.py --preset gpu --results "$results" &
smoke &
for job in $(jobs -p); do
    wait "$job" || failed=1
done
exit "$failed"
