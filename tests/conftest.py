"""What holds for every test."""

from hypothesis import settings

# How long one example takes is the machine's affair; a deadline would make a busy machine look like a bug.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
