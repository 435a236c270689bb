"""The renderer: shaded ellipsoids with shadows on six grounds, by ray casting in closed form.

A ray meets an ellipsoid where it meets the unit sphere in the ellipsoid's own frame (divide by the
radii, solve one quadratic), so nothing is marched. Only elementary operations in float64 are used:
the pictures are the same on every machine up to the rounding of one grey level, as long as NumPy keeps
the streams of its PCG64 generator (it promises so for the bits, not for each distribution).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apdm.toybox.bodies import Ellipsoids, Floats, body
from apdm.toybox.identity import RGB, Identity, stream

SIZE = 64  # pixels a side
SUPERSAMPLING = 2  # rays a pixel and axis
FIELD_OF_VIEW = 0.36  # tangent of half the opening angle
AMBIENT = 0.42
SHININESS = 20


@dataclass(frozen=True)
class Ground:
    """A place: colours of floor (two, mixed by a low wave), sky at the horizon and above, and light."""

    phrase: str
    floor: tuple[RGB, RGB]
    horizon: RGB
    zenith: RGB
    light: RGB
    wave: float  # spatial frequency of the floor's pattern, radians per toy unit


GROUNDS: dict[str, Ground] = {
    "grass": Ground("on the grass", ((0.24, 0.50, 0.16), (0.33, 0.60, 0.22)), (0.75, 0.87, 0.95), (0.40, 0.65, 0.92), (1.0, 0.98, 0.92), 7.0),
    "beach": Ground("on the beach", ((0.88, 0.79, 0.57), (0.82, 0.72, 0.50)), (0.20, 0.62, 0.78), (0.55, 0.82, 0.95), (1.05, 1.0, 0.90), 3.0),
    "snow": Ground("in the snow", ((0.92, 0.94, 0.97), (0.84, 0.88, 0.94)), (0.80, 0.84, 0.88), (0.66, 0.72, 0.80), (0.95, 0.97, 1.0), 2.5),
    "night": Ground("at night", ((0.13, 0.15, 0.24), (0.17, 0.19, 0.29)), (0.12, 0.12, 0.30), (0.03, 0.03, 0.12), (0.72, 0.76, 0.95), 4.0),
    "desert": Ground("in the desert", ((0.78, 0.44, 0.24), (0.70, 0.37, 0.19)), (0.95, 0.78, 0.55), (0.90, 0.60, 0.42), (1.05, 0.95, 0.82), 2.0),
    "room": Ground("in a room", ((0.50, 0.33, 0.20), (0.40, 0.25, 0.14)), (0.78, 0.72, 0.80), (0.84, 0.78, 0.84), (0.95, 0.93, 0.88), 5.0),
}  # fmt: skip


@dataclass(frozen=True)
class View:
    """Camera and light. Angles in radians, distance in toy units; `sun` is azimuth and elevation."""

    ground: str
    distance: float
    pitch: float
    aim: float  # height that the camera looks at
    shift: float  # sideways displacement of the camera's aim
    sun: tuple[float, float]
    phase: float  # of the floor's pattern


@dataclass(frozen=True)
class Placed:
    """A toy somewhere on the ground; `facing` 0 looks into the camera, positive turns to its left."""

    toy: Identity
    facing: float
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Scene:
    toys: tuple[Placed, ...]
    view: View


# Camera distance and height of aim at which one toy of the class fills the frame.
FRAMING = {
    "dog": (3.3, 0.66),
    "cat": (3.3, 0.66),
    "person": (3.6, 0.92),
    "car": (3.1, 0.42),
    "teapot": (2.7, 0.50),
}
CROWD_DISTANCE = {1: 1.0, 2: 1.45, 3: 1.65}
PORTRAIT_DISTANCE, PORTRAIT_RISE = 0.74, 0.25


def view(rng: np.random.Generator, ground: str, class_noun: str, crowd: int = 1, close: bool = False) -> View:
    """A random view of `ground` that holds `crowd` toys; `close` comes nearer and looks higher."""
    distance, aim = FRAMING[class_noun]
    distance *= CROWD_DISTANCE[crowd] * float(rng.uniform(0.92, 1.12))
    return View(
        ground=ground,
        distance=PORTRAIT_DISTANCE * distance if close else distance,
        pitch=float(rng.uniform(0.14, 0.38)),
        aim=aim + float(rng.uniform(-0.08, 0.08)) + (PORTRAIT_RISE if close else 0.0),
        shift=float(rng.uniform(-0.12, 0.12)),
        sun=(float(rng.uniform(-2.4, 2.4)), float(rng.uniform(0.7, 1.15))),
        phase=float(rng.uniform(0, 6.28)),
    )


def facing(rng: np.random.Generator, class_noun: str) -> float:
    """A random direction to look in: animals and things from the side, people from the front."""
    if class_noun == "person":
        return float(rng.uniform(-0.85, 0.85))
    side = 1.0 if rng.uniform() < 0.5 else -1.0
    return side * float(rng.uniform(0.30, 1.30))


def portrait(toy: Identity, seed: int, index: int) -> Scene:
    """View number `index` of one toy alone: the same for everybody. Grounds take turns."""
    rng = stream("portrait", toy.class_noun, seed)
    grounds = [str(g) for g in rng.permutation(list(GROUNDS))]
    rng = stream("portrait", toy.class_noun, seed, index)
    chosen = grounds[index % len(grounds)]
    return Scene((Placed(toy, facing(rng, toy.class_noun)),), view(rng, chosen, toy.class_noun))


def render(scene: Scene, size: int = SIZE) -> NDArray[np.uint8]:
    """The picture of `scene`: [size size 3], 8-bit RGB."""
    rays = size * SUPERSAMPLING
    eye, directions = _camera(scene.view, rays)
    parts = _gather(scene)
    depth, owner = _nearest(parts, eye, directions, rays)
    colour = _shade(scene.view, parts, eye, directions, depth, owner)
    pixels = colour.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, 3).mean(axis=(1, 3))
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def silhouettes(scene: Scene, size: int = SIZE) -> NDArray[np.bool_]:
    """Where each toy of `scene` is to be seen: [toys size size], true where a ray of the pixel meets it first."""
    eye, directions = _camera(scene.view, size * SUPERSAMPLING)
    depth, part = _nearest(_gather(scene), eye, directions, size * SUPERSAMPLING)
    part[depth > _to_floor(eye, directions)] = -1
    toy_of_part = np.repeat(
        np.arange(len(scene.toys)), [len(body(placed.toy).centre) for placed in scene.toys]
    )
    toy = np.append(toy_of_part, -1)[part]
    seen = (toy == np.arange(len(scene.toys))[:, None]).reshape(-1, size, SUPERSAMPLING, size, SUPERSAMPLING)
    return seen.any(axis=(2, 4))


def _gather(scene: Scene) -> Ellipsoids:
    bodies = [body(p.toy).placed(p.x, p.y, p.facing - np.pi / 2) for p in scene.toys]
    fields = ("centre", "radii", "axes", "colour")
    return Ellipsoids(*(np.concatenate([getattr(b, field) for b in bodies]) for field in fields))


def _camera(v: View, rays: int) -> tuple[Floats, Floats]:
    """Eye position [3] and unit ray directions [rays*rays 3], row by row from the top left."""
    forward = np.array([0.0, np.cos(v.pitch), -np.sin(v.pitch)])
    right, up = np.array([1.0, 0, 0]), np.array([0.0, np.sin(v.pitch), np.cos(v.pitch)])
    eye = np.array([v.shift, 0, v.aim]) - v.distance * forward
    steps = FIELD_OF_VIEW * ((np.arange(rays) + 0.5) / rays * 2 - 1)
    directions = forward + steps[None, :, None] * right - steps[:, None, None] * up
    directions = directions.reshape(-1, 3)
    return eye, directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _nearest(
    parts: Ellipsoids, eye: Floats, directions: Floats, rays: int
) -> tuple[Floats, NDArray[np.int64]]:
    """Distance to the first ellipsoid along each ray (inf: none) and its number (-1: none)."""
    depth = np.full(len(directions), np.inf)
    owner = np.full(len(directions), -1)
    columns = directions.reshape(rays, rays, 3)
    numbers = np.arange(rays * rays).reshape(rays, rays)
    for number in range(len(parts.centre)):
        rows_hit, columns_hit = _bounds(parts, number, eye, columns)
        inside = numbers[rows_hit, columns_hit].ravel()
        if inside.size == 0:
            continue
        to_unit = (parts.axes[number] / parts.radii[number]).T  # world -> unit sphere
        start = to_unit @ (eye - parts.centre[number])
        along = directions[inside] @ to_unit.T
        a, b, c = (along * along).sum(1), along @ start, start @ start - 1
        under_root = b * b - a * c
        hit = under_root > 0
        t = np.where(hit, (-b - np.sqrt(np.maximum(under_root, 0))) / a, np.inf)
        nearer = (t > 0) & (t < depth[inside])
        depth[inside[nearer]] = t[nearer]
        owner[inside[nearer]] = number
    return depth, owner


def _bounds(parts: Ellipsoids, number: int, eye: Floats, columns: Floats) -> tuple[slice, slice]:
    """Rows and columns of rays that can meet the ellipsoid: those near its bounding sphere."""
    rays = columns.shape[0]
    forward = columns[rays // 2, rays // 2]
    offset = parts.centre[number] - eye
    reach = parts.radii[number].max() / max(offset @ forward, 1e-6) / FIELD_OF_VIEW * rays / 2 * 1.15 + 2
    right = columns[rays // 2, -1] - columns[rays // 2, 0]
    up = columns[0, rays // 2] - columns[-1, rays // 2]
    scale = rays / 2 / FIELD_OF_VIEW / (offset @ forward)
    x = rays / 2 + offset @ (right / np.linalg.norm(right)) * scale
    y = rays / 2 - offset @ (up / np.linalg.norm(up)) * scale
    low_y, high_y = max(int(y - reach), 0), min(int(y + reach) + 1, rays)
    low_x, high_x = max(int(x - reach), 0), min(int(x + reach) + 1, rays)
    return slice(low_y, max(high_y, low_y)), slice(low_x, max(high_x, low_x))


def _shade(
    v: View, parts: Ellipsoids, eye: Floats, directions: Floats, depth: Floats, owner: NDArray[np.int64]
) -> Floats:
    """Colour of every ray [n 3]: toys and floor lit by one sun, the sky behind."""
    ground = GROUNDS[v.ground]
    azimuth, elevation = v.sun
    sun = np.array(
        [np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)]
    )
    colour = _sky(ground, directions)

    to_floor = _to_floor(eye, directions)
    on_floor = np.flatnonzero((to_floor < depth) & (to_floor < 60))
    points = eye + to_floor[on_floor, None] * directions[on_floor]
    lit = AMBIENT + (1 - AMBIENT) * sun[2] * ~_in_shadow(parts, points, sun)
    floor = _floor(ground, points, v.phase) * lit[:, None] / (AMBIENT + (1 - AMBIENT) * sun[2])
    haze = np.clip((to_floor[on_floor] - 6) / 14, 0, 1)[:, None]
    colour[on_floor] = floor * np.array(ground.light) * (1 - haze) + np.array(ground.horizon) * haze

    on_toy = np.flatnonzero(owner >= 0)
    on_toy = on_toy[depth[on_toy] <= to_floor[on_toy]]
    points = eye + depth[on_toy, None] * directions[on_toy]
    colour[on_toy] = _surface(ground, parts, owner[on_toy], points, directions[on_toy], sun)
    return colour


def _to_floor(eye: Floats, directions: Floats) -> Floats:
    """Distance to the floor along each ray [n]; inf: it never comes there."""
    return np.where(directions[:, 2] < -1e-6, -eye[2] / np.minimum(directions[:, 2], -1e-6), np.inf)


def _sky(ground: Ground, directions: Floats) -> Floats:
    height = np.clip(directions[:, 2] / 0.22, 0, 1)[:, None]
    return np.array(ground.horizon) * (1 - height) + np.array(ground.zenith) * height


def _floor(ground: Ground, points: Floats, phase: float) -> Floats:
    w = ground.wave
    pattern = np.sin(w * points[:, 0] + phase) * np.sin(0.8 * w * points[:, 1] + 1.7 * phase)
    mix = (0.5 + 0.5 * pattern)[:, None]
    return np.array(ground.floor[0]) * (1 - mix) + np.array(ground.floor[1]) * mix


def _surface(
    ground: Ground,
    parts: Ellipsoids,
    owner: NDArray[np.int64],
    points: Floats,
    directions: Floats,
    sun: Floats,
) -> Floats:
    """Lambert with a small highlight; the underside gets some of the floor's colour."""
    axes, radii = parts.axes[owner], parts.radii[owner]
    local = np.einsum("nji,nj->ni", axes, points - parts.centre[owner])
    normal = np.einsum("nij,nj->ni", axes, local / radii**2)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    shadow = _in_shadow(parts, points + 0.01 * normal, sun)
    diffuse = np.maximum(normal @ sun, 0) * ~shadow
    half = sun - directions
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    highlight = 0.18 * np.maximum((normal * half).sum(1), 0) ** SHININESS * ~shadow
    sky_seen = 0.5 + 0.5 * normal[:, 2]
    ambient = AMBIENT * (0.75 + 0.25 * sky_seen)
    lit = parts.colour[owner] * (ambient + (1 - AMBIENT + 0.12) * diffuse)[:, None] + highlight[:, None]
    return lit * np.array(ground.light)


def _in_shadow(parts: Ellipsoids, points: Floats, sun: Floats) -> NDArray[np.bool_]:
    """Whether a ray from each point [n 3] towards the sun meets any ellipsoid."""
    dark = np.zeros(len(points), dtype=bool)
    across = points - (points @ sun)[:, None] * sun
    for number in range(len(parts.centre)):
        centre = parts.centre[number]
        beside = across - (centre - (centre @ sun) * sun)
        near = np.flatnonzero((beside * beside).sum(1) < parts.radii[number].max() ** 2)
        near = near[~dark[near]]
        if near.size == 0:
            continue
        to_unit = (parts.axes[number] / parts.radii[number]).T
        start = (points[near] - centre) @ to_unit.T
        along = to_unit @ sun
        a, b, c = along @ along, start @ along, (start * start).sum(1) - 1
        dark[near] |= (b < 0) & (b * b > a * c) & (c > 0)
    return dark
