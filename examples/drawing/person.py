"""What a person looks like: build, skin, hair, clothes and what they carry.

Colours come from a short list, weighted as clothes in the street are, and then vary a little: many people share
a colour, none shares everything. What tells two people apart is the whole: cut, pattern, bag, hair and build.
"""

from dataclasses import dataclass

import numpy as np

from .wardrobe import BOTTOMS, CLOTH_RGB, MIXED, PLAIN, TOPS

__all__ = ["Bag", "Garment", "Person", "random_person"]

Color = tuple[float, float, float]

SKIN = (
    np.array([(236, 200, 176), (222, 180, 150), (200, 152, 120), (164, 116, 86), (116, 78, 58), (80, 54, 42)])
    / 255
)
HAIR = np.array([(24, 20, 20), (46, 34, 28), (84, 58, 40), (130, 98, 64), (176, 144, 96), (150, 148, 146)]) / 255
SHOE = np.array([(30, 30, 32), (226, 226, 224), (120, 122, 126), (92, 62, 44), (40, 54, 96), (172, 44, 48)]) / 255

HAIRSTYLES = ("bald", "short", "full", "bob", "long", "tail", "bun")
BAGS = {"none": 42, "backpack": 24, "shoulder bag": 15, "handbag": 9, "carrier": 10}


@dataclass(frozen=True)
class Garment:
    """One piece of clothing.

    Parameters
    ----------
    kind : str
        A key of `wardrobe.TOPS` or `wardrobe.BOTTOMS`.
    color, second : tuple of 3 floats
        RGB, 0 to 1; the second is the pattern's.
    pattern : str
        A key of `wardrobe.PATTERNS`.
    scale : float
        Size of the pattern, 0 (fine) to 1 (coarse).
    room : float
        How far the cloth stands off the body, in body heights.
    seed : int
        Chooses the details of the pattern.
    """

    kind: str
    color: Color
    second: Color
    pattern: str
    scale: float
    room: float
    seed: int


@dataclass(frozen=True)
class Bag:
    """Something carried: `kind` is a key of `BAGS`, `side` is -1 (right hand) or 1 (left), `size` about 1."""

    kind: str
    color: Color
    side: int
    size: float


@dataclass(frozen=True)
class Person:
    """One identity: all that stays the same from crop to crop. Lengths are in body heights.

    Parameters
    ----------
    girth : float
        1 is average; 0.85 thin, 1.3 stout.
    curve : float
        0 (straight, broad in the shoulders) to 1 (narrow waist, wide hips).
    shoulders, hips : float
        Half-widths.
    legs : float
        Height of the hip joint.
    head : float
        Size of the head; 1 is average.
    skin, hair_color, shoes, hat_color : tuple of 3 floats
        RGB, 0 to 1.
    hair : str
        One of `HAIRSTYLES`.
    hat : str
        "none", "cap", "beanie" or "hood" (the hood of the hoodie, up).
    top, inner, bottom : Garment
        `inner` shows where a jacket or coat is open.
    sleeve : float
        Share of the arm that the top covers.
    hem : float
        Height of the top's lower edge.
    opening : float
        Half-width of a jacket's open front, as a share of the way around; 0 is closed.
    leg_cover : float
        Share of the leg, from the hip, that trousers, shorts or skirt cover.
    bag : Bag
    scarf : tuple of 3 floats, or None
    glasses, beard, mask : bool
    """

    girth: float
    curve: float
    shoulders: float
    hips: float
    legs: float
    head: float
    skin: Color
    hair: str
    hair_color: Color
    hat: str
    hat_color: Color
    top: Garment
    inner: Garment
    bottom: Garment
    shoes: Color
    sleeve: float
    hem: float
    opening: float
    leg_cover: float
    bag: Bag
    scarf: Color | None
    glasses: bool
    beard: bool
    mask: bool


def random_person(rng: np.random.Generator, plain: float = 0.0) -> Person:
    """Draw one identity.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of chance: equal generators give equal people.
    plain : float
        Probability of plain clothes, dark or grey and mostly without a pattern: people in them are told apart by
        cut, bag, hair and build rather than by colour.

    Returns
    -------
    person : Person
    """
    wear = PLAIN if plain > 0 and rng.random() < plain else MIXED
    curve = float(np.clip(rng.choice([0.15, 0.85]) + rng.normal(0, 0.15), 0, 1))
    kind = _pick(rng, {k: 0 if k == "dress" and curve < 0.5 else v[0] for k, v in TOPS.items()})
    _, sleeve, hem, room = TOPS[kind]
    bottom_kind = _pick(
        rng, {k: 0 if k in ("skirt", "leggings") and curve < 0.5 else w for k, w in BOTTOMS.items()}
    )
    girth = float(np.clip(np.exp(rng.normal(0, 0.11)), 0.82, 1.35))
    hat = _pick(rng, {**wear.hats, "hood": wear.hats["hood"] if kind == "hoodie" else 0})
    top = _garment(rng, wear, kind, wear.tops, room * rng.uniform(0.7, 1.4))
    return Person(
        girth=girth,
        curve=curve,
        shoulders=float(0.117 - 0.014 * curve + rng.normal(0, 0.004)),
        hips=float(0.083 + 0.008 * curve + rng.normal(0, 0.004)),
        legs=float(0.515 + rng.normal(0, 0.012)),
        head=float(np.clip(rng.normal(1, 0.05), 0.88, 1.14)),
        skin=_vary(rng, SKIN[rng.choice(6, p=[0.25, 0.3, 0.22, 0.1, 0.08, 0.05])], 0.02),
        hair=str(rng.choice(HAIRSTYLES, p=_hair_shares(curve))),
        hair_color=_vary(rng, HAIR[rng.choice(6, p=wear.hair)], 0.02),
        hat=hat,
        hat_color=top.color if hat == "hood" else _cloth(rng, wear.tops),
        top=top,
        inner=_garment(rng, wear, "t-shirt", wear.tops, 0.004),
        bottom=_garment(rng, wear, bottom_kind, wear.bottoms, 0.0),
        shoes=_vary(rng, SHOE[rng.choice(6, p=[0.42, 0.24, 0.12, 0.12, 0.05, 0.05])], 0.03),
        sleeve=float(np.clip(sleeve + (rng.uniform(-0.08, 0.14) if 0 < sleeve < 1 else 0), 0, 1)),
        hem=float(hem + rng.normal(0, 0.012)),
        opening=float(rng.uniform(0.025, 0.11)) if kind in ("jacket", "coat") and rng.random() < 0.6 else 0.0,
        leg_cover=_leg_cover(rng, bottom_kind),
        bag=Bag(
            _pick(rng, BAGS), _cloth(rng, wear.tops), int(rng.choice([-1, 1])), float(rng.uniform(0.75, 1.25))
        ),
        scarf=_cloth(rng, wear.tops) if kind in ("coat", "jacket") and rng.random() < 0.2 else None,
        glasses=bool(rng.random() < 0.25),
        beard=bool(curve < 0.5 and rng.random() < 0.15),
        mask=bool(rng.random() < 0.04),
    )


def _pick(rng, weights):
    names = list(weights)
    shares = np.array([weights[name] for name in names], float)
    return names[rng.choice(len(names), p=shares / shares.sum())]


def _hair_shares(curve):
    straight = np.array([0.07, 0.62, 0.24, 0.02, 0.02, 0.02, 0.01])
    curved = np.array([0.0, 0.06, 0.10, 0.20, 0.38, 0.18, 0.08])
    return straight if curve < 0.5 else curved


def _leg_cover(rng, kind):
    if kind == "shorts":
        return float(rng.uniform(0.28, 0.55))
    if kind == "skirt":
        return float(rng.choice([rng.uniform(0.28, 0.5), rng.uniform(0.65, 0.9)], p=[0.7, 0.3]))
    return float(rng.choice([1.0, rng.uniform(0.72, 0.88)], p=[0.85, 0.15]))


def _garment(rng, wear, kind, weights, room):
    pattern = _pick(rng, wear.patterns)
    if weights is wear.bottoms:
        pattern = "checks" if kind in ("shorts", "skirt") and pattern in ("checks", "print") else "plain"
        room = {"leggings": 0.0, "skirt": 0.006}.get(kind, float(rng.choice([0.002, 0.006, 0.013])))
    color = np.array(_cloth(rng, weights))
    if kind == "jeans":
        color = CLOTH_RGB[rng.choice([1, 4, 4, 5, 5, 5, 6])]
    second = np.array(_cloth(rng, wear.tops))
    if np.abs(second - color).sum() < wear.contrast:  # a pattern has to be seen
        second = np.full(3, 0.88) if color.mean() < 0.5 else np.full(3, 0.13)
    return Garment(
        kind,
        _vary(rng, color, 0.035),
        _vary(rng, second, 0.035),
        pattern,
        float(rng.random()),
        float(room),
        int(rng.integers(2**31)),
    )


def _cloth(rng, weights):
    return _vary(rng, CLOTH_RGB[rng.choice(len(weights), p=weights / weights.sum())], 0.03)


def _vary(rng, color, spread):
    """Lighter or darker, and a little off in hue."""
    varied = np.asarray(color) * np.exp(rng.normal(0, 3 * spread)) + rng.normal(0, spread, 3)
    return tuple(np.clip(varied, 0.03, 0.95).tolist())
