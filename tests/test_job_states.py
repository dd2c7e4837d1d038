"""A job against a model of it: run, stop, change options and input, resume, update, spoil, in any order."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import booleans, integers, sampled_from

from osnet_encoder import JobError, OsNetEncoder, encode_table, stack_features, verify_table
from osnet_encoder.crops import encode_crop
from pictures import draw_crop

PART_ROWS = 4
EXAMPLES = int(os.environ.get("OSNET_STATES", "40"))
CELLS = [*(encode_crop(draw_crop(number)) for number in range(6)), "", "broken"]
ENCODER = OsNetEncoder(
    "untrained:osnet_x0_25", device="cpu", engine="onnx", on_error="null", batch_size=2, patch_size=(32, 16)
)
FEATURES = ENCODER.encode(CELLS)


class Stop(BaseException):
    """What ends a run in the middle."""


class Jobs(RuleBasedStateMachine):
    """The model: what the input holds, which options are asked for, and what should stand at the output's place.

    `place` is None, "foreign", or the (cells, layout) that the file there was made of; `begun` is the (cells,
    layout) of the unfinished job, and `done` how many rows its parts have.
    """

    @initialize(suffix=sampled_from((".csv", ".parquet")))
    def begin(self, suffix):
        self.folder = Path(tempfile.mkdtemp())
        self.table, self.target = self.folder / "in.csv", self.folder / f"out{suffix}"
        self.cells, self.layout = (0, 1, 2), False
        self.place = self.begun = None
        self.done = 0
        self.write()

    def teardown(self):
        shutil.rmtree(self.folder)

    def write(self):
        cells = [CELLS[at] for at in self.cells]
        pd.DataFrame({"id": range(len(cells)), "crop": cells}).to_csv(self.table, index=False)

    @rule(more=integers(0, 7), again=integers(1, 3))
    def add_rows(self, more, again):
        self.cells = (*self.cells, *[more] * again)
        self.write()

    @rule()
    def begin_another_input(self):
        self.cells = (len(self.cells) % 6, 1, 7, 2, 6)
        self.write()

    @rule()
    def change_the_layout(self):
        self.layout = not self.layout

    @rule()
    def run(self):
        self.run_with(False, False, None)

    @rule(stop_after=integers(1, 12))
    def stop(self, stop_after):
        self.run_with(True, False, stop_after)

    @rule()
    def overwrite(self):
        self.run_with(True, False, None)

    @rule(overwrite=booleans(), fresh=booleans(), stop_after=sampled_from((None, 0, 1, 4, 7, 9)))
    def run_with(self, overwrite, fresh, stop_after):
        wanted = (self.cells, self.layout)

        def progress(tally, _):
            if stop_after is not None and tally.rows >= stop_after:
                raise Stop

        def call():
            return encode_table(
                self.table, self.target, ENCODER, part_rows=PART_ROWS, keep_crops=self.layout, column="crop",
                max_error_rate=1, overwrite=overwrite, fresh=fresh, progress=progress,
            )  # fmt: skip

        if self.place == wanted and not fresh:
            assert call().state == "unchanged"
            self.begun = None
            return
        if self.place is not None and self.place != wanted and not overwrite:
            self.refused(call, "exists" if self.place == "foreign" else "changed")
            return
        if fresh:
            self.begun = None
        if self.begun is not None and self.begun != wanted:
            if not overwrite:
                self.refused(call, "changed")
                return
            if self.begun[0] != self.cells:
                self.begun = None
        kept = self.done if self.begun is not None else 0
        rows = len(self.cells)
        # progress is told after every batch, of two rows
        stops = [min(row + 2, rows) for row in range(kept, rows, 2)]
        stops = [row for row in stops if stop_after is not None and row >= stop_after]
        if stops:
            with pytest.raises(Stop):
                call()
            self.done = rows if stops[0] == rows else stops[0] // PART_ROWS * PART_ROWS
            self.begun = wanted if self.done else None
            return
        summary = call()
        assert summary.state == "published"
        assert summary.resumed == kept
        self.place, self.begun = wanted, None
        self.check_output()

    def refused(self, call, reason):
        before = self.target.read_bytes() if self.target.exists() else None
        with pytest.raises(JobError) as caught:
            call()
        assert caught.value.reason == reason
        assert (self.target.read_bytes() if self.target.exists() else None) == before

    @precondition(lambda self: isinstance(self.place, tuple) and self.begun is None)
    @rule()
    def update(self):
        lost = len(self.cells) < len(self.place[0])

        def call():
            return encode_table(
                self.table, self.target, ENCODER, part_rows=PART_ROWS, keep_crops=self.layout, column="crop",
                max_error_rate=1, update=True, key="id",
            )  # fmt: skip

        if self.place == (self.cells, self.layout):
            assert call().state == "unchanged"
        elif lost:
            self.refused(call, "lost")
            self.begun, self.done = None, 0
            shutil.rmtree(self.folder / f"{self.target.name}.job")
            self.target.unlink()
            self.place = None
        elif self.cells[: len(self.place[0])] == self.place[0]:
            call()
            self.place = (self.cells, self.layout)
            self.check_output()

    @rule()
    def spoil_the_output(self):
        self.target.write_text("foreign")
        self.place = "foreign"

    @precondition(lambda self: self.place is not None)
    @rule()
    def delete_the_output(self):
        self.target.unlink()
        self.place = None

    @precondition(lambda self: isinstance(self.place, tuple) and self.place[0] == self.cells)
    @rule()
    def verify(self):
        assert verify_table(self.table, self.target, ENCODER).rows == len(self.cells)

    def check_output(self):
        frame = pd.read_parquet(self.target) if self.target.suffix == ".parquet" else pd.read_csv(self.target)
        assert frame["id"].tolist() == list(range(len(self.cells)))
        found, wanted = stack_features(frame["feature_vector"]), FEATURES[list(self.cells)]
        assert np.array_equal(np.isnan(found[:, 0]), np.isnan(wanted[:, 0]))
        assert np.nanmax(np.abs(found - wanted)) <= 2e-5 * np.nanmax(wanted)
        assert ("crop" in frame) is self.layout

    @invariant()
    def nothing_is_half_done(self):
        if not hasattr(self, "folder"):
            return
        assert not list(self.folder.glob("**/.*.partial"))
        assert self.target.exists() is (self.place is not None)
        allowed = {"in.csv", self.target.name, f".{self.target.name}.lock", f"{self.target.name}.job"}
        assert {path.name for path in self.folder.iterdir()} <= allowed


TestJobs = Jobs.TestCase
TestJobs.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
