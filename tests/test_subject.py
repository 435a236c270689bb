from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from apdm import pixels
from apdm.errors import InputError
from apdm.subject import MIN_SIDE, Subject, Verdict, inspect


def photo(path: Path, seed: int, width: int = 80, height: int = 64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


def names(paths: tuple[Path, ...]) -> list[str]:
    return [path.name for path in paths]


def verdicts(subject: Subject) -> dict[str, Verdict]:
    return {verdict.path.name: verdict for verdict in subject.verdicts}


def test_photos_go_to_the_sets_in_turn_by_name(tmp_path: Path) -> None:
    for number in (3, 0, 4, 2, 1):
        photo(tmp_path / f"{number}.png", number)
    subject = Subject.from_folder(tmp_path, "dog")
    assert names(subject.protect) == ["0.png", "3.png"]
    assert names(subject.attack) == ["1.png", "4.png"]
    assert names(subject.held_out) == ["2.png"]


def test_order_does_not_depend_on_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        photo(tmp_path / f"{number}.png", number)
    listing = sorted(tmp_path.iterdir())
    seen = []
    for order in (listing, listing[::-1], [listing[i] for i in (2, 0, 4, 1, 3)]):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "iterdir", lambda _self, order=order: iter(order))
            seen.append(Subject.from_folder(tmp_path, "dog"))
    assert seen[0] == seen[1] == seen[2]


def test_a_photo_that_sorts_last_moves_no_other(tmp_path: Path) -> None:
    for number in range(4):
        photo(tmp_path / f"{number}.png", number)
    before = Subject.from_folder(tmp_path, "dog")
    photo(tmp_path / "4.png", 4)
    after = Subject.from_folder(tmp_path, "dog")
    assert after.protect == before.protect
    assert after.held_out == before.held_out
    assert names(after.attack) == [*names(before.attack), "4.png"]


def test_same_images_puts_every_photo_into_every_set(tmp_path: Path) -> None:
    photo(tmp_path / "a.png", 0)
    subject = Subject.from_folder(tmp_path, "dog", same_images=True)
    assert names(subject.protect) == ["a.png"]
    assert subject.protect == subject.attack == subject.held_out


def test_subfolders_are_the_sets(tmp_path: Path) -> None:
    photo(tmp_path / "unused.png", 9)
    for seed, name in enumerate(("protect/x", "protect/y", "attack/x", "held_out/x")):
        photo(tmp_path / f"{name}.png", seed)
    subject = Subject.from_folder(tmp_path, "dog")
    assert names(subject.protect) == ["x.png", "y.png"]
    assert subject.attack == (tmp_path / "attack" / "x.png",)
    assert subject.held_out == (tmp_path / "held_out" / "x.png",)


def test_a_picture_is_in_one_set_only(tmp_path: Path) -> None:
    for seed, name in enumerate(("protect/a", "attack/b", "held_out/c")):
        photo(tmp_path / f"{name}.png", seed)
    photo(tmp_path / "attack" / "again.bmp", 0)
    subject = Subject.from_folder(tmp_path, "dog")
    assert names(subject.attack) == ["b.png"]
    assert verdicts(subject)["again.bmp"].note == "same picture as protect/a.png"


def test_subfolders_must_be_all_three_and_not_for_the_same_images(tmp_path: Path) -> None:
    photo(tmp_path / "attack" / "a.png", 0)
    with pytest.raises(InputError, match="no protect/ and held_out/"):
        Subject.from_folder(tmp_path, "dog")
    photo(tmp_path / "protect" / "b.png", 1)
    (tmp_path / "held_out").mkdir()
    with pytest.raises(InputError, match="held_out: 0, needed: 1"):
        Subject.from_folder(tmp_path, "dog")
    photo(tmp_path / "held_out" / "c.png", 2)
    with pytest.raises(InputError, match="divided"):
        Subject.from_folder(tmp_path, "dog", same_images=True)


def test_bad_files_are_set_aside_and_told(tmp_path: Path) -> None:
    for number in range(3):
        photo(tmp_path / f"{number}.png", number)
    photo(tmp_path / "1 copy.bmp", 0)
    photo(tmp_path / "point.png", 5, 1, 1)
    (tmp_path / "cut.png").write_bytes((tmp_path / "0.png").read_bytes()[:3000])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "link.jpg").symlink_to("gone.jpg")
    (tmp_path / "0.TXT").write_text("a caption")
    (tmp_path / "metadata.jsonl").write_text("{}")
    (tmp_path / ".hidden.jpg").write_text("")
    photo(tmp_path / "deeper" / "a.png", 6)
    subject = Subject.from_folder(tmp_path, "dog")
    told = verdicts(subject)
    assert names(subject.protect + subject.attack + subject.held_out) == ["0.png", "1.png", "2.png"]
    assert told.pop("1 copy.bmp").note.startswith("same picture as")
    assert told.pop("cut.png").note
    assert {name: verdict.note for name, verdict in told.items()} == {
        "0.png": "",
        "1.png": "",
        "2.png": "",
        "point.png": "shorter side below 64 pixels",
        "empty.jpg": "empty file",
        "text.jpg": "not an image",
        "link.jpg": "cannot be read (No such file or directory)",
        "0.TXT": "not an image (sidecar)",
        "metadata.jsonl": "not an image (sidecar)",
    }


def test_too_few_usable_photos_are_an_error_that_names_the_bad_ones(tmp_path: Path) -> None:
    photo(tmp_path / "a.png", 0)
    photo(tmp_path / "b.png", 1)
    (tmp_path / "c.png").touch()
    (tmp_path / "c.txt").write_text("a caption")
    with pytest.raises(InputError, match=r": 2, needed: 3 \(c\.png: empty file\)"):
        Subject.from_folder(tmp_path, "dog")
    assert len(Subject.from_folder(tmp_path, "dog", same_images=True).attack) == 2
    with pytest.raises(InputError, match="is not a folder"):
        Subject.from_folder(tmp_path / "nowhere", "dog")


def test_inspect_measures_and_hashes(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png", 0, width=100, height=70)
    verdict = inspect(path)
    assert verdict == Verdict(
        path,
        usable=True,
        note="",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        digest=pixels.read(path).digest,
        width=100,
        height=70,
    )


def test_inspect_notes_what_was_done_and_measures_after_turning(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (100, 70)).save(tmp_path / "lying.jpg", exif=exif)
    verdict = inspect(tmp_path / "lying.jpg")
    assert verdict.usable
    assert verdict.note == "turned as EXIF says; L made RGB"
    assert (verdict.width, verdict.height) == (70, 100)


def test_the_smallest_side_is_the_toyboxs(tmp_path: Path) -> None:
    assert inspect(photo(tmp_path / "toy.png", 0, MIN_SIDE, MIN_SIDE)).usable
    assert not inspect(photo(tmp_path / "less.png", 0, 500, MIN_SIDE - 1)).usable


def test_prompts_follow_identifier_and_noun_unless_given(tmp_path: Path) -> None:
    photo(tmp_path / "a.png", 0)
    subject = Subject.from_folder(tmp_path, "dog", same_images=True)
    assert (subject.instance_prompt, subject.class_prompt) == ("a photo of sks dog", "a photo of dog")
    other = replace(subject, identifier="t@t", class_noun="stuffed animal")
    assert other.phrase == "t@t stuffed animal"
    assert other.instance_prompt == "a photo of t@t stuffed animal"
    given = Subject.from_folder(
        tmp_path, "dog", instance_prompt="my dog ", class_prompt="any dog", same_images=True
    )
    assert (given.instance_prompt, given.class_prompt) == ("my dog", "any dog")


@pytest.mark.parametrize("field", ["class_noun", "identifier", "given_instance_prompt", "given_class_prompt"])
def test_mangled_words_are_refused_at_once(field: str) -> None:
    plain = Subject("rex", "dog", (), (), ())
    with pytest.raises(InputError, match="wrapped in quotes"):
        replace(plain, **{field: '"dog"'})


def test_words_are_checked_even_where_prompts_are_given() -> None:
    plain = Subject("rex", "dog", (), (), (), given_instance_prompt="my dog", given_class_prompt="any dog")
    with pytest.raises(InputError, match="identifier is empty"):
        replace(plain, identifier="")


def test_name_is_the_folders_unless_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo(tmp_path / "rex" / "a.png", 0)
    monkeypatch.chdir(tmp_path / "rex")
    assert Subject.from_folder(Path(), "dog", same_images=True).name == "rex"
    assert Subject.from_folder(Path(), "dog", name="max", same_images=True).name == "max"


def test_pixels_and_hashes_follow_the_paths(tmp_path: Path) -> None:
    for number in range(6):
        photo(tmp_path / f"{number}.png", number)
    subject = Subject.from_folder(tmp_path, "dog")
    for images in ("protect", "attack", "held_out"):
        paths = subject.paths(images)
        assert len(paths) == 2
        assert torch.equal(subject.pixels(images, 32), pixels.load(paths, 32))
        assert subject.hashes(images) == tuple(hashlib.sha256(p.read_bytes()).hexdigest() for p in paths)


def test_real_photos(shared_data: Path) -> None:
    for folder, noun in (("dog", "dog"), ("cat", "cat")):
        subject = Subject.from_folder(shared_data / "dreambooth" / folder, noun)
        assert [len(subject.paths(images)) for images in ("protect", "attack", "held_out")] == [2, 2, 1]
        assert all(verdict.usable for verdict in subject.verdicts)
        assert len(subject.verdicts) == 5
