"""Synthetic people crops: who walks by, how they stand, what a camera makes of it.

person    what a person looks like                    random_person(rng) -> Person
wardrobe  what clothes are chosen from
fabric    the person's clothes and head as textures
pose      where the joints are at one moment          random_pose(rng) -> Pose
body      person and pose -> parts in three dimensions
render    parts, seen from somewhere -> painted pixels
scene     what stands behind the people
camera    what one camera sees and does to a picture  random_camera(rng) -> Camera
crop      all of it together                          draw_crop(person, camera, rng) -> uint8 (H, W, 3)
"""

from .camera import Camera, random_camera
from .crop import draw_crop
from .person import Bag, Garment, Person, random_person

__all__ = ["Bag", "Camera", "Garment", "Person", "draw_crop", "random_camera", "random_person"]
