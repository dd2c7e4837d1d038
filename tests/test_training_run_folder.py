"""The folder of a run: its name, what is in it, what is drawn from it, and who may have it."""

import json
import sys

import pytest

from osnet_encoder import JobError
from osnet_encoder.training.run_folder import RunFolder, new_run, open_run
from osnet_encoder.training.run_plots import draw_run

HISTORY = [
    {"epoch": 1, "loss": 3.5, "classification": 2.0, "metric": 1.5, "mAP": None, "rank1": None},
    {"epoch": 2, "loss": 2.5, "classification": 1.5, "metric": 1.0, "mAP": 0.5, "rank1": 0.25},
]


def test_a_name_that_is_taken_gets_a_number(tmp_path):
    names = [new_run(tmp_path / "a" / "runs", "osnet").path.name for _ in range(3)]
    assert names == ["osnet", "osnet-2", "osnet-3"]
    assert (tmp_path / "a" / "runs" / "osnet" / "weights").is_dir()


def test_runs_that_cannot_be_made_are_an_error_with_its_reason(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(JobError, match=r"^cannot make a folder for the run in \S+/runs: File exists$") as caught:
        new_run(tmp_path / "runs", "osnet")
    assert caught.value.reason == "run"


def test_what_is_no_run_or_never_began_cannot_be_opened(tmp_path):
    with pytest.raises(JobError, match=r"^\S+ is no run of osnet-train: there is no config.toml in it$"):
        open_run(tmp_path)
    run = new_run(tmp_path, "osnet")
    run.config.write_text("")
    wanted = r"^\S+/osnet cannot be resumed: it was stopped before its first epoch; start it anew$"
    with pytest.raises(JobError, match=wanted):
        open_run(run.path)
    run.checkpoint.write_bytes(b"")
    assert open_run(str(run.path)) == run


def test_one_process_at_a_time_has_a_run(tmp_path):
    run = RunFolder(tmp_path)
    with run.held():
        with pytest.raises(JobError, match=r"^another process is training in \S+$") as caught, run.held():
            pass
        assert caught.value.reason == "locked"
    with run.held():
        pass


def test_a_run_that_is_gone_cannot_be_had(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JobError, match=r"^cannot write into \S+/file: "), RunFolder(tmp_path / "file").held():
        pass


def test_the_history_is_a_table_with_empty_cells_where_nothing_was_measured(tmp_path):
    run = RunFolder(tmp_path)
    run.write_history(HISTORY)
    assert run.history.read_text().splitlines() == [
        "epoch,loss,classification,metric,mAP,rank1",
        "1,3.5,2.0,1.5,,",
        "2,2.5,1.5,1.0,0.5,0.25",
    ]
    assert run.read_history()[0] == {
        "epoch": "1", "loss": "3.5", "classification": "2.0", "metric": "1.5", "mAP": "", "rank1": "",
    }  # fmt: skip


def test_json_holds_no_number_that_others_cannot_read(tmp_path):
    run = RunFolder(tmp_path)
    run.write_json(run.metrics, {"mAP": 0.5, "eer": None})
    with pytest.raises(ValueError):
        run.write_json(run.metrics, {"mAP": float("nan")})
    assert json.loads(run.metrics.read_text()) == {"mAP": 0.5, "eer": None}


def test_a_run_is_drawn_from_its_files(tmp_path):
    pytest.importorskip("matplotlib")
    run = RunFolder(tmp_path)
    run.write_history(HISTORY)
    draw_run(run)
    assert [path.name for path in run.plots.iterdir()] == ["history.png"]
    run.write_json(run.curves, {"cmc": [0.5, 1.0], "roc": []})
    draw_run(run)
    assert sorted(path.name for path in run.plots.iterdir()) == ["cmc.png", "history.png"]
    run.write_json(run.curves, {"cmc": [0.5, 1.0], "roc": [[0.1, 0.5], [1.0, 1.0]]})
    draw_run(run)
    assert sorted(path.name for path in run.plots.iterdir()) == ["cmc.png", "history.png", "roc.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in run.plots.iterdir())


def test_without_matplotlib_a_line_in_the_log_says_what_is_missing(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    caplog.set_level("INFO", "osnet_encoder")
    draw_run(RunFolder(tmp_path))
    assert caplog.messages == ["plots want matplotlib: pip install 'osnet-encoder[plot]'"]
    assert not (tmp_path / "plots").exists()
