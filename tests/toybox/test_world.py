"""The renderer: golden pictures, light and shadow, and what is to be seen where."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from apdm.toybox import world
from apdm.toybox.identity import CLASS_NOUNS, Colour, identity, stream
from apdm.toybox.world import GROUNDS, Placed, Scene, View, portrait, render, silhouettes, view

MAGENTA = Colour("magenta", (1.0, 0.0, 1.0))
PLAIN = View("snow", distance=3.5, pitch=0.25, aim=0.5, shift=0.0, sun=(0.5, 0.9), phase=0.0)

# The five portraits number 1 of seed 450,000, means over 8x8 blocks, row by row.
GOLDEN = {
    "dog": (
        "1e1e4b1e1e4b1e1e4b1e1e4b1e1e4b1e1e4b1e1e4b1e1e4b1e1f4a1e1f4a1e1f4a1e1f4a1e1f4a1e1f4a1e1f4a1e1f4a"
        "1c20433b3141444a5e1f22441c20441f21431d21441c2043272f4b515050424d5647495245546b3f343b1c21411c2142"
        "21284221273e312019663c17684628392b2d1b203f1b203f1c22411b213f3124245c3311271a15452f291b213f1c2241"
        "1d22421c224036292e5a361b181d3a1c22411e24451d22431b203f1b203f1c21401c22421c22421c21401b203f1b203f"
    ),
    "cat": (
        "1e1e4b1e1e4a1e1e4a1e1e4a1e1e4a1e1e4a1e1e4a1e1e4b1e1f4a1e1f4a1e1f4a22234743393f41373f2a27481e1f4a"
        "1c20431c20441c20432f2e3d4a3c257b66443d39461c20441b21401c21411c21414037313e321f40342134303a1b2140"
        "1c21401a203e1b21403e33234031292b28341c213f1d22421b203d1d22411a1f3c463a284236272f2e3f1d23431b203f"
        "161a330f11220e112221212c43382d2f2f3f1c22411b21400f12230e1121181d371c21401d22421a203e181e3b191f3d"
    ),
    "person": (
        "339ec7339ec7339ec7339ec7339ec7339ec7339ec7339ec761a7b364a8b167a8b16e849079929d67a8b065a8b261a7b3"
        "b2b791b4b78fb6b68e6f4e39715c4cb6b88fb5b890b1b690d3bc7fd7bf81d9bf80633f1c8c5b2ad8be7fd6bd80d7c083"
        "e5c27ce3c07ad3ae6c5b2a056e4827e5c27ce4c17ce2bf7ae7c47ee4c17bd1ae6e393847716962e7c47ee4c17be1bd78"
        "e1bd78e7c47edaba786c5f46ac9051ddba75dfbc76e5c27ce2bf7a836f48695a3ac4a76be1be79dfbb76dfbc76e3c07a"
    ),
    "car": (
        "cabbcecabbcecabbcecabbcecabbcecabbcecabbcecabbcec5b5c8c4b4c7c4b4c6c4b4c6c4b4c6c4b4c6c4b4c7c5b5c8"
        "8b6b5e89695b8968599c6c5199674a8967588a695b8b6b5e70482b6e47295f40286c5f524a44405a433270482a6f472a"
        "6a43256e46273223172e2d26252a361c1e2a6b492a6c44266d45266a4325643f2412100e352d1e17120f402d1b694325"
        "764c2b7248296841244d301a4229173d27163e28173e27166942246d45267148287249296f46275d3a2055351d5e3b20"
    ),
    "teapot": (
        "bedef1beddf1beddf0beddf0beddf0beddf0beddf1bfdef184b48f81b28b80b1897fb08785a98380b18881b28b84b38f"
        "579344559242597637616b328c321e5b8c3e55924257944448892c4a8a2d4c401760160b891813814e1f4d772758521e"
        "4c8d2e47882c5b33144f0a075b0c0867130a4d32134576264484293c702535551c4214094b0906495c1f4484294c8d2f"
        "4b8c2e3a7323234215273f162c3b133b74244e90304c8d2f4c8d2f4d8e2f45852b43822949882d3b6c2448892c44842a"
    ),
}


def levels(scene: Scene, size: int = 64) -> NDArray[np.int64]:
    return render(scene, size).astype(int)


def without_toys(scene: Scene) -> Scene:
    """The same place with its toys far outside the picture."""
    return dataclasses.replace(scene, toys=tuple(dataclasses.replace(toy, x=1e4) for toy in scene.toys))


def changed(before: Scene, after: Scene, size: int = 64) -> NDArray[np.bool_]:
    """Which pixels differ plainly, [size size]."""
    return np.abs(levels(before, size) - levels(after, size)).max(-1) > 12


def wearing(scene: Scene, **parts: object) -> Scene:
    """The scene with its first toy's parameters replaced."""
    first = dataclasses.replace(scene.toys[0], toy=dataclasses.replace(scene.toys[0].toy, **parts))
    return dataclasses.replace(scene, toys=(first, *scene.toys[1:]))


def pair(noun: str, x: float, y: float = 0.0, look: float = 0.8, place: View = PLAIN) -> Scene:
    return Scene((Placed(identity(noun, 400_001), look, x, y),), place)


# The same on every machine


@pytest.mark.parametrize("noun", CLASS_NOUNS)
def test_golden_portraits(noun: str) -> None:
    picture = render(portrait(identity(noun, 450_000), 450_000, 1))
    means = picture.reshape(8, 8, 8, 8, 3).mean(axis=(1, 3))
    golden = np.frombuffer(bytes.fromhex(GOLDEN[noun]), np.uint8).reshape(8, 8, 3)
    assert np.abs(means - golden).max() <= 1


def test_a_picture_is_rgb_in_8_bits_of_any_size() -> None:
    for size in (16, 64):
        picture = render(pair("dog", 0), size)
        assert picture.shape == (size, size, 3)
        assert picture.dtype == np.uint8


def test_sizes_show_the_same_scene() -> None:
    large = levels(pair("dog", 0), 64).reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(large - levels(pair("dog", 0), 32)).mean() < 4


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("noun", CLASS_NOUNS)
def test_every_class_renders_on_every_ground(noun: str, ground: str) -> None:
    """With no number undefined on the way, at the limits of what a view can be."""
    with np.errstate(invalid="raise", divide="raise", over="raise"):
        for seed, close in ((0, False), (1, True)):
            place = view(stream("limits", noun, seed), ground, noun, close=close)
            for sun in ((-2.4, 0.7), (2.4, 1.15)):
                lit = dataclasses.replace(place, sun=sun)
                picture = render(pair(noun, 0, place=lit), 16)
                assert picture.std() > 3


def test_what_is_skipped_could_not_have_been_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rays far from an ellipsoid are not tried; trying all gives the same pictures."""
    dog, person = (identity(noun, 400_002) for noun in ("dog", "person"))
    crowd = (Placed(dog, 0.9, -1.3, 0.3), Placed(person, 0.9, 1.2, -0.3))
    scenes = [Scene(crowd, PLAIN), Scene(crowd, dataclasses.replace(PLAIN, distance=2.2, pitch=0.14))]
    scenes += [portrait(identity(noun, seed), seed, seed) for noun in CLASS_NOUNS for seed in range(4)]
    quick = [render(scene, 32) for scene in scenes]
    monkeypatch.setattr(world, "_bounds", lambda *_: (slice(None), slice(None)))
    assert all(np.array_equal(a, render(scene, 32)) for a, scene in zip(quick, scenes, strict=True))


# Where things are


def middle(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean row and column of a mask, in units of the picture's side."""
    rows, columns = np.nonzero(mask)
    assert len(rows) > 3
    return rows.mean() / len(mask), columns.mean() / len(mask)


def place_of(scene: Scene, **parts: object) -> tuple[float, float]:
    return middle(changed(scene, wearing(scene, **parts)))


def test_positive_x_is_on_the_right() -> None:
    left, right = (place_of(pair("car", x), main=MAGENTA)[1] for x in (-0.6, 0.6))
    assert left < 0.4 < 0.6 < right


def test_farther_is_higher_and_smaller() -> None:
    near, far = (changed(pair("car", 0, y), wearing(pair("car", 0, y), main=MAGENTA)) for y in (-0.8, 1.5))
    assert middle(far)[0] < middle(near)[0] - 0.05
    assert far.sum() < 0.6 * near.sum()


def test_heads_are_up_and_shoes_are_down() -> None:
    scene = pair("person", 0, look=0.0)
    hat, shirt, shoes = (place_of(scene, **{part: MAGENTA})[0] for part in ("hat", "shirt", "shoes"))
    assert hat < shirt - 0.1 < shoes - 0.3


def test_a_positive_turn_looks_to_the_pictures_right() -> None:
    right, left = (place_of(pair("teapot", 0, look=look), spout=MAGENTA)[1] for look in (1.2, -1.2))
    assert left < 0.4 < 0.6 < right


def test_facing_zero_looks_into_the_camera() -> None:
    def glasses(scene: Scene) -> int:
        return changed(wearing(scene, glasses=False), wearing(scene, glasses=True)).sum()

    front, back = (glasses(pair("person", 0, look=look)) for look in (0.0, np.pi))
    assert front > 10 > 3 * back


def test_the_nearer_toy_hides_the_farther() -> None:
    behind = Placed(identity("teapot", 400_001), 0.8, 0.0, 1.2)
    before = Placed(identity("person", 400_001), 0.0, 0.0, -0.6)
    alone, both, turned = (Scene(toys, PLAIN) for toys in ((before,), (behind, before), (before, behind)))
    assert np.array_equal(render(both), render(turned))
    shirt = changed(alone, wearing(alone, shirt=MAGENTA))
    assert shirt.sum() > 30
    assert changed(both, alone)[shirt].mean() < 0.1  # only at the edges
    assert changed(both, alone)[~shirt].sum() > 20


@pytest.mark.parametrize(
    ("size", "closer"), [(16, {}), (64, {}), (64, {"distance": 2.5, "aim": 0.1, "pitch": 0.02})]
)
def test_silhouettes_are_all_that_is_seen_of_toys(
    monkeypatch: pytest.MonkeyPatch, size: int, closer: dict[str, float]
) -> None:
    """Pixels that differ between white and black toys; from near the floor, which hides the soles of paws."""
    crowd = tuple(Placed(identity(noun, 400_002), 0.9, x, 0.2) for noun, x in (("dog", -0.4), ("cat", 0.4)))
    scene = Scene(crowd, dataclasses.replace(PLAIN, **closer))
    painted = []
    for colour in (0.0, 1.0):
        monkeypatch.setattr(world, "_surface", lambda *_, colour=colour: colour)
        painted.append(render(scene, size))
    seen = silhouettes(scene, size)
    assert seen.shape == (2, size, size)
    assert np.array_equal(seen.any(0), (painted[0] != painted[1]).any(2))


def test_each_toy_has_its_own_silhouette() -> None:
    dogs = tuple(Placed(identity("dog", seed), 0.9, x) for seed, x in ((400_001, 0.7), (400_002, -0.7)))
    scene = Scene(dogs, PLAIN)
    first, second = silhouettes(scene)
    painted = changed(scene, wearing(scene, main=MAGENTA))
    assert not (painted & ~first).any()
    assert painted[first].mean() > 0.2
    assert middle(second)[1] < 0.4 < 0.6 < middle(first)[1]


def test_what_hides_a_toy_cuts_its_silhouette() -> None:
    behind = Placed(identity("teapot", 400_001), 0.8, 0.0, 1.2)
    before = Placed(identity("person", 400_001), 0.0, 0.0, -0.6)
    whole = silhouettes(Scene((behind,), PLAIN))[0]
    cut, person = silhouettes(Scene((behind, before), PLAIN))
    assert not (cut & ~whole).any()
    assert (whole & ~cut).sum() > 20
    assert not (whole & ~cut & ~person).any()


@pytest.mark.parametrize("noun", CLASS_NOUNS)
def test_a_toy_fills_a_sensible_share_of_its_portrait(noun: str) -> None:
    shares = []
    for seed in range(450_000, 450_012):
        scene = portrait(identity(noun, seed), seed, seed)
        shares.append(changed(without_toys(scene), scene, 32).mean())
    assert min(shares) > 0.08
    assert max(shares) < 0.55
    assert 0.15 < np.mean(shares) < 0.4


NAMEABLE = [
    ("dog", {"collar": None}, {"collar": MAGENTA}),
    ("cat", {"collar": None}, {"collar": MAGENTA}),
    ("dog", {"ears_second": False, "second": MAGENTA}, {"ears_second": True, "second": MAGENTA}),
    ("cat", {"ears_second": False, "second": MAGENTA}, {"ears_second": True, "second": MAGENTA}),
    ("dog", {"coat": "plain", "second": MAGENTA}, {"coat": "patches", "second": MAGENTA}),
    ("cat", {"coat": "plain", "second": MAGENTA}, {"coat": "stripes", "second": MAGENTA}),
    ("person", {"hat": None}, {"hat": None, "hair": MAGENTA}),
    ("person", {"glasses": False}, {"glasses": True}),
    ("person", {"hat": None}, {"hat": MAGENTA}),
    ("person", {}, {"shirt": MAGENTA}),
    ("car", {"stripe": None}, {"stripe": MAGENTA}),
    ("car", {}, {"roof": MAGENTA}),
    ("teapot", {}, {"lid": MAGENTA}),
    ("teapot", {}, {"spout": MAGENTA}),
]


@pytest.mark.parametrize(("noun", "off", "on"), NAMEABLE)
def test_whatever_a_caption_can_name_is_to_be_seen(noun: str, off: dict, on: dict) -> None:
    for seed in range(450_000, 450_004):
        scene = portrait(identity(noun, seed), seed, seed)
        assert changed(wearing(scene, **off), wearing(scene, **on)).sum() >= 8


# Light


def test_a_shadow_falls_away_from_the_sun_and_only_darkens() -> None:
    """The toy stands outside the picture, its shadow falls into it, or on the other side out of it."""
    for ground in GROUNDS:
        for azimuth in (np.pi / 2, -np.pi / 2):
            place = dataclasses.replace(PLAIN, ground=ground, sun=(azimuth, 0.5))
            into, away = (pair("dog", np.sign(azimuth) * side * 2.4, place=place) for side in (1, -1))
            bare = levels(without_toys(into))
            difference = levels(into) - bare
            assert difference.max() == 0
            assert difference.min() < -0.2 * bare.max()
            assert (levels(away) == bare).all()


def test_the_lower_the_sun_the_longer_the_shadow() -> None:
    sizes = []
    for elevation in (1.15, 0.7, 0.4):
        scene = pair("teapot", 0.9, place=dataclasses.replace(PLAIN, sun=(np.pi / 2, elevation)))
        sizes.append(changed(without_toys(scene), scene).sum())
    assert sizes == sorted(set(sizes))


def test_a_toy_is_darker_on_the_side_away_from_the_sun() -> None:
    white = {"main": Colour("white", (0.9, 0.9, 0.9)), "lid": Colour("white", (0.9, 0.9, 0.9)), "band": None}
    for azimuth in (1.4, -1.4):
        lit = dataclasses.replace(PLAIN, ground="desert", sun=(azimuth, 0.7))
        scene = wearing(pair("teapot", 0, look=0.0, place=lit), **white)
        picture, rows = levels(scene).mean(-1), slice(30, 38)
        right, left = picture[rows, 36:39].mean(), picture[rows, 25:28].mean()
        assert (right - left) * np.sign(azimuth) > 20


def test_toys_cast_shadows_on_each_other() -> None:
    white = Colour("white", (0.9, 0.9, 0.9))
    sunlit = dataclasses.replace(PLAIN, sun=(np.pi / 2, 0.5))
    alone = wearing(pair("teapot", -0.5, place=sunlit), main=white, lid=white, band=None)
    both = dataclasses.replace(alone, toys=(*alone.toys, Placed(identity("person", 400_001), 0.0, 0.9)))
    pot = changed(alone, wearing(alone, main=MAGENTA))
    darker = (levels(alone) - levels(both)).min(-1)[pot]
    assert (darker > 40).mean() > 0.03


def test_the_six_grounds_look_different_and_night_is_dark() -> None:
    places = {g: without_toys(pair("dog", 0, place=dataclasses.replace(PLAIN, ground=g))) for g in GROUNDS}
    means = {g: levels(scene, 16).mean(axis=(0, 1)) for g, scene in places.items()}
    assert list(GROUNDS) == ["grass", "beach", "snow", "night", "desert", "room"]
    for a in GROUNDS:
        assert all(np.abs(means[a] - means[b]).max() > 10 for b in GROUNDS if a != b)
    assert means["night"].max() < 80 < 180 < means["snow"].min()


def test_sky_is_above_and_floor_below() -> None:
    place = dataclasses.replace(PLAIN, ground="grass", pitch=0.14)
    picture = levels(without_toys(pair("dog", 0, place=place)))
    assert (picture[0, :, 2] > picture[0, :, 1]).all()  # blue
    assert (picture[-1, :, 1] > picture[-1, :, 2] + 50).all()  # green


def test_the_floors_pattern_moves_with_its_phase() -> None:
    moved = dataclasses.replace(PLAIN, ground="grass", phase=1.5)
    still = dataclasses.replace(PLAIN, ground="grass")
    a, b = (levels(without_toys(pair("dog", 0, place=place))) for place in (still, moved))
    assert np.abs(a - b).max() > 10
    assert a[-20:].std(axis=(0, 1)).max() > 3
