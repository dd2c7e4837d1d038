"""Patches of labelled crops: each crop decoded and resized once, and kept where there is room.

memory    an array
disk      a memory-mapped file, found again by the next run that wants the very same patches
none      nothing is kept: image files are decoded whenever they are wanted
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL

from ..engines import count_cpus
from ..errors import CropError, TableError
from ..patches import PatchSpec, resize_into
from ..tables import check_target, published
from ..tables.faults import read_errors, write_errors
from .free_space import free_disk, free_memory
from .label_cells import Progress, cell_decoder, decode_cells
from .label_faults import raise_faults
from .labels import Labels, data_hash, stamp_of

__all__ = ["CACHES", "PatchStore", "open_patches"]

_log = logging.getLogger(__name__)

CACHES = ("auto", "memory", "disk", "none")

# How much of the free memory patches may take unasked.
_MEMORY_PART = 4

# A file of patches of another number may mean what is not known here.
_FORMAT = 1


class PatchStore:
    """The patches of N labelled crops, to be taken by their positions; by several threads at once, too.

    Parameters
    ----------
    kind : "memory", "disk" or "none"
    length : int
        N.
    read : callable
        Of int64 (B,); gives uint8 (B, height, width, 3), the caller's own.

    Attributes
    ----------
    kind
        Where they are kept.
    """

    def __init__(self, kind: str, length: int, read: Callable[[np.ndarray], np.ndarray]):
        self.kind = kind
        self._length = length
        self._read = read

    def __len__(self) -> int:
        return self._length

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Take patches.

        Parameters
        ----------
        indices : int64, (B,)
            Positions in the labels, in any order, more than once if wanted.

        Returns
        -------
        patches : uint8, (B, height, width, 3)
            RGB; a copy.

        Raises
        ------
        IndexError
            There is no such position.
        TableError
            Where nothing is kept: an image file has gone, or is damaged.
        """
        indices = np.asarray(indices, np.int64)
        if len(indices) and not 0 <= indices.min() <= indices.max() < self._length:
            raise IndexError(f"positions from {indices.min()} to {indices.max()} among {self._length} patches")
        return self._read(indices)


def open_patches(
    labels: Labels,
    spec: PatchSpec,
    *,
    color_order: str = "rgb",
    cache: str = "auto",
    cache_dir: str | Path | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> PatchStore:
    """Decode all crops, and keep their patches.

    Parameters
    ----------
    labels : Labels
    spec : PatchSpec
        Of which the size matters here.
    color_order : "rgb" or "bgr"
        How the crops are stored.
    cache : "auto", "memory", "disk" or "none"
        Where patches are kept. Auto is memory where they take a quarter of what is free at most, else the disk
        where they fit, else none, for image files.
    cache_dir : path, optional
        Folder of patches on disk; `osnet-encoder/patches` in the user's cache if left out.
    threads : int, optional
        All processors that the process may use if left out.
    progress : callable, optional
        Called now and then with (crops done, crops in all).

    Returns
    -------
    store : PatchStore
        As long as the labels. Whatever its kind, every crop was decoded once.

    Raises
    ------
    TableError
        Crops are missing or broken: the first ten with their rows. There is no room for the patches, their file
        cannot be written, or a table has changed since its labels were read.
    ValueError
        `cache` is none of `CACHES`.
    """
    if cache not in CACHES:
        raise ValueError(f"cache must be one of {', '.join(CACHES)}, found {cache!r}")
    shape = (len(labels), spec.height, spec.width, 3)
    folder = Path(cache_dir) if cache_dir is not None else _user_cache()
    kind = _choose(labels, shape, folder) if cache == "auto" else cache
    threads = threads or count_cpus()
    _log.debug("%d patches of %dx%d take %s GB; cache %s", *shape[:3], _gigabytes(shape), kind)

    def decode_into(patches):
        def use(position, crop):
            resize_into(crop, patches[position], color_order)

        raise_faults(labels, decode_cells(labels, use, threads=threads, progress=progress))

    if kind == "memory":
        patches = np.empty(shape, np.uint8)
        decode_into(patches)
        return _kept("memory", patches)
    if kind == "disk":
        return _kept("disk", _on_disk(folder, _key(labels, shape, color_order), shape, decode_into))
    _check_files(labels)
    raise_faults(labels, decode_cells(labels, lambda position, crop: None, threads=threads, progress=progress))
    return PatchStore("none", len(labels), _from_files(labels, spec, color_order, threads))


def _kept(kind, patches):
    return PatchStore(kind, len(patches), lambda indices: np.take(patches, indices, axis=0))


def _choose(labels, shape, folder):
    """Where there is room for patches."""
    wanted = int(np.prod(shape))
    memory = free_memory()
    if memory is not None and wanted <= memory // _MEMORY_PART:
        return "memory"
    with write_errors(folder):
        disk = free_disk(folder)
    if wanted < disk:
        return "disk"
    if all(source.cells == "path" for source in labels.sources):
        return "none"
    raise TableError(
        f"no room for {len(labels):,} patches: they take {_gigabytes(shape)} GB, more than a quarter of the free "
        f"memory and more than is free in {folder}; name another cache folder, or pack the crops as image files"
    )


def _on_disk(folder, key, shape, decode_into):
    """A memory-mapped file of patches: that of an earlier run, or a new one."""
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    target = check_target(folder / f"{key}.npy")
    if not target.exists():
        _log.info("%s GB of patches go into %s", _gigabytes(shape), target)
        with published(target) as partial, write_errors(target):
            patches = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)
            _reserve(partial)
            decode_into(patches)
            patches.flush()
            del patches
    else:
        _log.info("patches of an earlier run: %s", target)
    try:
        with read_errors(target):
            patches = np.lib.format.open_memmap(target, "r")
            size = target.stat().st_size
    except ValueError as error:  # no such header, or a file too short for what it says
        raise TableError(f"{target} is damaged ({error}); delete it") from error
    if (patches.shape, patches.dtype, size - patches.offset) != (shape, np.uint8, np.prod(shape)):
        raise TableError(
            f"{target} is damaged: it holds {patches.dtype} {patches.shape} in {size:,} bytes, "
            f"wanted uint8 {shape}; delete it"
        )
    return patches.view(np.ndarray)


def _reserve(path):
    """Have the whole file on the disk: a disk that is full kills whoever writes to mapped memory."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _key(labels, shape, color_order):
    """Everything that patches depend on, in 64 hex digits."""
    digest = hashlib.sha256()
    head = [_FORMAT, data_hash(labels), shape, color_order, PIL.__version__, [str(s.root) for s in labels.sources]]
    digest.update(json.dumps(head).encode())
    for number, path in zip(labels.source.tolist(), labels.paths.to_pylist(), strict=True):
        if path is not None:
            with read_errors(path):
                digest.update(json.dumps(stamp_of(labels.sources[number].root / path)).encode())
    return digest.hexdigest()


def _check_files(labels):
    packed = [source.name for source in labels.sources if source.cells != "path"]
    if packed:
        raise TableError(
            f"{packed[0]} holds the crops themselves, which are read in order only: with it, patches must be "
            "kept in memory or on disk"
        )


def _from_files(labels, spec, color_order, threads):
    """What decodes patches anew whenever they are wanted, in threads of its own."""
    paths = labels.paths.to_pylist()
    decoders = [cell_decoder(source) for source in labels.sources]
    pool = ThreadPoolExecutor(threads, thread_name_prefix="osnet-patches")

    def read(indices):
        patches = np.empty((len(indices), spec.height, spec.width, 3), np.uint8)

        def decode(at, position):
            try:
                crop = decoders[labels.source[position]](paths[position])
            except CropError as error:
                raise TableError(f"{labels.where(position)}: {error}") from error
            resize_into(crop, patches[at], color_order)

        list(pool.map(decode, range(len(indices)), indices.tolist()))
        return patches

    return read


def _user_cache():
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "osnet-encoder" / "patches"


def _gigabytes(shape):
    return f"{np.prod(shape, dtype=float) / 1e9:.2f}"
