"""Retraining and evaluation of the backbone on labelled people."""
