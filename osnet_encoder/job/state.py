"""One run of a job: what is asked for, and how far it has come."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from ..crop_column import check_column, find_crop_column
from ..errors import JobError
from ..tables import Table, check_target, names_folder, open_table
from .folder import STAGED, job_folder
from .layout import Layout, choose_format
from .manifest import Manifest
from .options import Options
from .parts import Part
from .place import find_place
from .summary import JobSummary, Tally, count_parts

__all__ = ["Job", "open_job"]


@dataclass
class Job:
    """One run of a job.

    Parameters
    ----------
    name : str
        The output, as the user called it.
    table : Table
    encoder : OsNetEncoder
    options : Options
    layout : Layout
    target, folder, staged : Path
        The output, its `OUTPUT.job`, and the file or folder in there that will be the output.
    rejects : Path or None
    progress : callable or None
    manifest : Manifest
        As it stands on the disk, or will next.
    tally : Tally
        Rows done, those of earlier runs included.
    resumed, encoded_here : int
        Rows that earlier runs had done; crops that this one has encoded.
    seconds : dict of str to float
    started : float
    """

    name: str
    table: Table
    encoder: Any
    options: Options
    layout: Layout
    target: Path
    folder: Path
    staged: Path
    rejects: Path | None
    progress: Any = None
    manifest: Manifest = field(default_factory=Manifest)
    tally: Tally = field(default_factory=Tally)
    resumed: int = 0
    encoded_here: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    started: float = field(default_factory=perf_counter)

    @property
    def in_files(self) -> bool:
        """Whether the output is a folder of part files."""
        return names_folder(self.name)

    def count_resumed(self, parts: list[Part]) -> None:
        """Count the parts of earlier runs in."""
        self.tally = count_parts(parts)
        self.resumed = self.tally.rows

    def summary(self) -> JobSummary:
        """What is to be told, once the manifest says that it is published."""
        published = self.manifest.published
        assert published is not None
        self.seconds["total"] = perf_counter() - self.started
        return JobSummary(
            output=self.name,
            column=self.layout.column,
            feature_column=self.layout.feature_column,
            rows=published.rows,
            encoded=published.encoded,
            missing=published.missing,
            broken=published.broken,
            resumed=self.resumed,
            dropped=len(published.dropped),
            reasons=published.reasons,
            rejects=None if self.rejects is None else str(self.rejects),
            crops_per_second=self.encoded_here / self.seconds["total"],
            seconds={stage: round(spent, 3) for stage, spent in self.seconds.items()},
            sha256=published.output.sha256,
            made_by=published.made_by,
        )


def open_job(source, target, encoder, options: Options, progress=None) -> Job:
    """Open the table, and settle where everything goes; nothing is written yet.

    Parameters
    ----------
    source, target : str or path
    encoder : OsNetEncoder
    options : Options
    progress : callable, optional

    Returns
    -------
    job : Job

    Raises
    ------
    TableError
        The input cannot be read, lacks a column, or has one too many; the output cannot be written.
    JobError
        One file is given for two purposes (`same_file`).
    ValueError
        The output cannot hold the format.
    """
    started = perf_counter()
    table = open_table(source)
    feature_format = choose_format(options.feature_format, target)
    place = find_place(target)
    rejects = None if options.rejects is None else check_target(options.rejects)
    _check_distinct(table.files, place, rejects)
    column = check_column(table, options.column) if options.column else find_crop_column(table)
    layout = Layout(
        column=column,
        feature_column=options.feature_column,
        feature_format=feature_format,
        keep_crops=options.keep_crops,
        error_column=options.error_column and options.error_column.replace("{}", options.feature_column),
        on_error=options.on_error or encoder.on_error,
    )
    layout.check(table.names)
    folder = job_folder(place)
    return Job(
        name=str(target),
        table=table,
        encoder=encoder,
        options=options,
        layout=layout,
        target=place,
        folder=folder,
        staged=folder / (STAGED if names_folder(target) else f"{STAGED}{''.join(place.suffixes[-2:])}"),
        rejects=rejects,
        progress=progress,
        started=started,
    )


def _check_distinct(files, target, rejects):
    for path in files:
        real = path.resolve()
        if rejects == real or target in (real, *real.parents):
            raise JobError("same_file", f"{real} is the input, and would be replaced")
    if rejects is not None and target in (rejects, *rejects.parents):
        raise JobError("same_file", f"{rejects} was given for the rejects, and is the output or in it")
