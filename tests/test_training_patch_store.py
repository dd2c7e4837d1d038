"""Patches of labelled crops, wherever they are kept."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from osnet_encoder import TableError
from osnet_encoder.crops import encode_crop
from osnet_encoder.patches import PatchSpec, resize_into
from osnet_encoder.training import free_space, patch_store
from osnet_encoder.training.label_tables import read_labels
from osnet_encoder.training.patch_store import open_patches
from pictures import draw_crop

SPEC = PatchSpec(32, 16)
COUNT = 70


@pytest.fixture
def images(tmp_path):
    """Image files of many sizes, and their labels."""
    for number in range(COUNT):
        Image.fromarray(draw_crop(number, 20 + number, 40)).save(tmp_path / f"{number}.png")
    frame = pd.DataFrame({"img_path": [f"{number}.png" for number in range(COUNT)]})
    frame.assign(person_id=frame.index // 2).to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path / "labels.csv"


@pytest.fixture
def packed(tmp_path):
    """The same crops in a table."""
    crops = [encode_crop(draw_crop(number, 20 + number, 40)) for number in range(COUNT)]
    frame = pd.DataFrame({"crop": crops, "person_id": np.arange(COUNT) // 2})
    frame.to_parquet(tmp_path / "people.parquet")
    return tmp_path / "people.parquet"


def expected(numbers, color_order="rgb"):
    patches = np.empty((len(numbers), SPEC.height, SPEC.width, 3), np.uint8)
    for patch, number in zip(patches, numbers, strict=True):
        resize_into(draw_crop(number, 20 + number, 40), patch, color_order)
    return patches


def opened(table, tmp_path, cache="memory", **options):
    folder = tmp_path / "cache" if cache in ("disk", "auto") else None
    return open_patches(read_labels(table), SPEC, cache=cache, cache_dir=folder, threads=2, **options)


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_patches_of_files_are_the_same_wherever_they_are_kept(images, tmp_path, cache):
    store = opened(images, tmp_path, cache)
    assert (store.kind, len(store)) == (cache, COUNT)
    wanted = [69, 3, 3, 0, 41]
    taken = store.take(np.array(wanted))
    assert (taken.dtype, taken.flags.writeable, type(taken)) == (np.uint8, True, np.ndarray)
    assert (taken == expected(wanted)).all()
    assert (store.take(np.arange(COUNT)) == expected(range(COUNT))).all()
    assert store.take(np.array([], np.int64)).shape == (0, 32, 16, 3)


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_patches_of_a_table_are_those_of_the_files(packed, tmp_path, cache):
    store = opened(packed, tmp_path, cache)
    assert (store.take(np.arange(COUNT)) == expected(range(COUNT))).all()


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_what_is_taken_is_the_taker_s_own(images, tmp_path, cache):
    store = opened(images, tmp_path, cache)
    store.take(np.arange(4))[:] = 0
    assert (store.take(np.arange(4)) == expected(range(4))).all()


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_crops_stored_as_bgr_are_turned(images, tmp_path, cache):
    store = opened(images, tmp_path, cache, color_order="bgr")
    assert (store.take(np.array([5])) == expected([5], "bgr")).all()


def test_patches_are_taken_by_several_threads_at_once(images, tmp_path):
    store = opened(images, tmp_path, "none")
    wanted = np.random.default_rng(0).integers(0, COUNT, (12, 20))
    with ThreadPoolExecutor(4) as pool:
        for numbers, patches in zip(wanted, pool.map(store.take, wanted), strict=True):
            assert (patches == expected(numbers.tolist())).all()


@pytest.mark.parametrize("position", [-1, COUNT])
def test_there_is_no_patch_beyond_the_labels(images, tmp_path, position):
    message = f"^positions from {position} to {position} among 70 patches$"
    with pytest.raises(IndexError, match=message):
        opened(images, tmp_path).take(np.array([position]))


def test_patches_on_disk_are_found_again_and_decoded_no_more(images, tmp_path):
    first = opened(images, tmp_path, "disk")
    (file,) = (tmp_path / "cache").iterdir()
    stamp = file.stat().st_mtime_ns
    counts = []
    again = opened(images, tmp_path, "disk", progress=lambda *count: counts.append(count))
    assert (again.take(np.arange(COUNT)) == first.take(np.arange(COUNT))).all()
    assert list((tmp_path / "cache").iterdir()) == [file]
    assert (file.stat().st_mtime_ns, counts) == (stamp, [])


def test_patches_on_disk_are_not_taken_for_others(images, packed, tmp_path):
    labels = read_labels(images)
    options = {"cache": "disk", "cache_dir": tmp_path / "cache"}

    def files():
        return len(list((tmp_path / "cache").iterdir()))

    open_patches(labels, SPEC, **options)
    open_patches(labels, PatchSpec(32, 18), **options)
    open_patches(labels, SPEC, color_order="bgr", **options)
    open_patches(read_labels(packed), SPEC, **options)
    assert files() == 4
    Image.fromarray(draw_crop(99)).save(tmp_path / "7.png")
    os.utime(tmp_path / "7.png", ns=(5, 5))
    store = open_patches(labels, SPEC, **options)
    assert files() == 5
    assert (store.take(np.array([7])) != expected([7])).any()


@pytest.mark.parametrize("damage", ["cut", "longer", "other", "empty"])
def test_a_damaged_file_of_patches_is_refused(images, tmp_path, damage):
    opened(images, tmp_path, "disk")
    (file,) = (tmp_path / "cache").iterdir()
    if damage == "other":
        np.save(file, np.zeros((3, 2)))
    else:
        data = file.read_bytes()
        file.write_bytes({"cut": data[:-1], "longer": data + b" ", "empty": b""}[damage])
    with pytest.raises(TableError, match=rf"^{re.escape(str(file))} is damaged.*; delete it$"):
        opened(images, tmp_path, "disk")


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
def test_crops_that_cannot_be_decoded_are_all_found_before_anything_starts(images, tmp_path, cache):
    for number in (3, 64):
        (tmp_path / f"{number}.png").write_bytes(b"no image")
    with pytest.raises(TableError) as caught:
        opened(images, tmp_path, cache)
    first, second, third = str(caught.value).splitlines()
    assert first == "2 faults in the labels:"
    assert second.startswith(f"  {images}, row 3: '3.png': bad_image: ")
    assert third.startswith(f"  {images}, row 64: '64.png': bad_image: ")
    if cache == "disk":
        assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_that_goes_while_nothing_is_kept_is_named(images, tmp_path):
    store = opened(images, tmp_path, "none")
    (tmp_path / "5.png").unlink()
    with pytest.raises(TableError, match=r"labels\.csv, row 5: missing_file: no file '5\.png' under "):
        store.take(np.array([4, 5]))


def test_progress_is_told_in_crops(images, tmp_path):
    counts = []
    opened(images, tmp_path, progress=lambda *count: counts.append(count))
    assert counts == [(32, COUNT), (64, COUNT), (COUNT, COUNT)]


SIZE = COUNT * 32 * 16 * 3


@pytest.mark.parametrize(
    ("memory", "disk", "kind"),
    [(4 * SIZE, 0, "memory"), (4 * SIZE - 1, SIZE + 1, "disk"), (None, SIZE + 1, "disk"), (0, SIZE, "none")],
)
def test_patches_are_kept_where_there_is_room(images, tmp_path, monkeypatch, memory, disk, kind):
    monkeypatch.setattr(patch_store, "free_memory", lambda: memory)
    monkeypatch.setattr(patch_store, "free_disk", lambda folder: disk)
    store = opened(images, tmp_path, "auto")
    assert store.kind == kind
    assert (store.take(np.array([8])) == expected([8])).all()


def test_a_table_without_room_is_refused(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(patch_store, "free_memory", lambda: 0)
    monkeypatch.setattr(patch_store, "free_disk", lambda folder: 0)
    with pytest.raises(TableError, match=r"^no room for 70 patches: they take 0\.00 GB, .*cache; name another "):
        opened(packed, tmp_path, "auto")
    with pytest.raises(TableError, match=r"people\.parquet holds the crops themselves, .* in memory or on disk$"):
        opened(packed, tmp_path, "none")


def test_another_cache_is_refused(images):
    with pytest.raises(ValueError, match="^cache must be one of auto, memory, disk, none, found 'ram'$"):
        open_patches(read_labels(images), SPEC, cache="ram")


def test_a_folder_that_cannot_be_made_is_said(images, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TableError, match=r"^cannot write .*file/cache: Not a directory$"):
        open_patches(read_labels(images), SPEC, cache="disk", cache_dir=tmp_path / "file" / "cache")


def test_the_user_s_cache_is_where_the_system_says(images, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    open_patches(read_labels(images), SPEC, cache="disk")
    assert len(list((tmp_path / "here" / "osnet-encoder" / "patches").iterdir())) == 1


def test_free_memory_is_what_the_system_and_the_container_leave(tmp_path, monkeypatch):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:      5 kB\n")
    monkeypatch.setattr(free_space, "_MEMINFO", meminfo)
    limit, used = tmp_path / "max", tmp_path / "current"
    monkeypatch.setattr(free_space, "_CONTAINER", [(limit, used)])
    assert free_space.free_memory() == 5120
    used.write_text("1000\n")
    for text, free in [("max\n", 5120), ("4000\n", 3000), ("100000\n", 5120), ("900\n", 0)]:
        limit.write_text(text)
        assert free_space.free_memory() == free


def test_free_disk_is_asked_of_the_folder_that_is_there(tmp_path):
    free = free_space.free_disk(tmp_path)
    assert free > 0
    assert abs(free_space.free_disk(tmp_path / "not" / "yet") - free) < 2**30
