"""Each published layout, made small: names, class nouns, photos, what is missing, what is no such data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apdm.datasets.base import Dataset, Division, Source
from apdm.datasets.table import DATASETS, dataset
from apdm.errors import InputError
from apdm.toybox.seeds import Purpose
from apdm.toybox.subjects import toy_subject

CLASSES = "Classes\n\nsubject_name,class\nbear_plushie,stuffed animal\ncan,can\n\nPrompts\n\nprompts = [\n"


def names(paths: tuple[Path, ...]) -> list[str]:
    return [path.name for path in paths]


def test_an_unknown_kind_offers_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'vggface2'"):
        dataset("vggface", Source(tmp_path))


@pytest.mark.parametrize("kind", [kind for kind in DATASETS if kind != "toybox"])
def test_no_folder_and_an_empty_one_are_refused(kind: str, tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError):
            dataset(kind, Source(place, "dog"))


# CelebA-HQ


@pytest.fixture
def celeba(tmp_path: Path, album) -> Path:
    album(tmp_path / "CelebA-HQ-img", 6)
    listed = ["0.png 7", "1.png 30", "2.png 7", "5.png 7", "9.png 7", ""]
    (tmp_path / "CelebA-HQ-identity.txt").write_text("\n".join(listed))
    return tmp_path


def test_celeba_groups_pictures_by_the_list(celeba: Path) -> None:
    found = dataset("celeba-hq", Source(celeba))
    assert found.names == ("30", "7")
    assert names(found.photos("7")) == ["0.png", "2.png", "5.png"]
    assert found.missing() == ("1 pictures that CelebA-HQ-identity.txt names",)
    assert found.subject("7", division=Division.IN_TURN).class_noun == "person"
    assert found.division is Division.FOURS


def test_celeba_takes_another_list_and_pictures_beside_it(tmp_path: Path, album) -> None:
    album(tmp_path / "pictures", 2)
    (tmp_path / "list.txt").write_text("0.png 1\n1.png 1\n")
    found = dataset("celeba-hq", Source(tmp_path / "pictures", identities=tmp_path / "list.txt"))
    assert names(found.photos("1")) == ["0.png", "1.png"]
    assert found.missing() == ()


def test_celeba_without_a_list_or_with_a_bad_one(celeba: Path) -> None:
    (celeba / "CelebA-HQ-identity.txt").write_text("0.png 7\n1.png seven of nine\n")
    with pytest.raises(InputError, match=r"line 2 of .* is not FILE IDENTITY"):
        dataset("celeba-hq", Source(celeba))
    (celeba / "CelebA-HQ-identity.txt").unlink()
    with pytest.raises(InputError, match="--identities"):
        dataset("celeba-hq", Source(celeba))


# VGGFace2


def test_vggface2_counts_large_photos_only(tmp_path: Path, album) -> None:
    album(tmp_path / "n000001", 15, side=500)
    album(tmp_path / "n000001", 3, side=499, first=20)
    album(tmp_path / "n000002", 14, side=500)
    album(tmp_path / "n000002", 3, side=499, first=20)
    (tmp_path / "n000002" / "x.jpg").write_text("no picture")
    found = dataset("vggface2", Source(tmp_path))
    assert found.names == ("n000001", "n000002")
    assert len(found.photos("n000001")) == 15
    assert [len(found.subject("n000001").paths(s)) for s in ("protect", "attack", "held_out")] == [4, 4, 4]
    with pytest.raises(InputError, match=r"of 500 pixels or more in .*n000002: 14, needed: 15"):
        found.subject("n000002")


# The DreamBooth dataset


@pytest.mark.parametrize("inner", ["", "dataset"])
def test_dreambooth_reads_class_nouns_from_its_table(tmp_path: Path, album, inner: str) -> None:
    album(tmp_path / inner / "bear_plushie", 5)
    album(tmp_path / inner / "not_listed", 5)
    (tmp_path / inner / "prompts_and_classes.txt").write_text(CLASSES)
    found = dataset("dreambooth", Source(tmp_path))
    assert found.names == ("bear_plushie",)
    assert found.missing() == ("1 of 2 subjects: can",)
    bear = found.subject("bear_plushie")
    assert bear.class_prompt == "a photo of stuffed animal"
    assert names(bear.protect) == ["0.png", "3.png"]


def test_dreambooth_without_its_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"prompts_and_classes.txt is not there"):
        dataset("dreambooth", Source(tmp_path))
    (tmp_path / "prompts_and_classes.txt").write_text("Classes\n")
    with pytest.raises(InputError, match="has no line 'subject_name,class'"):
        dataset("dreambooth", Source(tmp_path))


def test_dreambooth_on_real_photographs(shared_data: Path, tmp_path: Path) -> None:
    """The twelve subjects beside the project, under the table as it is published."""
    nouns = json.loads((shared_data / "dreambooth" / "prompts.json").read_text())["class_noun"]
    table = "".join(f"{name},{noun}\n" for name, noun in nouns.items())
    (tmp_path / "prompts_and_classes.txt").write_text(f"subject_name,class\n{table}")
    (tmp_path / "duck_toy").symlink_to(shared_data / "dreambooth" / "duck_toy")
    duck = dataset("dreambooth", Source(tmp_path)).subject("duck_toy")
    assert duck.class_noun == "toy"
    assert (len(duck.protect), len(duck.attack), len(duck.held_out)) == (2, 1, 1)


# CustomConcept101


def test_custom_concept_follows_its_index(tmp_path: Path, album) -> None:
    album(tmp_path / "benchmark_dataset" / "pet_dog1", 4)
    entries = [
        {"instance_data_dir": f"./benchmark_dataset/{name}", "class_prompt": noun, "instance_prompt": "x"}
        for name, noun in (("pet_dog1", "dog"), ("scene_barn", "barn"))
    ]
    (tmp_path / "dataset.json").write_text(json.dumps(entries))
    found = dataset("customconcept101", Source(tmp_path))
    assert found.names == ("pet_dog1",)
    assert found.missing() == ("1 of 2 subjects: scene_barn",)
    assert found.subject("pet_dog1").class_noun == "dog"


@pytest.mark.parametrize("text", ["{", "[1]", '[{"class_prompt": "dog"}]', "{}"])
def test_custom_concept_with_another_index(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InputError):
        dataset("customconcept101", Source(tmp_path))


# Folders and toys


def test_folders_need_a_class_noun(tmp_path: Path, album) -> None:
    album(tmp_path / "rex", 3)
    (tmp_path / ".hidden").mkdir()
    found: Dataset = dataset("folders", Source(tmp_path, "dog"))
    assert found.names == ("rex",)
    assert found.subject("rex").phrase == "sks dog"
    with pytest.raises(InputError, match="--class_noun"):
        dataset("folders", Source(tmp_path))


def test_toys_are_the_toyboxs_own_subjects(tmp_path: Path) -> None:
    found = dataset("toybox", Source(tmp_path / "here"))
    seed = Purpose.TUNING.seed(3)
    toy = found.subject(f"dog-{seed}", identifier="xyz")
    same = toy_subject(tmp_path / "there", "dog", seed, Purpose.TUNING)
    assert toy.hashes("attack") == same.hashes("attack")
    assert toy.phrase == "xyz dog"
    assert len(found.photos(f"dog-{seed}")) == 16
    assert found.class_noun(found.names[0]) == "car"
    for name, division in (("cow-400000", None), ("dog-x", None), ("dog-400000", Division.SAME_IMAGES)):
        with pytest.raises(InputError):
            found.subject(name, division=division)
