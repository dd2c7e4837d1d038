"""Where a person's joints are at one moment of a walk.

Body space: x to the person's left, y up, z to where they face; the ground is y = 0 and a person stands 1 high.
"""

from dataclasses import dataclass

import numpy as np

from .person import Person

__all__ = ["Pose", "joints", "random_pose"]

THIGH, SHIN, UPPER_ARM, FOREARM = 0.245, 0.235, 0.165, 0.14
ARMS = {"swing": 66, "phone": 5, "front": 9, "strap": 8, "pocket": 12}


@dataclass(frozen=True)
class Pose:
    """One moment of a walk. Angles are in radians.

    Parameters
    ----------
    stride : float
        Half the angle between the thighs at the widest of a step; near 0 stands.
    phase : float
        Where in the step, 0 to 2 pi.
    lean : float
        Of the trunk, to the front.
    turn : float
        Of the head, to the person's left.
    arms : tuple of 2 str
        What the right and the left arm do, keys of `ARMS`.
    spread : float
        How far the arms hang off the trunk.
    """

    stride: float
    phase: float
    lean: float
    turn: float
    arms: tuple[str, str]
    spread: float


def random_pose(rng: np.random.Generator) -> Pose:
    """Draw a pose: mostly walking, sometimes standing."""
    walking = rng.random() < 0.8
    kinds, shares = list(ARMS), np.array(list(ARMS.values())) / sum(ARMS.values())
    return Pose(
        stride=float(rng.uniform(0.25, 0.55) if walking else rng.uniform(0.0, 0.12)),
        phase=float(rng.uniform(0, 2 * np.pi)),
        lean=float(rng.normal(0.04, 0.04)),
        turn=float(rng.normal(0, 0.35)),
        arms=(kinds[rng.choice(5, p=shares)], kinds[rng.choice(5, p=shares)]),
        spread=float(rng.uniform(0.06, 0.22)),
    )


def joints(person: Person, pose: Pose) -> dict[str, np.ndarray]:
    """Follow the limbs from the hips outwards.

    Parameters
    ----------
    person : Person
    pose : Pose

    Returns
    -------
    joints : dict of float64 (3,)
        `pelvis`, `chest`, `chin`, `crown`, and for each side (`r`, `l`) `hip_`, `knee_`, `ankle_`, `toe_`,
        `shoulder_`, `elbow_`, `wrist_`, `hand_`.
    """
    found = {"pelvis": np.array([0.0, person.legs, 0.0])}
    up = _direction(np.pi + pose.lean, 0)
    found["chest"] = found["pelvis"] + (0.86 - person.legs) * up
    found["chin"] = found["pelvis"] + (0.872 - person.legs) * up + [0, 0, 0.008]
    found["crown"] = found["chin"] + 0.132 * person.head * up
    for side, name in ((-1, "r"), (1, "l")):
        swing = side * np.sin(pose.phase)
        _leg(found, name, side, pose, swing, 0.52 * person.hips, person.legs)
        shoulder = found["pelvis"] + (0.798 - person.legs) * up + [side * (person.shoulders - 0.012), 0, 0]
        holds = person.bag.side == side and person.bag.kind in ("handbag", "carrier")
        _arm(found, name, side, pose, swing, shoulder, "hang" if holds else pose.arms[side > 0])
    lowest = min(found["ankle_r"][1], found["ankle_l"][1]) - 0.03
    for point in found.values():
        point[1] -= lowest
    return found


def _direction(angle, out):
    """Down where the angle is 0, forward where it is a quarter turn; `out` to the side."""
    return np.array([np.sin(out), -np.cos(angle) * np.cos(out), np.sin(angle) * np.cos(out)])


def _leg(found, name, side, pose, swing, hip_x, hip_y):
    thigh = pose.stride * swing
    forward = np.cos(pose.phase) * side  # above 0: this foot is in the air, on its way to the front
    bend = 0.06 + pose.stride * (1.5 * max(0.0, forward) ** 2 + 0.35 * max(0.0, -swing))
    stretch = hip_y / 0.515
    found[f"hip_{name}"] = np.array([side * hip_x, hip_y, 0.0])
    found[f"knee_{name}"] = found[f"hip_{name}"] + stretch * THIGH * _direction(thigh, 0.01 * side)
    found[f"ankle_{name}"] = found[f"knee_{name}"] + stretch * SHIN * _direction(thigh - bend, -0.01 * side)
    tip = np.pi / 2 + 0.6 * thigh - 0.6 * bend - 0.12
    found[f"toe_{name}"] = found[f"ankle_{name}"] + 0.105 * _direction(tip, 0.14 * side)


def _arm(found, name, side, pose, swing, shoulder, kind):
    upper, bend, inward = -0.75 * pose.stride * swing, 0.2 + 0.5 * pose.stride, 0.0
    spread = pose.spread
    if kind == "hang":
        upper, bend = 0.4 * upper, 0.05
    elif kind == "phone":
        upper, bend, inward, spread = 0.7, 2.3, 0.25, 0.35
    elif kind == "front":
        upper, bend, inward = 0.25, 1.5, 0.45
    elif kind == "strap":
        upper, bend, inward = 0.1, 2.2, 0.2
    elif kind == "pocket":
        upper, bend, inward, spread = -0.35, 0.65, 0.3, 0.3
    fore = _direction(upper + bend, side * (0.6 * spread - inward))
    found[f"shoulder_{name}"] = shoulder
    found[f"elbow_{name}"] = shoulder + UPPER_ARM * _direction(upper, side * spread)
    found[f"wrist_{name}"] = found[f"elbow_{name}"] + FOREARM * fore
    found[f"hand_{name}"] = found[f"wrist_{name}"] + 0.055 * fore
