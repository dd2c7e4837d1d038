"""A long night in short: a large table with broken and missing cells, a job that is killed again and again.

    python -m benchmarks.soak --rows 200000 --kills 5

Prints one JSON object: speed, what each run took and how much memory, and whether memory grows with the rows. Ends
with an error where a row is lost, repeated, or has features that it should not have.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import pyarrow as pa
from pyarrow import parquet

from osnet_encoder import OsNetEncoder
from osnet_encoder.crops import encode_crop

__all__ = ["main"]

# Distinct crops; each stands in many rows, never twice in one batch.
CROPS = 997
BATCH, PART = 32, 4096
SECONDS_BETWEEN_LOOKS = 0.1
WEIGHTS, PATCH_SIZE = "untrained:osnet_x0_25", (64, 32)


@click.command()
@click.option("--rows", type=click.IntRange(1), default=200_000, show_default=True)
@click.option("--kills", type=click.IntRange(0), default=5, show_default=True)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Of crops, of rows, and of the moments to kill."
)
def main(rows, kills, seed):
    """Encode a large table while somebody keeps killing the job."""
    with tempfile.TemporaryDirectory(prefix="osnet-soak-") as folder:
        source, target = Path(folder, "in.parquet"), Path(folder, "out.parquet")
        numbers = _write_table(source, rows, seed)
        started = time.monotonic()
        runs = _run_until_done(source, target, rows, kills, random.Random(seed))
        took = time.monotonic() - started
        _check(target, numbers, _features(seed))
        sys.stdout.write(
            json.dumps(
                {
                    "rows": rows,
                    "kills": kills,
                    "seconds": round(took, 1),
                    "rows_per_second": round(rows / took, 1),
                    "missing": int((numbers == -1).sum()),
                    "broken": int((numbers == -2).sum()),
                    "runs": runs,
                },
                indent=1,
            )
            + "\n"
        )


def _crops(seed):
    return np.random.default_rng(seed).integers(0, 256, (CROPS, 24, 12, 3), np.uint8)


def _write_table(path, rows, seed):
    """Write the table; which crop each row has, -1 where it is missing, -2 where it is broken."""
    cells = np.array([encode_crop(crop) for crop in _crops(seed)], object)
    chance = np.random.default_rng(seed).random(rows)
    numbers = np.where(chance < 0.02, -1, np.where(chance < 0.04, -2, np.arange(rows) % CROPS))
    schema = pa.schema([("id", pa.int64()), ("crop", pa.string())])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, rows, PART):
            part = numbers[start : start + PART]
            crops = [{-1: None, -2: "broken"}.get(number, cells[number]) for number in part.tolist()]
            ids = pa.array(np.arange(start, start + len(part)))
            writer.write_batch(pa.RecordBatch.from_arrays([ids, pa.array(crops, pa.string())], schema=schema))
    return numbers


def _features(seed):
    """float32, (CROPS, D), encoded without any job."""
    encoder = OsNetEncoder(WEIGHTS, device="cpu", engine="onnx", patch_size=PATCH_SIZE)
    return encoder.encode([encode_crop(crop) for crop in _crops(seed)])


def _run_until_done(source, target, rows, kills, chance):
    """Run, kill, run again; what each run was like."""
    # every kill falls into its own slice of the rows
    moments = [int((kill + chance.random()) * rows / max(kills, 1)) for kill in range(kills)]
    runs = []
    while True:
        process = _start(source, target)
        runs.append(_watch(process, target, moments[len(runs)] if len(runs) < kills else None))
        if len(runs) > kills:
            if process.returncode != 0:
                raise click.ClickException(f"the last run ended with code {process.returncode}")
            return runs


def _start(source, target):
    words = [str(source), str(target), "--weights", WEIGHTS, "--engine", "onnx", "--device", "cpu"]
    words += ["--patch-size", "x".join(map(str, PATCH_SIZE)), "--batch-size", str(BATCH), "--part-rows", str(PART)]
    words += ["--max-error-rate", "0.05", "--log-level", "error"]
    return subprocess.Popen([sys.executable, "-m", "osnet_encoder.cli.encode", *words], stdout=subprocess.DEVNULL)


def _watch(process, target, kill_at):
    """Look at a run until it ends, or until it has come to row `kill_at` and is killed."""
    memory = []
    parts = 0
    while process.poll() is None:
        memory.append((parts * PART, _memory_of(process.pid)))
        parts = len(list(target.with_name(f"{target.name}.job").glob("part-*.arrows")))
        if kill_at is not None and parts * PART >= kill_at:
            process.send_signal(signal.SIGKILL)
            process.wait()
        time.sleep(SECONDS_BETWEEN_LOOKS)
    begun = [size for row, size in memory if row > memory[0][0]]
    quarter = max(1, len(begun) // 4)
    return {
        "killed_at_row": kill_at,
        "peak_mib": max(size for _, size in memory) >> 20,
        "mib_in_the_first_and_last_quarter": [
            int(np.median(begun[:quarter] or [0])) >> 20,
            int(np.median(begun[-quarter:] or [0])) >> 20,
        ],
    }


def _memory_of(pid):
    """Bytes in memory; 0 once the process is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _check(target, numbers, features):
    """Hold every row against the table that was written."""
    row = 0
    for batch in parquet.ParquetFile(target).iter_batches(PART):
        part = numbers[row : row + len(batch)]
        if batch.column("id").to_pylist() != list(range(row, row + len(batch))):
            raise click.ClickException(f"rows are lost or repeated from row {row} on")
        column = batch.column("feature_vector")
        found = column.values.to_numpy(zero_copy_only=False).reshape(len(batch), -1)
        present = column.is_valid().to_numpy(zero_copy_only=False)
        told = batch.column("feature_vector_error").is_valid().to_numpy(zero_copy_only=False)
        if (present != (part >= 0)).any() or (told != (part == -2)).any():
            raise click.ClickException(f"features or errors stand in the wrong rows from row {row} on")
        wanted = features[part[present]]
        if np.abs(found[present] - wanted).max() > 2e-5 * np.abs(wanted).max():
            raise click.ClickException(f"features are not what they should be from row {row} on")
        row += len(batch)
    if row != len(numbers):
        raise click.ClickException(f"found {row} rows, wanted {len(numbers)}")


if __name__ == "__main__":
    main()
