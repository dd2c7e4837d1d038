"""What a run came to, in words and for machines."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from .run_folder import RunFolder
from .state import TrainingState

__all__ = ["Outcome"]


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Parameters
    ----------
    run : str
        Its folder.
    weights : str
        Those of the best epoch.
    epochs : int
        Trained, before the run was resumed too.
    best_epoch : int
        The one with the highest validation mAP; the last where there was no validation.
    images : int
        Crops that were trained on, each as often as it was.
    images_per_second : float
        While training; validation is not counted in.
    metrics : dict
        Of the best epoch, as of `evaluation.Evaluation.as_dict`; empty where there was no validation.
    """

    run: str
    weights: str
    epochs: int
    best_epoch: int
    images: int
    images_per_second: float
    metrics: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, run: RunFolder, state: TrainingState) -> "Outcome":
        """Gather it from a run that is done.

        Parameters
        ----------
        run : RunFolder
        state : TrainingState

        Returns
        -------
        Outcome
        """
        metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
        images = sum(row["images"] for row in state.history)
        return cls(
            run=str(run.path),
            weights=str(run.best),
            epochs=state.epoch,
            best_epoch=metrics.pop("epoch"),
            images=images,
            images_per_second=images / sum(row["seconds"] for row in state.history),
            metrics=metrics,
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything, fit for JSON; the metrics stand beside the rest.

        Returns
        -------
        dict
        """
        rest = asdict(self)
        return {**rest.pop("metrics"), **rest}

    def in_words(self) -> str:
        """Everything that a person wants to know first.

        Returns
        -------
        str
            A few lines.
        """
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        lines = [f"{epochs}, {self.images:,} images, {self.images_per_second:.0f} images/s"]
        if self.metrics:
            lines.append(
                f"best epoch {self.best_epoch}: rank-1 {self.metrics['rank1']:.4f}, "
                f"mAP {self.metrics['mAP']:.4f}, on identities never trained on"
            )
        return "\n".join([*lines, f"weights: {self.weights}"])
