"""What the docs say, held to what the code does: tables, links, names, and every command that can be run."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields

import click
import pytest

from osnet_encoder.cli import evaluate, train
from osnet_encoder.cli.encode import EPILOG, main
from osnet_encoder.crops import LIMITS, REASONS
from osnet_encoder.encoder import OsNetEncoder
from osnet_encoder.tables.kinds import KNOWN_SUFFIXES
from osnet_encoder.training.config import LOSSES, TrainConfig
from osnet_encoder.training.config_files import from_toml
from osnet_encoder.training.presets import AUGMENTATION
from osnet_encoder.training.reranking import MAX_ROWS
from osnet_encoder.training.run_folder import RunFolder
from osnet_encoder.training.verification import EXACT_ROWS, FARS
from osnet_encoder.variants import VARIANTS
from osnet_encoder.zoo import ZOO
from source import ROOT, modules

README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTIONS = {name for parameter in main.params for name in (*parameter.opts, *parameter.secondary_opts)
           if name.startswith("--")} | {"--help"}  # fmt: skip

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def text_of(page):
    return page.read_text(encoding="utf-8")


def section(page, heading):
    """What stands under a heading, up to the next one."""
    _, found, rest = text_of(page).partition(f"\n{heading}\n")
    assert found, f"{page.name} has no {heading!r}"
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text):
    """The cells of the rows of all tables, their heads left out, without backticks."""
    lines = re.sub(r"^\|.*\n\|[-|]+\|$", "", text, flags=re.MULTILINE).splitlines()
    split = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("|")]
    return [[cell.strip().replace("`", "") for cell in cells] for cells in split]


def anchors(page):
    """What a link into a page may end in, as the sites that show Markdown make it of a heading."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(block):
    """The commands of a block for the shell: lines joined where they go on, and cut at &&."""
    joined = re.sub(r"(\\|&&)\n\s*", lambda match: match[1].replace("\\", "") + " ", block)
    return [command.strip() for line in joined.splitlines() for command in line.split("&&")]


def run_command(command, folder):
    """Run `python examples/...` or `osnet-encode ...` and its like as a user does who stands in the checkout."""
    program, *arguments = shlex.split(command)
    if program.startswith("osnet-"):
        arguments = ["-m", f"osnet_encoder.cli.{program.removeprefix('osnet-')}", *arguments]
    else:
        arguments[0] = str(ROOT / arguments[0])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_the_readme_s_commands_and_python_run_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    ran = 0
    for language, block in FENCE.findall(text_of(README)):
        if language == "python":
            exec(compile(block, "README.md", "exec"), names)
        elif language == "bash":
            for command in commands(block):
                if command.startswith(("python examples/", "osnet-encode ")):
                    run_command(command, tmp_path)
                    ran += 1
    assert ran >= 2


def test_the_python_on_the_page_of_formats_runs():
    names = {}
    for language, block in FENCE.findall(text_of(ROOT / "docs" / "formats.md")):
        if language == "python":
            exec(compile(block, "formats.md", "exec"), names)
    assert callable(names["what_made"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page):
    for link in LINK.findall(FENCE.sub("", text_of(page))):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_explains_every_option():
    assert set(OPTION.findall(text_of(README))) >= OPTIONS


def test_the_readme_gives_the_command_no_option_that_it_lacks():
    first_cells = " ".join(cells[0] for cells in rows(text_of(README)))
    used = [block for _, block in FENCE.findall(text_of(README))]
    lines = [command.removeprefix("$ ") for block in used for command in commands(block)]
    ours = " ".join(line for line in lines if line.startswith("osnet-encode "))
    assert set(OPTION.findall(f"{first_cells} {ours}")) <= OPTIONS


def test_the_readme_has_the_defaults_of_the_options():
    table = {option: cells for cells in rows(text_of(README)) for option in OPTION.findall(cells[0])}
    for parameter in main.params:
        if isinstance(parameter, click.Option) and isinstance(parameter.default, str):
            assert parameter.default in table[parameter.opts[0]][2], parameter.name


def test_the_readme_and_the_help_give_the_same_exit_codes():
    helped = set(re.findall(r"^  (\d+)  ", EPILOG, re.MULTILINE))
    told = {code for cells in rows(text_of(README)) for code in re.findall(r"^\d+|(?<=, )\d+$", cells[0])}
    assert told == helped


def test_the_table_of_reasons_is_the_code_s():
    assert rows(section(ROOT / "docs" / "formats.md", "### Why a cell is broken")) == [
        [reason, meaning] for reason, meaning in REASONS.items()
    ]


def test_the_table_of_published_weights_is_the_code_s():
    assert rows(section(ROOT / "docs" / "formats.md", "### Published weights")) == [
        [name, entry.file_name, entry.sha256 or "not known"] for name, entry in ZOO.items()
    ]


def test_the_table_of_metadata_has_every_key():
    described = OsNetEncoder("untrained:osnet_x0_25", device="cpu").describe()
    listed = rows(section(ROOT / "docs" / "formats.md", "### What made the features"))
    assert sorted(key for cells in listed for key in cells[0].split(", ")) == sorted(described)


def test_the_pages_name_the_limits_the_suffixes_and_the_number_of_variants():
    formats = text_of(ROOT / "docs" / "formats.md")
    assert f"hex digits are limited to {LIMITS.max_hex >> 20} MiB" in formats
    assert f"pixels to {LIMITS.max_pixels // 10**6}\nmegapixels" in formats
    assert ", ".join(f"`{suffix}`" for suffix in KNOWN_SUFFIXES) in formats
    assert len(REASONS) == 14 and "for one of fourteen reasons" in formats
    assert len(VARIANTS) == 9 and "the nine variants" in text_of(ROOT / "docs" / "architecture.md")


def test_the_page_of_evaluation_explains_every_option_with_its_default_and_no_other():
    page = ROOT / "docs" / "evaluation.md"
    table = {option: cells for cells in rows(section(page, "## Options")) for option in OPTION.findall(cells[0])}
    ours = [parameter for parameter in evaluate.main.params if isinstance(parameter, click.Option)]
    assert set(table) == {name for parameter in ours for name in parameter.opts} | {"--help"}
    for parameter in ours:
        if parameter.name not in evaluate.ENCODER_OPTIONS and isinstance(parameter.default, (str, int)):
            assert str(parameter.default) in table[parameter.opts[0]][2] or parameter.is_flag, parameter.name
    used = " ".join(block for language, block in FENCE.findall(text_of(page)) if language == "bash")
    assert set(OPTION.findall(used)) <= set(table) | OPTIONS
    codes = {code for cells in rows(section(page, "### Exit codes")) for code in cells[0].split(", ")}
    assert codes == set(re.findall(r"^  (\d+)  ", evaluate.EPILOG, re.MULTILINE))


def test_the_python_on_the_page_of_evaluation_runs_and_its_limits_are_the_code_s(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = text_of(ROOT / "docs" / "evaluation.md")
    names = {}
    for language, block in FENCE.findall(page):
        if language == "python":
            exec(compile(block, "evaluation.md", "exec"), names)
    assert names["found"].queries == 24
    assert f"Up to {EXACT_ROWS:,} rows these are exact" in page
    assert f"More than {MAX_ROWS:,} rows are refused" in page
    assert f"at most {', '.join(map(str, FARS))} |" in page


def test_the_page_of_training_explains_every_option_with_its_default_and_no_other():
    page = text_of(ROOT / "docs" / "training.md")
    page = page[page.index("\n## Options\n") : page.index("\n### Exit codes\n")]
    table = {option: cells for cells in rows(page) for option in OPTION.findall(cells[0])}
    ours = [parameter for parameter in train.main.params if isinstance(parameter, click.Option)]
    flags = {name for parameter in ours for name in (*parameter.opts, *parameter.secondary_opts)}
    assert set(table) == flags | {"--help"}
    for one in fields(TrainConfig):
        if one.name == "labels":
            continue
        _, meaning, default = table[f"--{one.name.replace('_', '-')}"]
        if one.name not in ("arch", "task"):
            assert all(choice in meaning for choice in one.metadata.get("choices", ())), one.name
        if one.name in AUGMENTATION["person"]:
            person, face = (AUGMENTATION[task][one.name] for task in ("person", "face"))
            assert default == (f"{person:g}" if person == face else f"{person:g}; faces {face:g}"), one.name
        elif isinstance(one.default, bool):
            assert default == ("on" if one.default else "off"), one.name
        elif one.default not in (None, ()):
            assert default == (f"{one.default:g}" if isinstance(one.default, float) else str(one.default)), (
                one.name
            )


def test_the_page_of_training_names_the_losses_the_codes_and_the_files_that_there_are():
    page = ROOT / "docs" / "training.md"
    assert [cells[0] for cells in rows(section(page, "### Losses"))] == list(LOSSES)
    codes = {code for cells in rows(section(page, "### Exit codes")) for code in cells[0].split(", ")}
    assert codes == set(re.findall(r"^  (\d+)  ", train.EPILOG, re.MULTILINE))
    run = RunFolder(ROOT)
    files = {getattr(run, name) for name, kind in vars(RunFolder).items() if isinstance(kind, property)}
    named = {ROOT / name for cells in rows(section(page, "## What a run leaves")) for name in cells[0].split(", ")}
    assert named == files
    (settings,) = (block for language, block in FENCE.findall(text_of(page)) if language == "toml")
    assert from_toml(settings).milestones == (20, 30)


@pytest.mark.slow
def test_the_commands_and_the_python_on_the_page_of_training_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OSNET_TRAIN_THREADS", "1")
    for language, block in FENCE.findall(text_of(ROOT / "docs" / "training.md")):
        if language == "bash":
            for command in commands(block):
                run_command(command, tmp_path)
        elif language == "python":
            exec(compile(block, "training.md", "exec"), {})


def test_the_page_of_rooms_names_every_module_and_no_other():
    page = text_of(ROOT / "docs" / "architecture.md")
    listed = {name for cells in rows(page) for name in re.findall(r"[\w/]+\.py", cells[0])}
    wanted = set()
    for module in modules():
        path = module.path.relative_to(ROOT).as_posix().removeprefix("osnet_encoder/")
        if len(module.tree.body) > 1 and path not in ("__init__.py", "tables/__init__.py"):
            wanted.add(path)
    assert listed == wanted
