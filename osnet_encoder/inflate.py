"""Inflate as many bytes as there should be, no more and no fewer, and say what is wrong otherwise."""

import zlib
from contextlib import suppress
from types import ModuleType

from .errors import CropError

FASTEST: ModuleType = zlib
with suppress(ImportError):  # the extra `fast`
    from isal import isal_zlib

    FASTEST = isal_zlib

__all__ = ["FASTEST", "inflate"]


def inflate(packed, wanted, fastest=FASTEST):
    """Inflate a zlib stream of known length; a bomb costs no more than what was wanted.

    Parameters
    ----------
    packed : bytes-like
        One whole zlib stream and nothing else.
    wanted : int
        Bytes, at least 1.
    fastest : module
        With zlib's interface. ISA-L's, where it is installed, gives the same bytes in less time.

    Returns
    -------
    bytes
        `wanted` of them.

    Raises
    ------
    CropError
        `bad_zlib`, `wrong_length` or `trailing_data`.
    """
    if fastest is not zlib:
        try:
            return _inflate(packed, wanted, fastest)
        except CropError:
            pass  # zlib has the last word on what is broken, so that the reason is the same everywhere
    return _inflate(packed, wanted, zlib)


def _inflate(packed, wanted, library):
    stream = library.decompressobj()
    try:
        data = stream.decompress(packed, wanted)
        # A full buffer stops short of the checksum; one more step reads it, or finds more data.
        surplus = b"" if stream.eof else stream.decompress(stream.unconsumed_tail, 1)
    except library.error as error:
        raise CropError("bad_zlib", str(error).lower()) from error
    if surplus:
        raise CropError("wrong_length", f"more than the {wanted} bytes that the sizes ask for")
    if not stream.eof:
        raise CropError("bad_zlib", f"the stream is cut after {len(data)} of {wanted} bytes")
    if len(data) < wanted:
        raise CropError("wrong_length", f"{len(data)} of the {wanted} bytes that the sizes ask for")
    if stream.unused_data:
        raise CropError("trailing_data", f"{len(stream.unused_data)} bytes follow the zlib stream")
    return data
