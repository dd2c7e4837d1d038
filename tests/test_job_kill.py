"""Jobs that are killed: no row lost or repeated, and never half an output. `kill.py` does more of it."""

import os
import random

import pytest

from kill import KINDS, kill_jobs

KILLS = int(os.environ.get("OSNET_KILLS", "25"))


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_job_that_is_killed_at_any_moment_ends_as_if_nobody_had(tmp_path, name):
    times = -(-KILLS // len(KINDS))
    done = kill_jobs(tmp_path, name, times, random.Random(KINDS.index(name)))
    assert done.kills >= times
    assert done.outputs >= 1
