"""The benchmarks run, check what they time, and write what their README says; nothing here is about speed."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from benchmarks import encode, precision, report
from benchmarks.agreement import compare, worst
from benchmarks.baselines import one_at_a_time, open_network
from benchmarks.cases import Absent, Case, Settings, open_encoder, shown_name
from benchmarks.ceiling import ceiling_rate
from benchmarks.crop_strings import crop_strings, parse_size, write_repeated
from benchmarks.layout import LAYOUTS, render
from benchmarks.pairs import Contender, Spread, ratio, run_in_turn, spread
from benchmarks.processes import ProcessFailed, run_python
from benchmarks.results import PARTS, disagreements, merge
from benchmarks.subject import load_osnet
from osnet_encoder import OsNetEncoder, decode_crop, stack_features
from osnet_encoder.errors import TableError, WeightsError
from osnet_encoder.patches import PatchSpec
from osnet_encoder.untrained import formula_tensors
from osnet_encoder.weights import save
from source import ROOT

TINY = ("--variant", "osnet_x0_25", "--engine", "onnx", "--precision", "fp32", "--rounds", "1", "--threads", "1")
NAMED = {"weights", "size", "engine", "precision", "status"}
PAGE = ROOT / "docs" / "performance.md"


def measure(folder, *options):
    """Run `benchmarks.encode`; the results as read back."""
    target = folder / "results.json"
    done = CliRunner().invoke(encode.main, [*TINY, *options, "--json", str(target)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(target.read_text(encoding="utf-8"))


def documented_keys(heading):
    """First cell -> keys of the other, of the tables below a heading of the README."""
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8").partition(f"\n{heading}\n")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", cell)) for name, cell in rows}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Of everything that runs within one process, on two crops."""
    parts = ("--only", "column", "--only", "table", "--only", "ceiling", "--only", "stages")
    return measure(tmp_path_factory.mktemp("benchmark"), "--crops", "2", "--rows", "4", *parts)


def check_keys(part, rows):
    wanted = documented_keys("## The JSON")[part] | (set() if part == "startup" else NAMED)
    for row in rows:
        assert set(row) == wanted
    assert render(part, rows).count("\n") == len(rows) + 1


@pytest.mark.parametrize("part", ["column", "table", "ceiling", "stages"])
def test_a_part_s_rows_have_the_documented_keys(results, part):
    check_keys(part, results[part])


def test_what_stands_beside_the_rows_is_documented(results):
    assert set(results) - set(PARTS) == set(documented_keys("## The JSON")) - set(PARTS)
    assert set(documented_keys("## The JSON")) & set(PARTS) == set(PARTS) == set(LAYOUTS)


def test_every_row_was_compared_with_the_reference_and_agrees(results):
    rows = [row for part in ("column", "table", "ceiling", "stages") for row in results[part]]
    assert [row["engine"] for row in rows] == ["original", "loader", "onnx", "onnx", "onnx", "onnx"]
    assert all(row["agreement"]["holds"] and row["agreement"]["limit"] == 2e-5 for row in rows)
    assert disagreements(results) == []


def test_memory_is_measured_over_tables_of_several_lengths(tmp_path):
    found = measure(tmp_path, "--only", "memory", "--memory-rows", "5", "--memory-rows", "20")["memory"]
    check_keys("memory", found)
    assert [row["rows"] for row in found] == [5, 20]
    assert all(row["agreement"]["holds"] and row["peak_bytes"] > 10**7 for row in found)


@pytest.mark.slow
def test_start_up_is_measured_and_loads_no_torch(tmp_path):
    found = measure(tmp_path, "--only", "startup")["startup"]
    check_keys("startup", found)
    assert {row["what"]: row["torch_loaded"] for row in found}["first feature, osnet_x0_25"] is False


def test_precisions_are_compared_on_labelled_crops(tmp_path):
    labels = tmp_path / "labelled.parquet"
    people = {"person_id": [1, 1, 2, 2, 2], "camera_id": [1, 2, 1, 2, 2]}
    pd.DataFrame({"crop": [*crop_strings("24x12", 4), None], **people}).to_parquet(labels)
    target = tmp_path / "precision.json"
    options = ["--labels", labels, "--weights", "untrained:osnet_x0_25", "--engine", "onnx", "--precision", "fp32"]
    done = CliRunner().invoke(precision.main, [*map(str, options), "--json", str(target)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (row,) = json.loads(target.read_text(encoding="utf-8"))["precision"]
    check_keys("precision", [row])
    assert (row["crops"], row["rank_1_change"], row["mean_average_precision_change"]) == (4, 0, 0)
    assert row["lowest_cosine"] == pytest.approx(1, abs=1e-6)


def test_labelled_crops_need_their_labels(tmp_path):
    pd.DataFrame({"crop": ["{"]}).to_parquet(tmp_path / "crops.parquet")
    with pytest.raises(TableError, match=r"crops.parquet has no column person_id, camera_id; it has crop$"):
        precision.read_labelled(tmp_path / "crops.parquet")


def test_retrieval_is_that_of_a_worked_example():
    # The first query finds its person second, the second one first and third; the third's is not in the gallery.
    features = np.array([[1, 0], [0, 1], [1, 1], [0.6, 0.8], [0.8, 0.6], [1, 0]], np.float32)
    identities = np.array(["a", "b", "c", "b", "a", "b"], object)
    cameras = np.array(["1", "1", "1", "2", "2", "2"], object)
    rank_1, mean_average_precision = precision.retrieval(features, identities, cameras, "1", "2")
    assert rank_1 == 0.5
    assert mean_average_precision == pytest.approx((1 / 2 + (1 + 2 / 3) / 2) / 2)
    with pytest.raises(ValueError, match=r"^nobody before camera '1' is also before camera '3'$"):
        precision.retrieval(features, identities, cameras, "1", "3")


def test_the_original_s_loop_gives_our_features():
    weights = load_osnet("untrained:osnet_x0_25")
    cells = crop_strings("varied", 3)
    original = stack_features(one_at_a_time(open_network(weights), cells, weights.spec))
    ours = OsNetEncoder("untrained:osnet_x0_25", engine="onnx", device="cpu").encode(cells)
    assert compare(ours, original).holds


def test_weights_with_a_neck_are_refused_since_the_baselines_know_none(tmp_path):
    path = tmp_path / "neck.safetensors"
    save(path, formula_tensors("osnet_x0_25", neck=True), spec=PatchSpec(), normalize=True)
    with pytest.raises(WeightsError, match=r"neck.safetensors is no OSNet without a BN-neck, which is what the"):
        load_osnet(str(path))


def test_features_agree_up_to_the_limit_of_their_precision():
    reference = np.array([[3, 4], [0, 10]], np.float32)
    off = reference + np.array([[0, 4e-3], [0, 0]], np.float32)
    agreement = compare(off, reference)
    assert agreement.found == pytest.approx(1e-3, rel=1e-3) and not agreement.holds
    assert compare(reference * (1 + 1e-5), reference).holds
    assert compare(off, reference, "bf16").holds
    assert not compare(reference[:, ::-1], reference, "bf16").holds


@pytest.mark.parametrize("features", [np.full((2, 2), np.nan, np.float32), np.zeros((1, 2), np.float32)])
def test_what_is_not_finite_or_of_another_shape_never_agrees(features):
    agreement = compare(features, np.ones((2, 2), np.float32))
    assert not agreement.holds
    assert agreement.as_dict() == {"measure": "of the largest", "found": None, "limit": 2e-5, "holds": False}
    assert worst([compare(np.ones((2, 2)), np.ones((2, 2))), agreement]) is agreement


def test_a_row_that_differs_is_named():
    case = {"weights": "some", "size": "256x128", "engine": "onnx", "precision": "fp32", "status": "measured"}
    wrong = {"measure": "of the largest", "found": 0.5, "limit": 2e-5, "holds": False}
    found = disagreements({"column": [{**case, "agreement": wrong}, {**case, "agreement": {"holds": True}}]})
    assert found == ["column: some, 256x128, onnx fp32: 0.5 of the largest, limit 2e-05"]


def test_an_engine_that_cannot_be_measured_is_listed_with_the_reason():
    settings = Settings(("untrained:osnet_x0_25",))
    with pytest.raises(Absent, match=r"^not installed$"):
        open_encoder("untrained:osnet_x0_25", Case("an_engine_that_nobody_installs", "fp32"), settings)
    with pytest.raises(Absent, match=r"^no precision 'fp1'"):
        open_encoder("untrained:osnet_x0_25", Case("onnx", "fp1"), settings)
    row = {"weights": "some", "size": "256x128", "engine": "other", "precision": "fp32", "status": "not installed"}
    for part in set(PARTS) - {"startup"}:
        assert render(part, [row, row]).endswith(" |\n\n- other fp32: not installed")


def test_contenders_run_in_turn_and_the_first_round_is_not_timed():
    order, clock = [], iter(range(100))
    timed = Contender(lambda: order.append("a"), clock=lambda: next(clock))
    telling = Contender(lambda: len(order) / 10, order.append, clock=None)
    assert run_in_turn({"a": timed, "b": telling}, 2) == {"a": [1, 1], "b": [0.3, 0.5]}
    assert order == ["a", 0.1, "a", 0.3, "a", 0.5]


def test_a_spread_and_a_ratio_are_of_medians():
    assert spread([3, 1, 8]) == Spread(3, 1, 8)
    assert ratio([4, 6, 8], [2, 2, 4]) == Spread(3, 2, 3)
    assert ratio([1, 10, 100], [100, 1, 1]).median == 10


def test_the_ceiling_shares_the_cores_on_the_cpu_and_takes_the_slower_side_elsewhere():
    assert ceiling_rate(100, 0.02, 2) == pytest.approx(50)
    assert ceiling_rate(100, 0.02, 4, "cuda") == 100
    assert ceiling_rate(300, 0.02, 4, "cuda") == 200


def test_crops_come_in_the_size_asked_for_and_tables_repeat_them(tmp_path):
    cells = crop_strings("24x12", 3)
    assert {decode_crop(cell).shape for cell in cells} == {(24, 12, 3)}
    assert len({decode_crop(cell).shape for cell in crop_strings("varied", 3)}) > 1
    write_repeated(tmp_path / "crops.parquet", cells, 7)
    frame = pd.read_parquet(tmp_path / "crops.parquet")
    assert list(frame["crop"]) == [cells[row % 3] for row in range(7)] and list(frame["row"]) == list(range(7))
    assert crop_strings("varied", 3, str(tmp_path / "crops.parquet")) == cells
    with pytest.raises(TableError, match=r"has 7 crops in column 'crop', wanted 8$"):
        crop_strings("varied", 8, str(tmp_path / "crops.parquet"))


def test_a_crop_size_is_height_and_width():
    assert (parse_size("256x128"), parse_size("varied")) == ((256, 128), None)
    with pytest.raises(
        ValueError, match=r"^crop size must be HEIGHTxWIDTH, as 256x128 is, or varied, found '256'$"
    ):
        parse_size("256")


def test_a_process_that_fails_says_why():
    with pytest.raises(
        ProcessFailed, match=r"^-c import sys; sys\.exit\('no such luck'\) ended .* 1: no such luck$"
    ):
        run_python("-c", "import sys; sys.exit('no such luck')")


def test_weights_are_shown_without_folders():
    names = ("untrained:osnet_x0_25", "some/folder/a.pth", r"C:\b.pth", "zoo_name")
    assert [shown_name(name) for name in names] == ["osnet_x0_25", "a.pth", "b.pth", "zoo_name"]


def test_results_of_one_machine_are_put_together_and_of_two_are_not():
    one = {"machine": 1, "others_share": 0.0, "column": [1]}
    two = {"machine": 1, "others_share": 0.2, "column": [2], "memory": [3]}
    three = {"machine": 1, "others_share": None, "memory": [4], "train": [5]}
    assert merge([one, two, three]) == {
        "machine": 1,
        "others_share": {"column": 0.2, "memory": None, "train": None},
        "column": [1, 2],
        "memory": [3, 4],
        "train": [5],
    }
    with pytest.raises(ValueError, match=r"^the results are from different machines or versions, wanted those of"):
        merge([one, {**two, "machine": 2}])


def test_a_report_fills_the_page_and_draws_beside_it(results, tmp_path):
    pytest.importorskip("matplotlib")
    page = tmp_path / "performance.md"
    page.write_bytes(PAGE.read_bytes())
    source = tmp_path / "results.json"
    source.write_text(json.dumps(results), encoding="utf-8")
    for _ in range(2):  # the second fills what the first has filled
        done = CliRunner().invoke(report.main, [str(source), "--page", str(page)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    text = page.read_text(encoding="utf-8")
    plots = re.findall(r"!\[\w+\]\((\w+\.png)\)", text)
    assert plots == ["performance_column.png", "performance_table.png", "performance_stages.png"]
    assert all((tmp_path / plot).read_bytes().startswith(b"\x89PNG") for plot in plots)
    assert render("stages", results["stages"]) in text
    assert set(re.findall(r"<!-- figures: (\w+) -->", text)) == {"machine", *report.SHOWN}


def test_a_page_without_a_place_for_a_figure_is_refused():
    with pytest.raises(ValueError, match=r"^wanted one place for the figures of 'column', found 0$"):
        report.fill("# Nothing here\n", {"column": "| a |"})
