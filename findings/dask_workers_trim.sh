#!/usr/bin/env bash
# Dask's worker processes give every array back to the kernel, and pay for its pages again.
#
# Expected: a worker process allocates like any other Python process.
# Seen:     Dask's nanny starts workers with MALLOC_TRIM_THRESHOLD_=65536, against memory that a long-lived process
#           seems to keep. With it glibc no longer adapts its thresholds: what is larger than 64 to 128 kB is
#           returned when it is freed, and the next array of that size faults in page after page, in the kernel. The
#           setting is in no signature, and `LocalCluster(processes=False)` has it not. A quarter of the CPU of a
#           PyTorch engine in such a worker went there, and a third of that of units of work on Arrow tables.
#               MALLOC_TRIM_THRESHOLD_ in a worker: 65536
#               page faults of 200 arrays of 1 MB: 51,401 in a worker, 0 in a plain process
# With:     distributed 2026.8.0, numpy 2.3.5, Python 3.11, glibc.
# Here:     the engine of the transformers backend sets thresholds of its own (its allocator.py, and a test beside).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet distributed==2026.8.0 dask==2026.8.0 numpy==2.3.5

cat > "$folder/faults.py" <<'PYTHON'
import os
import resource


def faults():
    import numpy

    for _ in range(20):
        numpy.ones(1 << 17)  # 1 MB: a first few, after which a plain process keeps what it has
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(200):
        numpy.ones(1 << 17)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def setting():
    return os.environ.get("MALLOC_TRIM_THRESHOLD_")


if __name__ == "__main__":
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        there, told = client.submit(faults).result(), client.submit(setting).result()
    here = faults()
    print(f"MALLOC_TRIM_THRESHOLD_ in a worker: {told}")
    print(f"page faults of 200 arrays of 1 MB: {there:,} in a worker, {here:,} in a plain process")
    raise SystemExit(0 if told == "65536" and there > 10 * here + 1000 else "this has changed")
PYTHON
cd "$folder"
env -u MALLOC_TRIM_THRESHOLD_ "$folder/venv/bin/python" faults.py
