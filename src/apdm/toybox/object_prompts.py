"""GenEval for toys: its six tasks with the Toybox's classes, colours, numbers and sides."""

from __future__ import annotations

from itertools import permutations, product

from apdm.metrics.geneval import TASKS, Prompt, Requirement
from apdm.toybox.captions import NUMBER_WORDS, PLURALS, article, coloured
from apdm.toybox.identity import CLASS_NOUNS, palette, stream

SIDES = {"left of": "to the left of", "right of": "to the right of"}  # a toy is never above another
PAIRS = tuple(permutations(CLASS_NOUNS, 2))


def object_prompts(per_task: int, seed: int = 0) -> tuple[Prompt, ...]:
    """`per_task` different prompts of each task, drawn by `seed`; all there are of a task that has fewer
    (there are five single objects). The words are those of the Toybox's captions."""
    found: list[Prompt] = []
    for task in TASKS:
        known = every_prompt(task)
        order = stream("object prompts", task, seed).permutation(len(known))
        found += [known[int(place)] for place in order[:per_task]]
    return tuple(found)


def every_prompt(task: str) -> list[Prompt]:
    """All prompts of a task."""
    match task:
        case "single_object":
            return [_prompt(task, article(noun), Requirement(noun, 1)) for noun in CLASS_NOUNS]
        case "two_object":
            return [
                _prompt(task, f"{article(a)} and {article(b)}", Requirement(a, 1), Requirement(b, 1))
                for a, b in PAIRS
            ]
        case "counting":
            return [
                Prompt(
                    task,
                    f"a photo of {word} {PLURALS[noun]}",
                    (Requirement(noun, count),),
                    (Requirement(noun, count + 1),),
                )
                for noun, (count, word) in product(CLASS_NOUNS, NUMBER_WORDS.items())
            ]
        case "colors":
            return [
                _prompt(task, article(coloured(noun, word)), Requirement(noun, 1, word))
                for noun in CLASS_NOUNS
                for word in palette(noun)
            ]
        case "position":
            return [
                _prompt(
                    task,
                    f"{article(a)} {said} {article(b)}",
                    Requirement(b, 1),
                    Requirement(a, 1, position=(side, 0)),
                )
                for (a, b), (side, said) in product(PAIRS, SIDES.items())
            ]
        case _:
            return [
                _prompt(
                    task,
                    f"{article(coloured(a, one))} and {article(coloured(b, other))}",
                    Requirement(a, 1, one),
                    Requirement(b, 1, other),
                )
                for a, b in PAIRS
                for one, other in product(palette(a), palette(b))
                if one != other
            ]


def _prompt(task: str, said: str, *include: Requirement) -> Prompt:
    return Prompt(task, f"a photo of {said}", include)
