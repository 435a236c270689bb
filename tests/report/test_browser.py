"""The pages in a browser: at a desk's and at a phone's width, by day and by night, with nobody asked for
anything and nothing complained about."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apdm.benchmark.record import PICTURE_SETS, SubjectResult
from apdm.benchmark.tables.table import Column, Entry, Line, Table
from apdm.report import write_report
from apdm.report.paper_table import html

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on the path: pages are not looked at (apt-get install chromium)"
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-sync", "--disable-dev-shm-usage"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--v=0"),
)
NARROWEST = 500  # pixels that a window has at least; what is narrower goes into a frame
LIGHT, DARK = (251, 250, 247), (20, 23, 26)  # the pages' paper
MEASURED = """<script>
const it = document.documentElement;
parent.postMessage([innerWidth, it.scrollWidth, it.scrollHeight].join(" "), "*");
</script>"""
FRAME = """<!doctype html><style>body {{ margin: 0 }} iframe {{ border: 0 }}</style>
<iframe src="{name}" width="{width}" height="{height}"></iframe>
<script>onmessage = said => document.title = said.data</script>"""

MakeSubject = Callable[..., SubjectResult]
MakeRun = Callable[..., Path]


@dataclass(frozen=True)
class Seen:
    """What a browser made of a page: its picture, the width it had and the width it took, what stands in the
    console, and the addresses that it asked for."""

    picture: np.ndarray
    width: int
    content: int
    console: list[str]
    asked: list[str]


@pytest.fixture
def look(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Seen]:
    def see(page: str, width: int, height: int = 1600, dark: bool = False) -> Seen:
        home = tmp_path_factory.mktemp("browser")
        (home / "page.html").write_text(page + MEASURED, encoding="utf-8")
        (home / "frame.html").write_text(FRAME.format(width=width, height=height, name="page.html"))
        places = {
            "screenshot": home / "seen.png",
            "log-net-log": home / "net.json",
            "user-data-dir": home / "me",
        }
        done = subprocess.run(
            [
                str(CHROMIUM),
                *FLAGS,
                *(f"--{flag}={place}" for flag, place in places.items()),
                f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                f"--window-size={max(width, NARROWEST)},{height}",
                "--dump-dom",
                (home / "frame.html").as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        told = re.search(r"<title>(\d+) (\d+) \d+</title>", done.stdout)
        assert told, done.stderr[-2000:]
        picture = np.asarray(Image.open(places["screenshot"]).convert("RGB"))[:, :width]
        console = re.findall(r'CONSOLE\W+\d+\W+"(.*)", source', done.stderr)
        return Seen(picture, int(told[1]), int(told[2]), console, _asked(places["log-net-log"]))

    return see


def _asked(log: Path) -> list[str]:
    """What pages asked for over a network; a browser's own questions have no origin."""
    said = json.loads(log.read_text())
    started = said["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    jobs = [event.get("params", {}) for event in said["events"] if event["type"] == started]
    asked = [job["url"] for job in jobs if "url" in job and job.get("initiator") != "not an origin"]
    return [url for url in asked if not url.startswith(("file:", "data:"))]


def covered(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    """Pixels of exactly this colour."""
    return int((picture == colour).all(-1).sum())


def test_a_page_that_asks_and_complains_is_noticed(look: Callable[..., Seen]) -> None:
    """Without this the other tests could not fail."""
    bad = '<!doctype html><body style="width: 900px"><img src="http://example.org/x.png"><script>gone()</script>'
    seen = look(bad, 390)
    assert seen.asked == ["http://example.org/x.png"]
    assert any("gone is not defined" in line for line in seen.console)
    assert (seen.width, seen.content > 390) == (390, True)


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (390, False), (390, True)])
def test_the_report_is_readable_at_any_width_by_day_and_by_night(
    width: int, dark: bool, look: Callable[..., Seen], make_run: MakeRun, make_subject: MakeSubject
) -> None:
    kid = ((0.01, 0.009, 0.011), (0.012, 0.01, 0.014))
    folder = make_run(make_subject(), make_subject(f"a{'n' * 60}other", kid=kid), toy=False)
    marked = [(250, 30 + 20 * place, 10) for place in range(3)]  # the first pictures of the first block
    for name, colour in zip(PICTURE_SETS, marked, strict=False):
        Image.new("RGB", (64, 64), colour).save(folder / "pictures" / "rex" / name / "00.png")
    page = write_report(folder).read_text(encoding="utf-8")
    seen = look(page, width, height=2400, dark=dark)
    assert (seen.console, seen.asked) == ([], [])
    assert seen.content == seen.width == width
    assert tuple(seen.picture[3, 3]) == (DARK if dark else LIGHT)
    assert covered(seen.picture[:700], (79, 198, 218) if dark else (11, 114, 133)) > 500  # the verdict's side
    places = [np.argwhere((seen.picture == colour).all(-1)) for colour in marked]
    assert all(len(place) > 90 * 90 for place in places)  # enlarged, and each one whole
    assert len({int(place[0][0]) for place in places}) == 1  # side by side
    assert places[0][0][1] < places[1][0][1] < places[2][0][1]


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True)])
def test_a_table_scrolls_in_its_own_box(width: int, dark: bool, look: Callable[..., Seen]) -> None:
    columns = tuple(Column("similarity", "toybox-identity", f"class {n}", "lower") for n in range(12))
    entries = tuple(Entry(0.5, 0.4, 0.6, 8) for _ in columns)
    line = Line("a protection of a long name, of several words", "defence", entries)
    table = Table("small", "toy", "A table wider than a page", columns, (line,), ("A note.",))
    seen = look(html(table), width, dark=dark)
    assert (seen.console, seen.asked) == ([], [])
    assert seen.content == seen.width == width
    assert tuple(seen.picture[3, 3]) == (DARK if dark else LIGHT)
