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

from kill import contents, stop_at_move
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


def file_count(rows):
    """Of a folder of so many rows: the part files and `_SUCCESS`."""
    return max(1, -(-rows // PART_ROWS)) + 1


class Jobs(RuleBasedStateMachine):
    """The model: what the input holds, which options are asked for, and what should stand at the output's place.

    `place` is None, "foreign", or the (cells, layout) that the output there was made of; `begun` is the (cells,
    layout) of the unfinished job, and `done` how many rows its parts have. Where the output is a folder, `staged`
    is what the unfinished job has noted and would put there, and `half` whether part of it may be there already.
    """

    @initialize(suffix=sampled_from((".csv", ".parquet", "/")))
    def begin(self, suffix):
        self.folder = Path(tempfile.mkdtemp())
        self.table, self.name = self.folder / "in.csv", f"{self.folder}/out{suffix}"
        self.target = Path(self.name)
        self.cells, self.layout = (0, 1, 2), False
        self.place = self.begun = self.staged = None
        self.half = False
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
        self.run_with(False, False, None, None)

    @rule(stop_after=integers(1, 12))
    def stop(self, stop_after):
        self.run_with(True, False, stop_after, None)

    @rule()
    def overwrite(self):
        self.run_with(True, False, None, None)

    @precondition(lambda self: self.name.endswith("/"))
    @rule(move=integers(1, 8))
    def stop_while_the_folder_is_filled(self, move):
        self.run_with(True, False, None, move)

    @rule(
        overwrite=booleans(),
        fresh=booleans(),
        stop_after=sampled_from((None, 0, 1, 4, 7, 9)),
        move=sampled_from((None, 1, 2, 3, 5)),
    )
    def run_with(self, overwrite, fresh, stop_after, move):
        wanted, rows = (self.cells, self.layout), len(self.cells)
        move = move if self.name.endswith("/") else None

        def progress(tally, _):
            if stop_after is not None and tally.rows >= stop_after:
                raise Stop

        def call():
            with pytest.MonkeyPatch.context() as patch:
                stop_at_move(patch, self.target, move, Stop)
                return encode_table(
                    self.table, self.name, ENCODER, part_rows=PART_ROWS, keep_crops=self.layout, column="crop",
                    max_error_rate=1, overwrite=overwrite, fresh=fresh, progress=progress,
                )  # fmt: skip

        # any run first ends what another had begun to put into the folder
        ends = self.half or (self.staged is not None and self.place is None)
        moves = self.moves_to_end() if ends else 0
        if ends:
            if move is not None and move <= moves:
                self.stopped(call)
                self.half = True
                return
            self.place, self.begun, self.staged, self.half = self.staged, None, None, False
        if self.place == wanted and not fresh:
            assert call().state == "unchanged"
            self.begun = self.staged = None
            return
        if self.place is not None and self.place != wanted and not overwrite:
            self.refused(call, "exists" if self.place == "foreign" else "changed", ends)
            return
        if fresh:
            self.begun = None
        if self.begun is not None and self.begun != wanted:
            if not overwrite:
                self.refused(call, "changed", ends)
                return
            if self.begun[0] != self.cells:
                self.begun = None
        self.staged = None
        kept = self.done if self.begun is not None else 0
        # progress is told after every batch, of two rows
        stops = [min(row + 2, rows) for row in range(kept, rows, 2)]
        stops = [row for row in stops if stop_after is not None and row >= stop_after]
        if stops:
            self.stopped(call)
            self.done = rows if stops[0] == rows else stops[0] // PART_ROWS * PART_ROWS
            self.begun = wanted if self.done else None
            return
        if move is not None:
            # `_SUCCESS` goes, the old files go, the new ones come; old are those of a job that is ended first
            there = contents(self.name) or {}
            old = file_count(len(self.place[0])) - 1 if ends else len(there.keys() - {"_SUCCESS"})
            at = move - moves
            if at <= 1 + old + file_count(rows):
                self.stopped(call)
                self.begun, self.done, self.staged = wanted, rows, wanted
                # what no job made is not deleted by a run that ends something
                self.half = at >= 2 + old if self.place == "foreign" else self.place is None or at > 1
                return
        summary = call()
        assert summary.state == "published"
        assert summary.resumed == kept
        self.place, self.begun = wanted, None
        self.check_output()

    def stopped(self, call):
        with pytest.raises(Stop):
            call()

    def refused(self, call, reason, ends=False):
        before = contents(self.name)
        with pytest.raises(JobError) as caught:
            call()
        assert caught.value.reason == reason
        assert ends or contents(self.name) == before

    def moves_to_end(self):
        """How many files go from the folder, and come into it, until what was begun is ended."""
        left, there = contents(self.folder / "out.job" / "staged"), contents(self.name) or {}
        wanted = {f"part-{number:05}.parquet" for number in range(file_count(len(self.staged[0])) - 1)}
        # one that is to come and has the same bytes may stay until it does
        old = [name for name in there if name not in wanted or left.get(name, there[name]) != there[name]]
        return len(old) + len(left)

    @precondition(lambda self: isinstance(self.place, tuple) and self.begun is None)
    @rule()
    def update(self):
        lost = len(self.cells) < len(self.place[0])

        def call():
            return encode_table(
                self.table, self.name, ENCODER, part_rows=PART_ROWS, keep_crops=self.layout, column="crop",
                max_error_rate=1, update=True, key="id",
            )  # fmt: skip

        if self.place == (self.cells, self.layout):
            assert call().state == "unchanged"
        elif lost:
            self.refused(call, "lost")
            self.begun, self.done = None, 0
            shutil.rmtree(self.folder / f"{self.target.name}.job")
            self.remove()
        elif self.cells[: len(self.place[0])] == self.place[0]:
            call()
            self.place = (self.cells, self.layout)
            self.check_output()

    @precondition(lambda self: not self.half)
    @rule()
    def spoil_the_output(self):
        if self.name.endswith("/"):
            self.target.mkdir(exist_ok=True)
            (self.target / "part-00000.parquet").write_text("foreign")
        else:
            self.target.write_text("foreign")
        self.place = "foreign"

    @precondition(lambda self: self.place is not None and not self.half)
    @rule()
    def delete_the_output(self):
        self.remove()

    def remove(self):
        if self.target.is_dir():
            shutil.rmtree(self.target)
        else:
            self.target.unlink()
        self.place = None

    @precondition(lambda self: isinstance(self.place, tuple) and self.place[0] == self.cells and not self.half)
    @rule()
    def verify(self):
        assert verify_table(self.table, self.name, ENCODER).rows == len(self.cells)

    def check_output(self):
        read = pd.read_csv if self.name.endswith(".csv") else pd.read_parquet
        frame = read(self.target)
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
        if self.half:
            assert not (self.target / "_SUCCESS").exists()
        else:
            assert self.target.exists() is (self.place is not None)
        allowed = {"in.csv", self.target.name, f".{self.target.name}.lock", f"{self.target.name}.job"}
        assert {path.name for path in self.folder.iterdir()} <= allowed


TestJobs = Jobs.TestCase
TestJobs.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
