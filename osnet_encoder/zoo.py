"""The published weights that can be had by name: where each file lies, and how it is fetched and checked.

Notes
-----
Source: the Torchreid model zoo (Zhou and Xiang, Torchreid, 2019, MIT), which its author publishes on the
Hugging Face hub.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from .errors import WeightsError
from .weight_files import file_sha256

__all__ = ["ZOO", "ZooEntry", "fetch"]

_log = logging.getLogger(__name__)

_OFFLINE_VARIABLES = ("OSNET_OFFLINE", "HF_HUB_OFFLINE")
_OFF = ("", "0", "false", "no", "off")


@dataclass(frozen=True)
class ZooEntry:
    """One published file.

    Parameters
    ----------
    file_name : str
        In the repository.
    sha256 : str, optional
        64 lower-case hex digits; without them the pinned revision is all that vouches for the file.
    repository, revision : str
        On the Hugging Face hub; the revision is a commit, so that what lies there cannot change.
    """

    file_name: str
    sha256: str | None = None
    repository: str = "kaiyangzhou/osnet"
    revision: str = "a5c5cc037c24235cda3b21085b93ad77c9616224"

    @property
    def url(self) -> str:
        """Where a browser finds the file."""
        return f"https://huggingface.co/{self.repository}/resolve/{self.revision}/{self.file_name}"


_SOFTMAX = "256x128_amsgrad_ep150_stp60_lr0.0015_b64_fb10_softmax_labelsmooth_flip"

ZOO = {
    "osnet_x1_0_imagenet": ZooEntry("osnet_x1_0_imagenet.pth"),
    "osnet_x1_0_market1501": ZooEntry(f"osnet_x1_0_market_{_SOFTMAX}.pth"),
    "osnet_x1_0_msmt17": ZooEntry(f"osnet_x1_0_msmt17_combineall_{_SOFTMAX}_jitter.pth"),
    "osnet_ibn_x1_0_msmt17": ZooEntry(f"osnet_ibn_x1_0_msmt17_combineall_{_SOFTMAX}_jitter.pth"),
    "osnet_ain_x1_0_msmt17": ZooEntry(
        "osnet_ain_x1_0_msmt17_256x128_amsgrad_ep50_lr0.0015_coslr_b64_fb10_softmax_labsmth_flip_jitter.pth",
        "8a07e8da38946f7cee37f4561617bf8b6d2fe8f3a4027852893ea092e46d919f",
    ),
    "osnet_x0_25_msmt17": ZooEntry(
        f"osnet_x0_25_msmt17_combineall_{_SOFTMAX}_jitter.pth",
        "cf55163d78fc44c62c82f85ab62d39f10438679b5abe8c698ae08cfa84aa6e18",
    ),
}


def fetch(
    entry: ZooEntry,
    *,
    offline: bool | None = None,
    cache_dir: str | Path | None = None,
    endpoint: str | None = None,
) -> Path:
    """Find a published file in the cache, or download it into the cache, and check it.

    Parameters
    ----------
    entry : ZooEntry
        One of `ZOO`.
    offline : bool, optional
        Whether the cache must do. If left out, what `OSNET_OFFLINE` or `HF_HUB_OFFLINE` says: any value but
        0, false, no and off means offline.
    cache_dir : path, optional
        That of the Hugging Face hub if left out.
    endpoint : str, optional
        Address of the hub or of a mirror; what `HF_ENDPOINT` says if left out.

    Returns
    -------
    path : Path
        The file; its sha256 is as the entry has it, on every call.

    Raises
    ------
    WeightsError
        `huggingface_hub` is not installed; the file is not in the cache and cannot or must not be
        downloaded; its sha256 is another.
    """
    try:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, HTTPError
    except ImportError as error:
        raise WeightsError(
            f'weights by name need huggingface_hub: pip install "osnet-encoder[hub]"; {_by_hand(entry)}'
        ) from error
    found = try_to_load_from_cache(entry.repository, entry.file_name, cache_dir, entry.revision)
    if not isinstance(found, str):
        if _must_stay_offline(offline):
            raise WeightsError(
                f"{entry.file_name} is not in the cache, and offline nothing is downloaded; {_by_hand(entry)}"
            )
        _log.info("downloading %s from %s", entry.file_name, entry.repository)
        try:
            found = hf_hub_download(
                entry.repository,
                entry.file_name,
                revision=entry.revision,
                cache_dir=cache_dir,
                endpoint=endpoint,
                token=False,  # the file is public: nobody's credentials are sent
            )
        # The hub has no one error of its own: all descend from these, `HTTPError` being its client's.
        except (OSError, ValueError, EntryNotFoundError, HTTPError) as error:
            raise WeightsError(
                f"cannot download {entry.file_name} ({_cause(error)}); {_by_hand(entry)}"
            ) from error
    path = Path(found)
    _verify(path, entry)
    return path


def _must_stay_offline(offline):
    if offline is not None:
        return offline
    return any(os.environ.get(name, "").strip().lower() not in _OFF for name in _OFFLINE_VARIABLES)


def _verify(path, entry):
    if entry.sha256 is None:
        return
    found = file_sha256(path)
    if found != entry.sha256:
        path = path.resolve()  # the cache keeps a link beside the file, and would link the same file again
        raise WeightsError(f"{path} is damaged: sha256 {found}, wanted {entry.sha256}; delete it and try again")


def _by_hand(entry):
    return f"or download {entry.url} yourself and name the file: --weights FILE"


def _cause(error):
    """What lies at the bottom of it, in a line: the hub itself blames the connection whatever happened."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).splitlines()), "") or type(error).__name__
