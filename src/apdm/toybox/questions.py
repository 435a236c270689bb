"""TIFA for toys: what to ask of a described scene, and who answers by looking for toys.

Only what the caption says is asked. The questions have fixed forms and fixed choices, so that whoever finds
toys can answer them: an answer is always one of the choices, "nothing" where the thing is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Protocol

from apdm.errors import InputError
from apdm.metrics.geneval import GENEVAL, ColourNamer, Detection, Detector, Rules, kept
from apdm.metrics.tifa import Question
from apdm.toybox.captions import Described, coloured
from apdm.toybox.identity import CLASS_NOUNS, main_colour, palette
from apdm.toybox.world import GROUNDS
from apdm.types import Pixels

NOTHING, MORE = "nothing", "more"
COUNTS = ("0", "1", "2", "3", MORE)
WHAT = "what is in the picture?"
THERE = "is there a {}?"
MANY = "how many {}s are there?"
COLOUR = "what color is the {}?"
WHERE = "where is it?"
LEFT = "what is on the left, the {} or the {}?"


class SceneReader(Detector, Protocol):
    """A detector of toys that also names colours and grounds."""

    @property
    def colour_namer(self) -> ColourNamer: ...
    def grounds(self, pixels: Pixels) -> list[str]:
        """The key in `GROUNDS` of each picture's ground."""
        ...


@dataclass(frozen=True)
class Seen:
    """One picture [1 3 h w]: the toys that count, by class, the most confident first, and its ground."""

    pixels: Pixels
    toys: Mapping[str, Sequence[Detection]]
    ground: str
    colours: ColourNamer


def questions_of(id: str, described: Described) -> tuple[Question, ...]:
    """About the pictures of the scene's caption, `id`: TIFA's element types object, counting, color, spatial
    and location, each where the caption says it. Colours are asked of a class whose toys share one."""
    return tuple(Question(id, *asked) for asked in _asked(described))


def _asked(described: Described) -> Iterator[tuple[str, tuple[str, ...], str, str]]:
    """Question, choices, answer and element type."""
    caption, toys = described.caption, [placed.toy for placed in described.scene.toys]
    nouns = [toy.class_noun for toy in toys]
    alike = len(set(nouns)) == 1
    if alike:
        yield WHAT, (*CLASS_NOUNS, NOTHING), nouns[0], "object"
    else:
        yield from ((THERE.format(noun), ("yes", "no"), "yes", "object") for noun in nouns)
    if alike and len(nouns) > 1:
        yield MANY.format(nouns[0]), COUNTS, str(len(nouns)), "counting"
    for noun in dict.fromkeys(nouns):
        word = next(main_colour(toy).word for toy in toys if toy.class_noun == noun)
        if coloured(noun, word, nouns.count(noun)) in caption:
            yield COLOUR.format(noun), (*palette(noun), NOTHING), word, "color"
    if not alike and (" to the left of " in caption or " to the right of " in caption):
        one, other = sorted(nouns)  # so that the order gives nothing away
        yield LEFT.format(one, other), (one, other, NOTHING), nouns[0], "spatial"
    ground = GROUNDS[described.scene.view.ground].phrase
    if caption.endswith(ground):
        yield WHERE, tuple(it.phrase for it in GROUNDS.values()), ground, "location"


def check_forms(questions: Sequence[str]) -> None:
    """Raises `InputError` for a question that is none of the above."""
    for question in questions:
        if question not in READINGS:
            raise InputError(f"'{question}' is no question about toys", fix="see apdm.toybox.questions")


class ToyAnswerer:
    """`Answerer` of the questions above, by what a `SceneReader` finds with GenEval's rules, or its own."""

    def __init__(self, reader: SceneReader, rules: Rules = GENEVAL) -> None:
        self.reader, self.rules = reader, rules
        self.name, self.fingerprint = reader.name, reader.fingerprint

    def __call__(self, pixels: Pixels, questions: Sequence[str]) -> list[str]:
        """Raises `InputError` for a question of another form."""
        check_forms(questions)
        found, grounds = self.reader(pixels), self.reader.grounds(pixels)
        seen = zip(questions, pixels.split(1), found, grounds, strict=True)
        return [self._answer(*one) for one in seen]

    def _answer(self, question: str, picture: Pixels, found: Sequence[Detection], ground: str) -> str:
        task = "counting" if question in COUNTED else "object"
        toys = kept(found, task, self.rules)
        return READINGS[question](Seen(picture, toys, ground, self.reader.colour_namer))


def what(seen: Seen) -> str:
    """The class of the most confident toy."""
    firsts = [some[0] for some in seen.toys.values() if some]
    return max(firsts, key=lambda one: one.confidence).label if firsts else NOTHING


def there(noun: str, seen: Seen) -> str:
    return "yes" if seen.toys.get(noun) else "no"


def many(noun: str, seen: Seen) -> str:
    count = str(len(seen.toys.get(noun, ())))
    return count if count in COUNTS else MORE


def colour(noun: str, seen: Seen) -> str:
    """Of the most confident toy of the class; "nothing" where no toy of the class can have it."""
    found = seen.toys.get(noun, ())
    word = seen.colours(seen.pixels, found[:1])[0] if found else NOTHING
    return word if word in palette(noun) else NOTHING


def left(one: str, other: str, seen: Seen) -> str:
    """Of the most confident toys of both classes the one whose middle is further left."""
    if not seen.toys.get(one) or not seen.toys.get(other):
        return NOTHING
    return min(one, other, key=lambda noun: seen.toys[noun][0].box[0] + seen.toys[noun][0].box[2])


def where(seen: Seen) -> str:
    return GROUNDS[seen.ground].phrase


Reading = Callable[[Seen], str]
COUNTED: dict[str, Reading] = {MANY.format(noun): partial(many, noun) for noun in CLASS_NOUNS}
READINGS: dict[str, Reading] = {
    WHAT: what,
    WHERE: where,
    **COUNTED,
    **{THERE.format(noun): partial(there, noun) for noun in CLASS_NOUNS},
    **{COLOUR.format(noun): partial(colour, noun) for noun in CLASS_NOUNS},
    **{LEFT.format(*pair): partial(left, *pair) for pair in combinations(sorted(CLASS_NOUNS), 2)},
}
