"""What each step costs: core-microseconds a crop, every step measured alone, on one thread."""

import binascii
from functools import partial
from time import process_time

import numpy as np

from osnet_encoder.crops import decode_crop
from osnet_encoder.features import stack_features, to_cells
from osnet_encoder.inflate import FASTEST
from osnet_encoder.patches import resize_into
from osnet_encoder.tables import features_array

from .agreement import Agreement, Disagreement, compare, worst
from .cases import Case, Settings, cases, open_lanes, pinned
from .pairs import Contender, ratio, run_in_turn, spread
from .subject import Subject, decode_all, rows_of_cases

__all__ = ["STAGES", "measure"]

# In the order in which a crop goes through them. `decode` is the first four together.
STAGES = ("parse", "hex", "inflate", "resize", "decode", "forward", "write_list", "write_zlib_hex")


def measure(subject: Subject, settings: Settings) -> list[dict]:
    """Measure the steps, for every case.

    Parameters
    ----------
    subject : Subject
    settings : Settings

    Returns
    -------
    rows : list of dict
        One a case.
    """
    return rows_of_cases(subject, cases(settings), lambda case: _measure(subject, case, settings))


def _measure(subject: Subject, case: Case, settings: Settings) -> dict:
    seen: list[Agreement] = []
    contenders = {
        **_decoding(subject),
        "forward": _forward(subject, case, settings, seen),
        **_writing(subject.reference),
    }
    seconds = run_in_turn(contenders, settings.rounds)
    # What is left of a crop string's decoding: finding keys and sizes, bounds and checks.
    rounds = zip(seconds["text"], seconds["hex"], seconds["inflate"], strict=True)
    seconds["parse"] = [text - unhex - inflate for text, unhex, inflate in rounds]
    least = [unhex + inflate for unhex, inflate in zip(seconds["hex"], seconds["inflate"], strict=True)]
    crops = len(subject.cells)
    return {
        "crops": crops,
        "inflate_library": FASTEST.__name__,
        "core_microseconds": {
            stage: spread([1e6 * spent / crops for spent in seconds[stage]]).as_dict() for stage in STAGES
        },
        "decode_over_hex_and_inflate": ratio(seconds["decode"], least).as_dict(),
        "agreement": worst(seen).as_dict(),
    }


def _decoding(subject):
    """The steps from a cell to a patch; cells are bytes in memory, as a table gives them."""
    cells = [memoryview(cell.encode()) for cell in subject.cells]
    digits = [memoryview(_hex_digits(cell).encode()) for cell in subject.cells]
    packed = [binascii.unhexlify(text) for text in digits]
    crops = [decode_crop(cell) for cell in cells]
    patches = np.empty_like(subject.patches)

    def resize():
        for crop, patch in zip(crops, patches, strict=True):
            resize_into(crop, patch)
        return patches

    def inflate():
        return [FASTEST.decompress(data, 15, crop.size) for data, crop in zip(packed, crops, strict=True)]

    def check_patches(answer):
        _same(np.array_equal(answer, subject.patches))

    def check_crops(answer):
        _same(all(np.array_equal(found, crop) for found, crop in zip(answer, crops, strict=True)))

    def check_pixels(answer):
        _same(answer == [crop.tobytes() for crop in crops])

    return {
        "text": Contender(lambda: [decode_crop(cell) for cell in cells], check_crops, process_time),
        "hex": Contender(
            lambda: [binascii.unhexlify(text) for text in digits],
            lambda answer: _same(answer == packed),
            process_time,
        ),
        "inflate": Contender(inflate, check_pixels, process_time),
        "resize": Contender(resize, check_patches, process_time),
        "decode": Contender(partial(decode_all, cells, patches), check_patches, process_time),
    }


def _forward(subject, case, settings, seen):
    """All patches through one engine, one batch after another. On a GPU this is what it costs the processor."""
    engine = open_lanes(subject.weights, case, settings, 1)[0]

    def forward():
        size = engine.batch_size
        starts = range(0, len(subject.patches), size)
        return np.concatenate([engine.run(subject.patches[start : start + size]) for start in starts])

    def check(features):
        seen.append(compare(features, subject.reference, case.precision))

    return Contender(pinned(1, forward), check, process_time)


def _writing(features):
    """Feature vectors to cells, as Parquet gets them and as CSV does."""
    absent = np.zeros(len(features), bool)

    def check_list(column):
        _same(np.array_equal(column.values.to_numpy().reshape(features.shape), features))

    def check_strings(cells):
        _same(np.array_equal(stack_features(cells), features))

    return {
        "write_list": Contender(partial(features_array, features, absent), check_list, process_time),
        "write_zlib_hex": Contender(partial(to_cells, features, absent, "zlib-hex"), check_strings, process_time),
    }


def _hex_digits(cell):
    """The longest word of a crop string in its usual spelling."""
    return max(cell.replace('"', "'").split("'"), key=len)


def _same(is_same):
    if not is_same:
        raise Disagreement("a step gave another answer than the steps before it together")
