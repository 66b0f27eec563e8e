"""The site: the chapters as pages without solutions, and views that need no kernel. The built site:
its links lead somewhere, it fetches nothing, and it can be read by all, also on a telephone.
"""

import functools
import html
import json
import re
import sys
import threading
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from browser import chromium_page, needs_chromium

from pusht import figures
from pusht.figures.moving import Moving
from pusht.figures.page import Page, Picture
from pusht.resources import ROOT
from score.course.notebooks import build
from score.verdict import MIME

sys.path.insert(0, str(ROOT / ".ci" / "site"))
import chapters
import run_chapters
import views

SITE = ROOT / "build" / "site"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PARTS = build.parts_with_source()
each_part = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
READ = (
    "index.html",
    "chapters/part1_mlp.html",
    "instructors.html",
    "reference/pusht.env.html",
)
# Shorter lines are found everywhere, as `return x` is.
LONG_ENOUGH = 20
# What reaches over a telephone's page and can't be scrolled to.
CUT_OFF = """
[...document.querySelectorAll(".md-typeset :is(img, video, svg, pre, table)")]
    .filter((box) => box.getBoundingClientRect().right > 361)
    .filter((box) => !box.closest(".md-typeset__scrollwrap, .kit-html, .kit-formula, pre"))
    .map((box) => box.outerHTML.slice(0, 80))
"""


def spaceless(text: str) -> str:
    return re.sub(r"\s+", "", text)


@functools.cache
def wanted() -> dict[str, str]:
    """Return the lines of all solutions that no student's notebook has, by the line without
    spaces.
    """
    inside = re.compile(r"### BEGIN SOLUTION.*?\n(.*?)### END SOLUTION", re.DOTALL)
    cells = [cell for part in PARTS for cell in build.source_notebook(part).cells]
    lines = [
        line for cell in cells for text in inside.findall(cell.source) for line in text.splitlines()
    ]
    students = [cell.source for part in PARTS for cell in build.student_notebook(part).cells]
    given = spaceless("".join(students))
    found = {spaceless(line): line.strip() for line in lines if len(line.strip()) >= LONG_ENOUGH}
    return {short: line for short, line in found.items() if short not in given}


def solved(text: str) -> list[str]:
    """Return the lines of solutions that stand in a text."""
    plain = spaceless(text)
    return [line for short, line in wanted().items() if short in plain]


def page_of(notebook) -> chapters.Chapter:
    return chapters.Chapter("part1_mlp", notebook, 10)


@each_part
def test_a_chapter_has_the_students_cells_and_no_solution(part):
    page = page_of(build.student_notebook(part)).markdown
    assert not solved(page)
    assert page.count("```python") == page.count("\n# [part")
    assert "Need to implement" in page and "colab-badge" not in page


def test_a_solution_in_a_chapter_would_be_seen():
    assert len(wanted()) > 50
    for part in PARTS:
        page = page_of(build.answered_notebook(part)).markdown
        assert len(solved(html.escape(page))) > 3, part.name


@each_part
def test_a_chapter_is_run_without_training_what_it_hands_in_or_a_persons_question(part):
    cells = [cell for cell in build.answered_notebook(part).cells if run_chapters._is_run(cell)]
    source = "\n".join(run_chapters._as_run(cell).source for cell in cells)
    assert "score.submit()" not in source and "_log.csv" not in source
    # In Parts I to III the run mode loads the weights; in Part IV they are put in place.
    assert not re.search(r"^train\(|hand_in\(|_logger\.epoch_losses", source, re.MULTILINE)
    assert source.count("load_checkpoint(") == (2 if part.name == "part4_flow" else 0)


def outputs(*given):
    """A notebook of one cell with these outputs, as (type, data)."""
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

    cell = new_code_cell("x", outputs=[new_output(kind, **data) for kind, data in given])
    return new_notebook(cells=[new_markdown_cell("# Part"), cell])


def test_what_a_cell_printed_stays_text():
    printed = {"name": "stdout", "text": "\x1b[31m<script>alert(1)</script>\x1b[0m\n\n*a*"}
    page = page_of(outputs(("stream", printed))).markdown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\n\n*a*</pre>" in page


def test_a_checks_sentence_is_shown_and_its_value_is_not():
    verdict = {"data": {"text/plain": "✓ Q1.1: 1 of 1 points.", MIME: {}}}
    value = {"data": {"text/plain": "1.0"}, "execution_count": 1}
    widget = {"data": {"text/plain": "0%|", "application/vnd.jupyter.widget-view+json": {}}}
    bar = {"data": {"text/html": '<pre role="status" aria-label="episodes">100%|</pre>'}}
    kinds = (("display_data", widget), ("display_data", verdict), ("execute_result", value))
    page = page_of(outputs(*kinds, ("display_data", bar))).markdown
    assert "✓ Q1.1" in page and not re.search("1[.]0|0%", page)


def test_a_picture_becomes_a_file_with_its_words(tmp_path):
    picture = Page(40).image('"Hills" & dales')
    data, _ = picture._repr_mimebundle_()
    page = page_of(outputs(("display_data", {"data": data})))
    assert page.files == {"part1_mlp_1.png": picture.data}
    assert 'alt="&quot;Hills&quot; &amp; dales"' in page.markdown
    assert '<a href="part1_mlp_1.png"><img src="part1_mlp_1.png"' in page.markdown


def test_a_film_becomes_a_file_and_waits_for_the_reader():
    film = (
        '<video controls autoplay aria-label="a"><source src="data:video/mp4;base64,YQ=="></video>'
    )
    page = page_of(outputs(("display_data", {"data": {"text/html": film}})))
    assert page.files == {"part1_mlp_1.mp4": b"a"}
    assert "autoplay" not in page.markdown and 'src="part1_mlp_1.mp4"' in page.markdown


def test_a_player_keeps_all_that_it_shows():
    states = np.array([[100, 100, 256, 256, 0.7853], [110.4, 100, 256, 256, 0.7853]])
    view = views.played(figures.player({"a": [states], "b": [states[:1]]}))
    long, short = (policy["episodes"][0] for policy in view["policies"])
    assert long["states"] == [[100, 100, 256, 256, 785], [110, 100, 256, 256, 785]]
    assert len(short["states"]) == 1 and long["actions"] is None
    assert long["rewards"][0] >= 999


def test_a_players_page_has_the_table_that_it_draws():
    player = figures.player([np.array([[100, 100, 256, 256, 0.0]])])
    data, _ = Picture(player.data, player.alt)._repr_mimebundle_()
    shown = {"data": {**data, views.MIME: views.played(player)}}
    page = page_of(outputs(("display_data", shown))).markdown
    view = json.loads(re.search(r'json">(.*?)</script>', page)[1].replace("<\\/", "</"))
    assert len(view["table"]["tee"]) == 8 and view["table"]["goal"][:2] == [256, 256]
    assert len(view["table"]["colours"]) == 5 and len(view["policies"]) == 1


def test_a_sliders_moments_are_few_and_the_first_and_last_are_among_them():
    page = Page(40)
    moving = Moving(
        page.image("all"), "k", [f"{i}" for i in range(101)], 0, lambda i: page.image(f"{i}")
    )
    view = views.moved(moving)
    values = [frame["value"] for frame in view["frames"]]
    assert len(values) <= views.MOST_FRAMES + 1
    assert values[0] == "0" and values[-1] == "100" and view["start"] == 0
    assert [frame["alt"] for frame in view["frames"]] == values


def test_the_front_page_has_three_ways_in_and_is_short():
    front = README.partition("## For instructors")[0]
    assert len(front.splitlines()) <= 90
    assert front.index("policies.gif") < front.index("## Three ways in")
    ways = front.partition("## Three ways in\n")[2].partition("\n## ")[0].split("\n### ")[1:]
    assert [way.count("![") for way in ways] == [1, 1, 1]


# The built site.


class Read(HTMLParser):
    """The ids of a page, its links, and what a browser fetches for it."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.fetched = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.ids.update(filter(None, (named.get("id"), tag == "a" and named.get("name"))))
        if tag == "a" and named.get("href"):
            self.links.add(named["href"])
        loads = tag == "link" and named.get("rel") in ("stylesheet", "icon", "preload")
        for name in ("src", "poster", "srcset", "data", *(["href"] if loads else [])):
            if tag != "a" and named.get(name):
                self.fetched.add(named[name])


@pytest.fixture(scope="module")
def site():
    if not (SITE / "index.html").exists():
        pytest.skip("needs the built site: run `make site`")
    return {page: Read(page.read_text(encoding="utf-8")) for page in sorted(SITE.rglob("*.html"))}


@pytest.mark.long
def test_the_site_has_the_pages_that_are_promised(site):
    made = {page.relative_to(SITE).as_posix() for page in site}
    assert {f"chapters/{part.name}.html" for part in PARTS} | {*READ} <= made
    assert {"colab.html", "hub.html", "attacks.html", "data.html", "changes.html"} <= made
    assert {"reference/score.verdict.html", "reference/pusht.html"} <= made


@pytest.mark.long
def test_no_solution_is_in_the_site(site):
    for file in SITE.rglob("*"):
        if file.suffix in (".html", ".json", ".js", ".ipynb", ".txt"):
            text = html.unescape(file.read_text(encoding="utf-8"))
            shown = re.sub(r"<[^>]*>", "", text) if file.suffix == ".html" else text
            # A notebook and the search index quote their text for JSON.
            assert not solved(shown.replace('\\"', '"').replace("\\n", "\n")), file
            assert "BEGIN SOLUTION" not in shown or file.parent.name != "chapters", file


@pytest.mark.long
def test_every_link_of_the_site_leads_somewhere(site):
    for page, read in site.items():
        for link in read.links | read.fetched:
            parts = urlsplit(link)
            if parts.scheme or page.name == "404.html":
                continue
            there = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            there = there / "index.html" if there.is_dir() else there
            assert there.is_file(), f"{page.relative_to(SITE)} links to {link}"
            if parts.fragment and there in site:
                assert unquote(parts.fragment) in site[there].ids, f"{page.name} links to {link}"


@pytest.mark.long
def test_the_site_fetches_nothing_from_elsewhere(site):
    for page, read in site.items():
        assert not [link for link in read.fetched if re.match(r"(https?:)?//", link)], page.name


@pytest.mark.long
@each_part
def test_the_solutions_losses_stay_within_the_references_band(site, part):
    """For the loss of each epoch; Part IV's checkpoints have more of them than that."""
    text = html.unescape((SITE / "chapters" / f"{part.name}.html").read_text(encoding="utf-8"))
    told = re.findall(r">Your loss (stays within|leaves) the reference's band", text)
    assert told == ["stays within"] * len(part.policies)


@pytest.mark.long
def test_every_formula_is_drawn_by_the_browser_itself(site):
    for part in PARTS:
        text = (SITE / "chapters" / f"{part.name}.html").read_text(encoding="utf-8")
        assert "<math" in text and 'class="arithmatex"' not in text
        outside = re.sub(r"<(pre|code|script)\b.*?</\1>", "", text, flags=re.DOTALL)
        assert not re.search(r"\$[^$\n]*\\[a-z]+[^$\n]*\$", outside)


@pytest.fixture(scope="module")
def opened(site):
    """A function from a page's path to the page in a browser, from a server of this machine."""
    handler = functools.partial(Silent, directory=SITE)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield lambda page: chromium_page(f"http://127.0.0.1:{server.server_port}/{page}")
        server.shutdown()


class Silent(SimpleHTTPRequestHandler):
    """A server of files that lists no requests."""

    def log_message(self, *_):
        pass


@pytest.mark.long
@needs_chromium
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", READ)
def test_axe_finds_no_serious_fault(opened, page, theme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="`make site` installs it"
    )
    with opened(page) as tab:
        tab.emulate_media(color_scheme=theme)
        # It holds the theme of the first visit, from some time after that page was loaded.
        tab.add_init_script("localStorage.clear()")
        tab.reload()
        scheme = {"light": "default", "dark": "slate"}[theme]
        tab.wait_for_selector(f"body[data-md-color-scheme={scheme}]")
        found = axe.Axe().run(tab).response["violations"]
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    assert not serious, [(fault["id"], fault["nodes"][0]["target"]) for fault in serious]


@pytest.mark.long
@needs_chromium
@pytest.mark.parametrize("page", [*READ, *(f"chapters/{part.name}.html" for part in PARTS[1:])])
def test_a_telephone_has_room_for_a_page(opened, page):
    with opened(page) as tab:
        tab.set_viewport_size({"width": 360, "height": 740})
        assert tab.evaluate("document.documentElement.scrollWidth") == 360
        # No picture, table or code is cut off: each is within the page, or scrolls.
        assert tab.evaluate(CUT_OFF) == []


@pytest.mark.long
@needs_chromium
def test_a_player_and_a_slider_work_without_a_kernel_by_keyboard_alone(opened):
    with opened("chapters/part1_mlp.html") as tab:
        player = tab.locator("figure.kit-view").nth(1)
        step, play = player.get_by_label("step"), player.get_by_role("button", name="Play")
        play.focus()
        tab.keyboard.press("Enter")
        tab.wait_for_function("(step) => step.value >= 3", arg=step.element_handle())
        player.get_by_role("button", name="Pause").press("Enter")
        at = int(step.input_value())
        step.press("ArrowRight")
        assert int(step.input_value()) == at + 1
        assert f"step {at + 1} of" in player.inner_text()
        player.get_by_label("episode").press("ArrowRight")
        assert "Episode 1: 0.0 s" in player.inner_text()
    with opened("chapters/part4_flow.html") as tab:
        slider = tab.locator("figure.kit-view").first
        first = slider.locator("img").get_attribute("src")
        slider.get_by_role("button").press("Enter")
        slider.get_by_role("slider").press("End")
        image = slider.locator("img")
        assert image.get_attribute("src") != first
        tab.wait_for_function("(image) => image.naturalWidth > 0", arg=image.element_handle())
        assert image.get_attribute("alt") in slider.inner_text()
