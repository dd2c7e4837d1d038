"""`python tests/fuzz TARGET [OPTIONS OF LIBFUZZER]`: bytes that bring out what should not come. See README.md."""

import importlib
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

TARGETS = ("crop_cells", "feature_cells", "image_cells", "table_files", "weight_files")

# Inputs are told apart by their way through these; of what is not written in Python nothing is seen. A target may
# name functions in `WATCHED` beside them.
PACKAGES = ["osnet_encoder", "PIL"]

# Seconds an input may take, and MiB the process may have; more is a finding. Seeds are kept although libFuzzer
# sees no difference between some, and as long as they are, since a shorter one may no longer be sound.
OPTIONS = (
    "-timeout=20",
    "-rss_limit_mb=2048",
    "-max_len=4096",
    "-keep_seed=1",
    "-reduce_inputs=0",
    "-print_final_stats=1",
)


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python tests/fuzz {{{','.join(TARGETS)}}} [-max_total_time=SECONDS ...]")
    folder = tempfile.mkdtemp()
    # libFuzzer ends its process without a word to Python; somebody has to tidy up.
    child = os.fork()
    if child:
        try:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        finally:
            shutil.rmtree(folder)
    tempfile.tempdir = folder
    search(sys.argv[1], sys.argv[2:])


def search(name, options):
    """Give the target what libFuzzer makes, until there is a finding or the time is over."""
    # What pyarrow says on the side of an error that it raises anyway.
    sys.unraisablehook = lambda _: None
    with atheris.instrument_imports(include=PACKAGES):
        target = importlib.import_module(name)
    for function in getattr(target, "WATCHED", ()):
        atheris.instrument_func(function)
    if not any(Path(word).is_file() for word in options):
        corpus = tempfile.mkdtemp()
        for number, seed in enumerate(target.seeds()):
            Path(corpus, f"seed-{number:02}").write_bytes(seed)
        options = [*options, corpus]
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", ResourceWarning)  # targets leave their folders to the parent
    atheris.Setup([name, *OPTIONS, *options], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
