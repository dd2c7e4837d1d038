"""Person and pose -> the parts that are painted: tubes in body space (see `pose`), each with its own texture."""

from typing import NamedTuple

import numpy as np

from .fabric import textures
from .person import Person
from .pose import Pose, joints

__all__ = ["Part", "parts"]

# the trunk's half-widths at these heights, for half-widths of 1 at shoulders and hips
HEIGHTS = np.array([0.30, 0.42, 0.47, 0.53, 0.58, 0.63, 0.70, 0.76, 0.795, 0.82, 0.845, 0.86])
STRAIGHT = np.array([1.02, 1.02, 1.02, 1.02, 1.00, 0.98, 1.00, 1.06, 1.10, 1.00, 0.62, 0.36])
CURVED = np.array([1.05, 1.05, 1.05, 1.06, 0.94, 0.80, 0.86, 0.94, 1.02, 0.92, 0.58, 0.34])
DEPTH = np.array([0.064, 0.066, 0.070, 0.072, 0.066, 0.060, 0.064, 0.066, 0.060, 0.052, 0.044, 0.036])


class Part(NamedTuple):
    """An elliptical tube along an axis. Lengths are in body heights.

    Parameters
    ----------
    start, end : float64, (3,)
        Ends of the axis; the texture's rows run from start to end.
    front, side : float64, (K,)
        Half-widths to the person's left and to the front, evenly spaced along the axis.
    caps : tuple of 2 floats
        How far the rounded ends reach beyond the axis.
    texture : float32, (3, V, U)
    turn : float
        Of this part against the body, radians.
    lift : float
        Added to the nearness by which parts are painted over each other.
    """

    start: np.ndarray
    end: np.ndarray
    front: np.ndarray
    side: np.ndarray
    caps: tuple[float, float]
    texture: np.ndarray
    turn: float = 0.0
    lift: float = 0.0


def parts(person: Person, pose: Pose) -> list[Part]:
    """Build a dressed body.

    Parameters
    ----------
    person : Person
    pose : Pose

    Returns
    -------
    parts : list of Part
        In no order; the view decides what covers what.
    """
    where = joints(person, pose)
    cloth = textures(person)
    built = [*_trunk(person, where, cloth), *_head(person, pose, where, cloth)]
    for name in ("r", "l"):
        built += _leg(person, name, where, cloth)
        built += _arm(person, name, where, cloth)
    built += _carried(person, where, cloth)
    return built


def _beside(point, left, up, forward):
    return point + np.array((left, up, forward))


def _limb(start, end, first, last, texture, lift=0.0, middle=None):
    middle = (first + last) / 2 if middle is None else middle
    widths = np.array([first, middle, last])
    return Part(start, end, widths, widths, (0.6 * first, 0.6 * last), texture, 0.0, lift)


def _trunk_widths(person, top, bottom, room):
    heights = np.linspace(top, bottom, 9)
    shape = STRAIGHT + person.curve * (CURVED - STRAIGHT)
    half = np.interp(
        HEIGHTS, [0.5, 0.62, 0.8], [person.hips, 0.5 * (person.hips + person.shoulders), person.shoulders]
    )
    stout = 1 + (person.girth - 1) * np.interp(HEIGHTS, [0.5, 0.62, 0.8, 0.86], [1.0, 1.3, 0.7, 0.3])
    room = room * np.interp(HEIGHTS, [0.3, 0.6, 0.84, 0.86], [1.6, 1.1, 0.8, 0.3])
    front = np.interp(heights, HEIGHTS, half * shape * 0.92 * stout + room)
    side = np.interp(heights, HEIGHTS, DEPTH * stout**1.6 + room)
    return front, side


def _trunk(person, where, cloth):
    pelvis, up = where["pelvis"], where["chest"] - where["pelvis"]
    up = up / np.linalg.norm(up)

    def at(height):
        return pelvis + (height - person.legs) * up

    room = min(person.bottom.room, 0.6 * person.top.room)  # the top hangs over it
    front, side = _trunk_widths(person, 0.62, 0.47, room)
    yield Part(at(0.62), at(0.47), front, side, (0.01, 0.02), cloth.bottom, lift=-0.06)
    if person.bottom.kind == "skirt":
        yield _flared(person, where, at(0.62), 0.6 - person.leg_cover * 0.48, person.bottom.room, cloth.bottom)
    front, side = _trunk_widths(person, 0.86, person.hem, person.top.room)
    end = at(person.hem)
    if person.hem < 0.42:  # a coat's or a dress's hem makes room for the legs
        reach = np.ptp([where["knee_r"][2], where["knee_l"][2]]) / 2 * min(1.0, (0.5 - person.hem) / 0.2)
        grow = np.linspace(0, 1, 9) ** 3
        front, side = front + 0.014 * grow, np.maximum(side, grow * (reach + 0.055))
        end = end * [1, 1, 0.3]
    yield Part(at(0.86), end, front, side, (0.012, 0.008), cloth.top)


def _flared(person, where, waist, hem, room, texture):
    """A skirt: as wide at its hem as the legs reach there."""
    front, side = _trunk_widths(person, 0.6, 0.5, room)
    reach = np.ptp([where["knee_r"][2], where["knee_l"][2]]) / 2 * min(1.0, (0.52 - hem) / 0.22)
    flare = 0.01 + 0.03 * (person.bottom.seed % 7) / 7
    down = np.linspace(0, 1, 9)
    front = np.maximum(front, front.max() * np.minimum(1, 0.85 + down)) + flare * down
    side = np.maximum(side + flare * down, down**2 * (reach + 0.05))
    middle = (where["knee_r"] + where["knee_l"]) / 2
    end = np.array([middle[0], waist[1] - (0.6 - hem), middle[2] * 0.5])
    return Part(waist, end, front, side, (0.01, 0.008), texture, lift=-0.05)


def _leg(person, name, where, cloth):
    hip, knee, ankle, toe = (where[f"{joint}_{name}"] for joint in ("hip", "knee", "ankle", "toe"))
    thick = 1 + 0.7 * (person.girth - 1)
    room, cover, kind = person.bottom.room, person.leg_cover, person.bottom.kind
    # bare legs below; the cloth goes over them
    widths = (0.052 * thick, 0.036 * thick, 0.021)
    if cover < 0.99 or kind == "skirt":
        yield _limb(hip, knee, widths[0], widths[1], cloth.skin, -0.13)
        yield _limb(knee, ankle, widths[1], widths[2], cloth.skin, -0.13, middle=0.036 * thick)
    if kind != "skirt":
        flat = kind in ("leggings", "jeans")
        thigh_end = hip + (knee - hip) * min(1.0, cover / 0.52)
        loose = room * (1.0 if cover > 0.6 else 1.6)
        yield _limb(hip, thigh_end, widths[0] + 0.003 + room * 0.5, widths[1] + 0.003 + loose, cloth.bottom, -0.11)
        if cover > 0.6:
            shin_end = knee + (ankle - knee) * min(1.0, (cover - 0.52) / 0.45)
            last = widths[2] + 0.003 + (0.6 if flat else 1.2) * room
            calf = 0.033 * thick + 0.002 + room
            yield _limb(knee, shin_end, widths[1] + 0.002 + room, last, cloth.bottom, -0.115, middle=calf)
    heel = _beside(ankle + 0.12 * (ankle - toe), 0, -0.008, 0)
    yield _limb(heel, toe, 0.021, 0.014, cloth.shoe, -0.12, middle=0.021)


def _arm(person, name, where, cloth):
    shoulder, elbow, wrist, hand = (where[f"{joint}_{name}"] for joint in ("shoulder", "elbow", "wrist", "hand"))
    thick = 1 + 0.6 * (person.girth - 1) - 0.12 * person.curve
    room = 0.003 + 0.7 * person.top.room
    widths = (0.031 * thick, 0.025 * thick, 0.017)
    share = person.sleeve
    if share < 0.99:
        yield _limb(shoulder, elbow, widths[0], widths[1], cloth.skin, -0.001)
        yield _limb(elbow, wrist, widths[1], widths[2], cloth.skin)
    if share > 0:
        upper = min(1.0, share / 0.5)
        end = shoulder + (elbow - shoulder) * upper
        yield _limb(shoulder, end, widths[0] + room, widths[1] + room + 0.004 * (share < 0.5), cloth.sleeve, 0.002)
        if share > 0.55:
            end = elbow + (wrist - elbow) * min(1.0, (share - 0.5) * 2.1)
            yield _limb(elbow, end, widths[1] + room, widths[2] + room, cloth.sleeve, 0.004)
    yield _limb(wrist, hand, 0.015, 0.011, cloth.skin, 0.003, middle=0.019)


def _head(person, pose, where, cloth):
    chin, crown, chest = where["chin"], where["crown"], where["chest"]
    size = person.head
    along = np.linspace(0, 1, 9)  # from the crown to the chin
    egg = np.sqrt(np.clip(1 - (2 * along - 1) ** 2, 0.02, 1)) * np.interp(along, [0, 0.6, 1], [1.05, 1.0, 0.86])
    big = size * (
        1.1 if person.hat == "hood" else 1.04 if person.hat == "beanie" or person.hair == "full" else 1.0
    )
    turn = 0.3 * pose.turn if person.hat == "hood" else pose.turn
    yield _limb(_beside(chest, 0, -0.03, 0), _beside(chin, 0, 0.03, 0), 0.03, 0.027, cloth.skin, -0.03)
    yield Part(crown, chin, 0.046 * big * egg, 0.058 * big * egg, (0.001, 0.001), cloth.head, turn, 0.05)
    face = np.array([np.sin(turn), 0, np.cos(turn)])
    if person.hat == "cap":
        brow = crown + (chin - crown) * 0.3 + 0.045 * face
        yield _limb(brow, brow + 0.045 * face, 0.012, 0.006, cloth.hat, 0.06)
    if person.top.kind == "hoodie" and person.hat != "hood":
        yield _limb(
            _beside(chest, 0.04, -0.005, -0.035),
            _beside(chest, -0.04, -0.005, -0.035),
            0.03,
            0.03,
            cloth.sleeve,
            0.01,
        )
    if person.scarf:
        yield _limb(
            _beside(chest, 0.035, 0.0, 0.005), _beside(chest, -0.035, 0.0, 0.005), 0.03, 0.03, cloth.scarf, 0.03
        )
    if person.hat == "hood":
        return
    nape = chin + 0.35 * (crown - chin) - 0.035 * face
    if person.hair == "long":
        ends = _beside(nape, 0, -0.12 - 0.05 * (person.top.seed % 3), -0.03)
        widths = np.array([0.042, 0.05, 0.045, 0.03]) * size
        yield Part(_beside(nape, 0, 0.03, 0), ends, widths, 0.5 * widths, (0.02, 0.02), cloth.hair, turn, 0.0)
    elif person.hair == "tail":
        knot = nape + 0.06 * (crown - chin) / 0.132 - 0.02 * face
        yield _limb(knot, _beside(knot, 0, -0.11, -0.03), 0.016, 0.01, cloth.hair, 0.0, middle=0.02)
    elif person.hair == "bun":
        knot = _beside(crown - 0.035 * face, 0, -0.02, 0)
        yield _limb(knot, _beside(knot, 0, 0.02, -0.01), 0.024, 0.022, cloth.hair, 0.0)


def _carried(person, where, cloth):
    bag, size = person.bag, person.bag.size
    name = "l" if bag.side > 0 else "r"
    chest, pelvis = where["chest"], where["pelvis"]
    if bag.kind == "backpack":
        top = _beside(chest, 0, -0.06, -0.115 - 0.02 * size)
        bottom = _beside(top, 0, -0.22 * size, 0)
        full = np.array([0.75, 0.95, 1, 1, 0.95])
        yield Part(top, bottom, 0.088 * size * full, 0.058 * size * full, (0.02, 0.015), cloth.bag)
    elif bag.kind == "shoulder bag":
        middle = _beside(pelvis, bag.side * (person.hips + 0.035), 0.02, 0.0)
        yield _box(middle, 0.035, 0.075 * size, 0.1 * size, cloth.bag)
    elif bag.kind in ("handbag", "carrier"):
        hand = where[f"hand_{name}"]
        drop = (0.06 if bag.kind == "handbag" else 0.03) * size
        yield _limb(hand, _beside(hand, 0, -drop - 0.02, 0), 0.012, 0.03, cloth.bag)
        tall = (0.1 if bag.kind == "handbag" else 0.15) * size
        yield _box(_beside(hand, 0, -drop - tall / 2, 0), 0.03, 0.07 * size, tall, cloth.bag)


def _box(middle, front, side, tall, texture):
    full = np.array([0.9, 1.0, 1.0, 1.0])
    top, bottom = _beside(middle, 0, tall / 2, 0), _beside(middle, 0, -tall / 2, 0)
    return Part(top, bottom, front * full, side * full, (0.006, 0.01), texture, 0.0, 0.03)
