"""Every prompt there is: builders, templates, and files of prompts. `{}` stands for the subject.

The object and live-subject lists are those of the DreamBooth dataset (Ruiz et al., CVPR 2023;
github.com/google/dreambooth, CC-BY-4.0), with the identifier and class noun as one slot.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from apdm.errors import InputError

IDENTIFIER = "sks"  # of APDM's protocol and of diffusers' DreamBooth example

# APDM's evaluation: as many images of the one as of the other.
EVALUATION_TEMPLATES = ("a photo of {}", "a portrait of {}")

_PLACES = (
    "a {} in the jungle",
    "a {} in the snow",
    "a {} on the beach",
    "a {} on a cobblestone street",
    "a {} on top of pink fabric",
    "a {} on top of a wooden floor",
    "a {} with a city in the background",
    "a {} with a mountain in the background",
    "a {} with a blue house in the background",
    "a {} on top of a purple rug in a forest",
)
_OBJECT_SCENES = (
    "a {} with a wheat field in the background",
    "a {} with a tree and autumn leaves in the background",
    "a {} with the Eiffel Tower in the background",
    "a {} floating on top of water",
    "a {} floating in an ocean of milk",
    "a {} on top of green grass with sunflowers around it",
    "a {} on top of a mirror",
    "a {} on top of the sidewalk in a crowded street",
    "a {} on top of a dirt road",
    "a {} on top of a white rug",
)
_OUTFITS = (
    "a {} wearing a red hat",
    "a {} wearing a santa hat",
    "a {} wearing a rainbow scarf",
    "a {} wearing a black top hat and a monocle",
    "a {} in a chef outfit",
    "a {} in a firefighter outfit",
    "a {} in a police outfit",
    "a {} wearing pink glasses",
    "a {} wearing a yellow shirt",
    "a {} in a purple wizard outfit",
)
_PROPERTIES = ("a red {}", "a purple {}", "a shiny {}", "a wet {}", "a cube shaped {}")

OBJECT_TEMPLATES = _PLACES + _OBJECT_SCENES + _PROPERTIES
LIVE_TEMPLATES = _PLACES + _OUTFITS + _PROPERTIES


def subject_phrase(identifier: str, class_noun: str) -> str:
    """What stands for the subject in a prompt: "sks dog"."""
    return f"{checked(identifier, 'identifier')} {checked_noun(class_noun)}"


def instance_prompt(identifier: str, class_noun: str) -> str:
    """For the subject: "a photo of sks dog", without an article, as APDM's protocol has it."""
    return f"a photo of {subject_phrase(identifier, class_noun)}"


def class_prompt(class_noun: str) -> str:
    """For its class: "a photo of dog"."""
    return f"a photo of {checked_noun(class_noun)}"


def fill(templates: Iterable[str], subject: str) -> tuple[str, ...]:
    """The templates with `subject` ("sks dog", or "dog") in place of each `{}`."""
    return tuple(template.replace("{}", subject) for template in templates)


def checked(text: str, where: str = "prompt") -> str:
    """`text` without blanks around it, if the tokenizer can be given it.

    A shell that does not take off quotes, or a script that joins words by underscores, changes every
    token without any error; APDM's published scripts trained on `"a_photo_of_sks_person"` that way.
    Raises `InputError` for text that is empty, wrapped in quotes, or several words joined by underscores.
    """
    text = text.strip()
    if not text:
        raise InputError(f"the {where} is empty", fix="write at least one word")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[0] not in text[1:-1]:
        raise InputError(f"the {where} {text} is wrapped in quotes", fix="leave the quotes out")
    if text.count("_") > 1 and " " not in text:
        raise InputError(f"the {where} {text} has underscores between its words", fix="write blanks")
    return text


def checked_noun(class_noun: str) -> str:
    """The class noun as `checked`; of two words, too, which published folders join by an underscore."""
    noun = checked(class_noun, "class noun")
    if "_" in noun:
        raise InputError(f"the class noun {noun} has underscores between its words", fix="write blanks")
    return noun


def read_named_captions(path: Path) -> dict[str, str]:
    """The captions in `path` by the names that pictures of them have: of a JSON list its `id` and `caption`
    (TIFA's two files), of JSON lines the line's number from 00000 on and `prompt` (GenEval's metadata).

    Raises `InputError` for another layout, two captions of one id, or an id that can name no file.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jsonl":
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
            pairs = [(f"{number:05d}", line["prompt"]) for number, line in enumerate(lines)]
        else:
            pairs = [(str(entry["id"]), entry["caption"]) for entry in json.loads(text)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} has no captions to be read ({error})", fix="give TIFA's JSON or GenEval's JSON lines"
        ) from error
    captions: dict[str, str] = {}
    for name, caption in pairs:
        _check_caption(name, caption, captions.get(name), path)
        captions[name] = caption
    if not captions:
        raise InputError(f"{path} holds no caption", fix="give one or more")
    return captions


def _check_caption(name: str, caption: object, before: str | None, path: Path) -> None:
    if not isinstance(caption, str) or not caption.strip():
        raise InputError(f"caption '{name}' of {path} is no text", fix="write at least one word")
    if before not in (None, caption):
        raise InputError(f"{path} has two captions '{name}'", fix="give each an id of its own")
    if not name or Path(name).name != name or name.startswith("."):
        raise InputError(f"{path} has the id '{name}', which cannot name a file", fix="give another id")


def read_prompts(path: Path) -> tuple[str, ...]:
    """The prompts in `path`: UTF-8, one on each line; empty lines and lines beginning with # do not count.

    Raises `InputError` for a file that is missing, not text, or without a prompt, and for a line
    that `checked` refuses.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror})", fix="give a text file of prompts"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text", fix="give a text file of prompts") from None
    prompts = tuple(
        checked(line, f"prompt in line {number} of {path}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    )
    if not prompts:
        raise InputError(f"{path} holds no prompt", fix="write one prompt on each line")
    return prompts


def read_captions(path: Path) -> tuple[str, ...]:
    """The captions in `path`: of COCO's `captions_*.json` the first of each photo, photos by their numbers;
    of any other file as `read_prompts`. Raises `InputError` for a file that is neither."""
    if path.suffix != ".json":
        return read_prompts(path)
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["annotations"]
        first = {int(it["image_id"]): str(it["caption"]) for it in reversed(listed)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} has no captions ({error})", fix="give COCO's captions_val2014.json"
        ) from error
    return tuple(" ".join(first[number].split()) for number in sorted(first))
