"""What a job did, in words."""

__all__ = ["in_words"]


def in_words(summary):
    """What was done, for people to read.

    Parameters
    ----------
    summary : JobSummary or Verified

    Returns
    -------
    text : str
        Some lines.
    """
    if summary.state == "verified":
        return _verified_in_words(summary)
    made_by, seconds = summary.made_by, dict(summary.seconds)
    total = seconds.pop("total")
    reasons = ", ".join(f"{count} {reason}" for reason, count in summary.reasons.items())
    broken = f" ({reasons})" if reasons else ""
    rows = f"{summary.rows}: {summary.encoded} encoded, {summary.missing} missing, {summary.broken} broken{broken}"
    if summary.state == "unchanged":
        return f"""\
nothing to do: {summary.output} is what this job makes of this input
rows       {rows}"""
    more = {"resumed": "from an earlier run", "reused": "from the output as it was", "dropped": "left out"}
    told = [f", {getattr(summary, name)} {text}" for name, text in more.items() if getattr(summary, name)]
    stages = ", ".join(f"{stage} {spent:.1f}" for stage, spent in seconds.items())
    return f"""\
wrote      {summary.output}: {summary.column} -> {summary.feature_column}
rows       {rows}{"".join(told)}
speed      {summary.crops_per_second:.1f} crops/s, {total:.1f} s in all
seconds    {stages} (decode and infer summed over threads)
engine     {made_by["engine"]} on {made_by["device"]}, {made_by["precision"]}
weights    {made_by["variant"]} from {made_by["weights"]} (sha256 {made_by["weights_sha256"][:12]})"""


def _verified_in_words(verified):
    proof = "as it was when it was made" if verified.proved else "nothing to compare it with"
    return f"""\
verified   {verified.output}
rows       {verified.rows}: {verified.features} feature vectors; all other columns as in the input
sha256     {proof}
sample     {verified.sampled} rows encoded again, largest difference {verified.difference:.1e}"""
