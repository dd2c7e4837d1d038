"""A batch job: a table in, the same table with a column of feature vectors out, and nothing lost on the way.

encode_table(source, target, encoder)   -> the output, published whole or not at all; goes on where it stopped
verify_table(source, target, encoder)   -> an output read again, and held against its input
"""

from ..crop_column import find_crop_column
from .layout import choose_format
from .options import Options
from .run import encode_table
from .summary import JobSummary
from .verify import Verified, verify_table

__all__ = [
    "JobSummary",
    "Options",
    "Verified",
    "choose_format",
    "encode_table",
    "find_crop_column",
    "verify_table",
]
