"""The page needs nothing but itself, shows everything once, and says the verdict first."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apdm.benchmark.record import PICTURE_SETS, Figure, SubjectResult
from apdm.direction import Direction
from apdm.report import write_report
from apdm.report.verdict import Finding, verdict

MakeSubject = Callable[..., SubjectResult]
MakeRun = Callable[..., Path]

VOID = {"meta", "img", "br", "link"}


@dataclass
class Page(HTMLParser):
    """A page taken apart: its elements, its text, and whether every element was closed in order."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""
    still_open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.still_open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.still_open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def pictures(self) -> list[tuple[int, int]]:
        """(number, set) of each picture in order, as `make_run` coloured them."""
        sources = [attributes["src"] or "" for tag, attributes in self.tags if tag == "img"]
        images = [Image.open(BytesIO(base64.b64decode(source.split(",", 1)[1]))) for source in sources]
        return [image.convert("RGB").getpixel((0, 0))[:2] for image in images]  # type: ignore[index]


def parsed(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    assert page.still_open == []
    return page


def test_the_page_is_one_file_that_asks_nobody(make_run: MakeRun) -> None:
    folder = make_run()
    path = write_report(folder)
    assert path == folder / "report.html"
    page = parsed(path)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    links = [a[key] or "" for _, a in page.tags for key in ("src", "href", "srcset") if key in a]
    assert len(links) > 16
    assert all(link.startswith(("data:image/", "#")) for link in links)
    assert not re.search(r"https?:|url\(|@import|//[a-z]", re.sub(r"base64,[^\"]*", "", path.read_text()))


def test_links_inside_the_page_lead_somewhere(make_run: MakeRun) -> None:
    page = parsed(write_report(make_run()))
    targets = {a["id"] for _, a in page.tags if "id" in a}
    links = {(a["href"] or "")[1:] for tag, a in page.tags if tag == "a"}
    assert links == targets == {"not-tested", "threat-model"}


def test_every_picture_is_shown_once_row_by_row_beside_its_control(make_run: MakeRun) -> None:
    pictures = parsed(write_report(make_run(count=3))).pictures()
    blocks = [(0, 1, 2), (3, 4), (5, 6, 7)]  # places in PICTURE_SETS
    assert pictures == [(row, place) for block in blocks for row in range(3) for place in block]
    assert len(pictures) == 3 * len(PICTURE_SETS)


def test_it_says_which_pictures_these_are(make_run: MakeRun) -> None:
    """The figures rest on more of them where there are several attack seeds; and who brings pictures to
    `apdm evaluate` may have drawn them as they like."""
    text = " ".join(parsed(write_report(make_run())).text.split())
    assert "of several attack seeds that it ran itself the first one's, while the figures count all." in text
    assert "pictures that the run drew share prompt and seed; pictures brought to it, of all" in text


def test_every_picture_says_what_it_is_to_who_cannot_see_it(make_run: MakeRun) -> None:
    page = parsed(write_report(make_run()))
    words = [a["alt"] for tag, a in page.tags if tag == "img"]
    assert words[:3] == [
        "rex: The subject, photos, 00",
        "rex: The subject, attacked, unprotected, 00",
        "rex: The subject, attacked, protected, 00",
    ]
    assert len(set(words)) == 16


def test_a_set_with_fewer_pictures_leaves_its_cells_empty(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "pictures" / "rex" / "photos" / "01.png").unlink()
    for path in (folder / "pictures" / "rex").glob("other_*/*.png"):
        path.unlink()
    page = parsed(write_report(folder))
    assert page.pictures() == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (0, 3), (0, 4), (1, 3), (1, 4)]
    assert page.text.count("No pictures in this run.") == 1


def test_a_hundred_pictures_stay_under_five_megabytes(make_run: MakeRun) -> None:
    """Of noise, which nothing makes smaller, and larger than they are shown."""
    folder = make_run(count=13)
    rng = np.random.default_rng(0)
    paths = sorted(folder.glob("pictures/rex/*/*.png"))
    for path in paths[:100]:
        Image.fromarray(rng.integers(0, 256, (300, 300, 3), dtype=np.uint8)).save(path)
    for path in paths[100:]:
        path.unlink()
    page = write_report(folder)
    assert len(parsed(page).pictures()) == 100
    assert 1e6 < page.stat().st_size < 5e6


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({}, Finding.RESISTANCE),
        ({"strength": (0.1, -0.1, 0.3)}, Finding.NO_CONCLUSION),
        ({"rate": (0.1, -0.1, 0.3)}, Finding.NOT_SHOWN),
        ({"kid": ((0.01, 0.009, 0.011), (0.05, 0.04, 0.06))}, Finding.MAYBE_DAMAGE),
    ],
)
def test_the_verdict_comes_before_everything_else(
    changes: dict[str, object], finding: Finding, make_run: MakeRun, make_subject: MakeSubject
) -> None:
    subject = make_subject(**changes)
    path = write_report(make_run(subject))
    page = parsed(path)
    sentence = verdict(subject, "the listed attack").sentence
    order = [sentence, "Attacked with", "The subject", "Likeness to the subject", "Losses", "Settings"]
    order += ["Times and versions", "What was not tested", "Threat model in three lines"]
    places = [page.text.index(words) for words in order]
    assert places == sorted(places)
    assert f'class="verdict {finding.name.lower()}"' in path.read_text()
    drawn = any(a.get("class") == "rate" for _, a in page.tags)
    assert drawn is (finding is not Finding.NO_CONCLUSION)


def test_toy_figures_are_called_so_and_others_are_not(make_run: MakeRun) -> None:
    folder = make_run()
    assert "toy figures" in parsed(write_report(folder)).text
    record = folder / "result.json"
    record.write_text(record.read_text().replace('"toy": true', '"toy": false'))
    page = parsed(write_report(folder))
    assert "toy" not in page.text.lower()


def test_names_and_settings_cannot_write_html(make_run: MakeRun, make_subject: MakeSubject) -> None:
    evil = '<img src=x onerror="alert(1)"> & co'
    path = write_report(make_run(make_subject(name=evil)))
    page = parsed(path)
    assert "onerror" not in {key for _, attributes in page.tags for key in attributes}
    assert page.text.count(evil) >= 3
    assert "DreamBooth <b>" in page.text
    assert len(page.pictures()) == 16


def test_figures_settings_versions_and_times_are_all_there(make_run: MakeRun) -> None:
    text = " ".join(parsed(write_report(make_run())).text.replace("\u202f", " ").split())
    for words in (
        "0.860 0.840 to 0.890 16",
        "(the control) 83 % 71 % to 93 % 32",
        "Judge: eye.",
        "rate higher protects 88 %",
    ):
        assert words in text
    for words in ("seed7", "protect.beta1.0", "torch2.0", "rex: protect5 min 12 s"):
        assert words in text


def test_a_loss_curve_is_drawn_for_each_task(make_run: MakeRun) -> None:
    folder = make_run()
    page = parsed(write_report(folder))
    (line,) = (a["points"] or "" for tag, a in page.tags if tag == "polyline")
    assert len(line.split()) == 9
    (folder / "log.jsonl").unlink()
    assert "Losses" not in parsed(write_report(folder)).text


def test_a_loss_that_was_never_finite_is_not_passed_over(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "log.jsonl").write_text('{"task": "protect rex", "done": 1, "total": 1, "loss": NaN}\n')
    assert "loss, undefined at the end; 1 values were not finite" in parsed(write_report(folder)).text


def test_curves_of_one_kind_and_figure_share_their_scale(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "log.jsonl").write_text(
        "".join(
            f'{{"task": "{task}", "done": {done}, "total": 2, "loss": {loss}}}\n'
            for task, low, high in (("attack unprotected rex", 0, 1), ("attack protected rex", 0, 2))
            for done, loss in ((1, low), (2, high))
        )
    )
    page = parsed(write_report(folder))
    heights = [
        [float(point.split(",")[1]) for point in (a["points"] or "").split()]
        for tag, a in page.tags
        if tag == "polyline"
    ]
    assert heights[0][0] == heights[1][0]
    # 0 to 2 with a margin of 5 %: 1 lies in the middle and 2 lies at 2.1/2.2 of the height.
    assert [heights[0][1], heights[1][1]] == pytest.approx([50, 100 - 100 * 2.1 / 2.2], abs=0.01)


def test_a_twin_says_the_same_in_numbers(make_run: MakeRun, make_subject: MakeSubject) -> None:
    undefined = (math.nan, -math.inf, math.inf)
    folder = make_run(make_subject(), make_subject("tom", rate=undefined))
    page = parsed(write_report(folder)).text
    twin = json.loads((folder / "report.json").read_text(), parse_constant=pytest.fail)
    record = json.loads((folder / "result.json").read_text())
    assert {name: twin[name] for name in record} == record
    assert twin.keys() - record.keys() == {"verdicts", "not_tested", "threat_model"}
    assert twin["verdicts"]["rex"]["finding"] == Finding.RESISTANCE
    assert twin["verdicts"]["tom"]["finding"] == Finding.NOT_SHOWN
    said = [said for of in twin["verdicts"].values() for said in (of["sentence"], of["cost"])]
    for words in (*said, *twin["not_tested"], *twin["threat_model"]):
        assert words in page


def test_what_else_was_measured_has_a_table_each(make_run: MakeRun, make_subject: MakeSubject) -> None:
    def clip(value: float, direction: Direction) -> Figure:
        return Figure(value, value - 0.01, value + 0.01, 24, "ViT-L/14", direction, "cd" * 32)

    sets = {
        "class_unprotected": clip(0.3125, Direction.HIGHER_PRESERVES),
        "class_protected": clip(0.25, Direction.HIGHER_PRESERVES),
    }
    reference = {name: clip(0.5, Direction.REFERENCE) for name in sets}
    subject = replace(make_subject(), further={"CLIP score": sets, "ISM": reference})
    text = " ".join(parsed(write_report(make_run(subject))).text.split())
    assert "CLIP score Judge: ViT-L/14 (cdcdcdcd)." in text
    assert "class, unprotected higher preserves 0.312 0.302 to 0.323 24" in text
    assert "Cost: CLIP score of its class pictures 0.312 before, 0.25 after." in text  # ISM is no cost


def test_an_undefined_rate_makes_a_page_too(make_run: MakeRun, make_subject: MakeSubject) -> None:
    undefined = (math.nan, -math.inf, math.inf)
    text = parsed(write_report(make_run(make_subject(strength=undefined, rate=undefined)))).text
    assert "Nothing can be concluded about rex" in text
    assert "undefined" in text
    assert "nan" not in re.sub(r"\w*[a-z]nan|nan[a-z]\w*", "", text.lower())
