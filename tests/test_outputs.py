"""What a graded notebook shows to the person who reads it: text, formulas and pictures, and nothing
that acts on the page, whoever wrote it.
"""

import base64
import copy
import io
from html.parser import HTMLParser

import nbformat
import pytest
from browser import SCREENSHOTS, chromium_page, needs_chromium
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nbconvert.exporters import HTMLExporter
from nbconvert.filters import markdown2html_mistune
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell
from nbgrader.server_extensions.formgrader.handlers import template_path
from PIL import Image

from score.course.grading.sanitise.graded import clean_outputs, clean_sources, plain_markdown
from score.course.notebooks import build
from score.verdict import MIME


def picture(kind="PNG", size=(4, 3)):
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


ACT = "document.documentElement.dataset.acted=1"
TAGS = (
    f"<script>{ACT}</script>",
    f'<img src="http://x.invalid/" onerror="{ACT}">',
    f"<svg onload='{ACT}'></svg>",
    f"<details open ontoggle={ACT}>",
)
RELEASED = new_notebook(cells=[new_markdown_cell("A <b>text</b> of the [course](https://x.org).")])


def cleaned(*cells, metadata=None):
    notebook = new_notebook()
    notebook.metadata = nbformat.from_dict(metadata or {})
    notebook.cells = copy.deepcopy([*RELEASED.cells, *cells])  # valid or not
    clean_outputs(notebook)
    clean_sources(notebook, RELEASED)
    nbformat.validate(notebook)
    return notebook


def shown(*outputs, **fields):
    """The outputs of a code cell after it is cleaned."""
    cell = new_code_cell(**fields)
    cell["outputs"] = [nbformat.from_dict(output) for output in outputs]
    return cleaned(cell).cells[-1].outputs


def display(data, **fields):
    return nbformat.from_dict(
        {"output_type": "display_data", "data": data, "metadata": {}} | fields
    )


# Outputs.


@pytest.mark.parametrize(
    "mime_type",
    [
        *("text/html", "image/svg+xml", "application/javascript", "text/markdown", "text/latex"),
        *("application/vnd.jupyter.widget-view+json", "application/json", "application/pdf", MIME),
        "<script>",
    ],
)
def test_what_a_page_would_act_on_is_left_out_and_its_text_stays(mime_type):
    (output,) = shown(display({mime_type: TAGS[0], "text/plain": "a table"}))
    assert output.data == {"text/plain": "a table"}
    (output,) = shown(display({mime_type: TAGS[0]}))
    assert {*output.data} == {"text/plain"} and "Left out" in output.data["text/plain"]


def test_text_and_pictures_stay_as_they_are():
    png, jpeg = picture(), picture("JPEG")
    lines = "\n".join(base64.encodebytes(base64.b64decode(png)).decode().split("\n"))
    text, first, second, third = shown(
        {"output_type": "stream", "name": "stdout", "text": "ä <b> 1\t2\n"},
        display({"image/png": lines, "text/plain": "<Figure size 640x480>"}),
        display({"image/jpeg": jpeg}),
        {"output_type": "execute_result", "execution_count": 3, "data": {"text/plain": "42"}},
    )
    assert text.text == "ä <b> 1\t2\n"
    assert first.data == {"image/png": png, "text/plain": "<Figure size 640x480>"}
    assert second.data == {"image/jpeg": jpeg}
    assert (third.data, third.execution_count) == ({"text/plain": "42"}, 3)


@pytest.mark.parametrize(
    "content",
    [
        '"><script>',
        picture() + '"><script>',
        base64.b64encode(b"<svg onload='alert(1)'/>").decode(),
        picture("JPEG"),
        "",
        ["a"],
        {"a": 1},
        None,
        # A bomb: 100,000 x 100,000 pixels, by its header.
        base64.b64encode(
            base64.b64decode(picture())[:16] + (100_000).to_bytes(4) * 2 + b"\x08\x02\0\0\0"
        ).decode(),
    ],
)
def test_what_is_no_picture_is_not_shown_as_one(content):
    (output,) = shown(display({"image/png": content, "text/plain": "a figure"}))
    assert output.data == {"text/plain": "a figure"}


@pytest.mark.parametrize("count", ["<script>", 1.5, True, [1], None])
def test_no_field_of_an_output_is_believed(count):
    notebook = cleaned(
        new_code_cell(
            "1",
            metadata={"tags": TAGS[:1], "magics_language": TAGS[0], "slideshow": {}},
            execution_count=None,
            outputs=[display({"text/plain": "1"}, metadata={"image/png": {"width": TAGS[0]}})],
        ),
        metadata={
            "widgets": {"application/vnd.jupyter.widget-state+json": {"x": "</script>" + TAGS[0]}},
            "language_info": {"name": TAGS[0], "pygments_lexer": TAGS[0]},
            "title": TAGS[0],
            "kernelspec": {"name": "python3", "display_name": "\x1b]0;x\x07"},
        },
    )
    assert "script" not in nbformat.writes(notebook) and "x1b" not in nbformat.writes(notebook)
    dishonest = new_code_cell("1")
    dishonest["execution_count"] = count
    assert cleaned(dishonest).cells[-1].execution_count is None


@pytest.mark.parametrize(
    "output",
    [
        {"output_type": "display_data", "data": ["text/html"], "metadata": {}},
        {"output_type": "display_data", "data": {"text/plain": {"a": 1}}, "metadata": {}},
        {"output_type": "execute_result", "data": {}, "execution_count": "x", "metadata": {}},
        {"output_type": "stream", "name": "stdout", "text": 3},
        {"output_type": "error", "ename": None, "evalue": ["x"], "traceback": "text"},
        {"output_type": "error", "ename": "E", "evalue": "", "traceback": [1, None]},
        {"output_type": "nonsense"},
        {},
    ],
)
def test_outputs_of_any_shape_become_ones_of_the_right_shape(output):
    shown(output)  # it validates


def test_surrogates_and_terminal_escapes_are_gone_from_every_text():
    evil = "a\x1b[31mb\x1b]0;title\x07c\u202ed\ud800e\x9bf\x00\rg"
    stream, error, result = shown(
        {"output_type": "stream", "name": "stdout", "text": evil},
        {"output_type": "error", "ename": evil, "evalue": evil, "traceback": [evil]},
        display({"text/plain": evil}),
        source=evil,
    )
    texts = [stream.text, error.ename, error.evalue, *error.traceback, result.data["text/plain"]]
    for text in texts:
        assert not {*text} & {*"\x1b\x07\u202e\ud800\x9b\x00\r"} and text.startswith("abc")
        text.encode()


# Markdown.


class Page(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.tags = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_comment(self, data):
        self.tags.append(("comment", {}))


_FORMATTING = {
    *("p", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "del", "code", "pre", "span", "div"),
    *("br", "hr", "blockquote", "ul", "ol", "li", "a", "table", "thead", "tbody", "tr", "th", "td"),
    *("dl", "dt", "dd", "input", "img"),
}


def assert_harmless(html):
    for tag, attributes in Page(html).tags:
        assert tag in _FORMATTING, (tag, html)
        usual = {"class", "id", "href", "style", "type", "disabled", "checked", "start"}
        usual |= {"src", "alt"} if tag == "img" else set()
        assert {*attributes} <= usual, (attributes, html)
        assert attributes.get("href", "#").startswith(("#", "http://", "https://")), html
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        assert attributes.get("style", "text-align:").startswith("text-align:"), html
        assert "mermaid" not in attributes.get("class", "")


_PIECES = [
    *TAGS,
    *("<", ">", "</", "<!--", "-->", "<?", "<![CDATA[", "&#60;", "&lt", "&colon;", "&#36;"),
    *("[", "]", "(", ")", "[x](", "](javascript:alert(1))", "](data:text/html,x)", "]: "),
    *("![", "![x](attachment:p.png)", "(attachment:", "\\", "`", "```", "~~~", "mermaid", "$"),
    *("$$", "\\href{javascript:x}{y}", "\\begin{a}", "\\end{a}", "\n", "\n\n", "    ", "# "),
    *("- ", "1. ", "> ", "|", "|-|-|\n", "*", "**", "_", "~~", ": ", "http://x.y", '"', "'"),
    *("onmouseover=x ", "javascript:", "script", " ", "\t", "a", "\u202e", "\x1b]8;;x\x07", "é"),
]


@given(st.lists(st.sampled_from(_PIECES) | st.text(max_size=3), max_size=25).map("".join))
@example("[x](javascript&colon;alert(1))")
@example("[![a](attachment:p.png)](javascript:alert(1))")
@example("```mermaid\n<script>alert(1)</script>\n```")
@example("[a]: javascript:alert(1)\n\n[a]")
@settings(max_examples=300, deadline=None)
def test_markdown_of_any_kind_makes_formatted_text_alone(source):
    text = plain_markdown(source)
    assert_harmless(markdown2html_mistune(text))
    assert "\\href" not in text and not {*text} & {*"\x1b\x07\u202e"}


@pytest.mark.parametrize("source", ["\\begin{a}", "$$ ", "[", "![", "[a](", "`", "*a ", "> "])
def test_markdown_that_renderers_take_minutes_for_is_cut(source):
    notebook = cleaned(*(new_markdown_cell(source * 40_000) for _ in range(3)))
    total = sum(len(cell.source) for cell in notebook.cells)
    assert total < 100_000 and "Cut here" in notebook.cells[-1].source
    assert max(cell.source.count("\\begin") for cell in notebook.cells) <= 100


def test_words_formulas_and_pictures_of_an_answer_are_readable():
    answer = (
        "<!-- [part4/curves] written Q4.5 -->\n### Curves\nThe loss *falls*, `a[0] > 1`, and"
        " $\\frac{a}{b} < 1$ at AT&T:\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        "![image.png](attachment:image.png)"
    )
    cell = new_markdown_cell(answer, attachments={"image.png": {"image/png": picture()}})
    got = cleaned(cell).cells[-1]
    assert got.source == answer and got.attachments == {"image.png": {"image/png": picture()}}


def test_html_and_links_of_an_answer_are_shown_as_they_were_written():
    (_, cell) = cleaned(new_markdown_cell('See <b>this</b> [page](https://x.org "t").')).cells
    html = markdown2html_mistune(cell.source)
    assert "&lt; b&gt;this&lt; /b&gt;" in html and "https://x.org" in html


def test_pictures_with_unusual_names_are_shown_and_what_is_no_picture_is_not():
    attachments = {
        'x"><script>.png': {"image/png": picture()},
        "page.svg": {"image/svg+xml": "PHN2Zz48L3N2Zz4="},
        "photo.jpg": {"text/html": "x", "image/jpeg": picture("JPEG")},
    }
    cell = new_markdown_cell("![x](attachment:page.svg)", attachments=attachments)
    got = cleaned(cell).cells[-1]
    assert got.attachments == {
        "picture-0": {"image/png": picture()},
        "photo.jpg": {"image/jpeg": picture("JPEG")},
    }
    assert "![picture-0](attachment:picture-0)" in got.source and "photo.jpg)" in got.source
    assert "attachment:page.svg" in got.source and "](attachment:page" not in got.source


def test_the_courses_own_cells_stay_as_they_were_released():
    notebook = build.student_notebook(build.rubric.PARTS["part4_flow"])
    before = [cell.source for cell in notebook.cells]
    clean_outputs(notebook)
    clean_sources(notebook, build.student_notebook(build.rubric.PARTS["part4_flow"]))
    assert [cell.source for cell in notebook.cells] == before


# In the browser, on the page of nbgrader's form grader.


def hostile():
    cells = [new_markdown_cell(f"words\n\n{tag}") for tag in TAGS]
    cells += [new_raw_cell(tag) for tag in TAGS]
    cells.append(new_markdown_cell(f"[click](javascript:{ACT})\n\n```mermaid\n{TAGS[1]}\n```"))
    cells.append(
        new_code_cell(
            "print('code')",
            metadata={"tags": [f'"{TAGS[1]}']},
            outputs=[
                display({"text/html": tag, "text/plain": f"output {i}"})
                for i, tag in enumerate(TAGS)
            ]
            + [
                display({"application/javascript": ACT, "text/plain": "script"}),
                display({"image/svg+xml": TAGS[2], "text/plain": "drawing"}),
                display({"image/png": picture(size=(40, 30)), "text/plain": "figure"}),
            ],
        )
    )
    return new_notebook(cells=cells)


def on_the_page(notebook, path):
    """Write the page that nbgrader's form grader makes of a notebook, without its own scripts."""
    exporter = HTMLExporter(template_name="formgrade", extra_template_basedirs=[str(template_path)])
    names = ("submission_id", "notebook_id", "assignment_id", "student", "notebook_path")
    resources = dict.fromkeys(names, "x") | {"index": 0, "total": 1}
    resources["base_url"] = "http://x.invalid"
    html, _ = exporter.from_notebook_node(notebook, resources=resources)
    path.write_text(html, encoding="utf-8")


# nbgrader's scripts and MathJax are not there.
_MISSING = ["$ is not defined", "MathJax is not defined"]


@needs_chromium
def test_a_hostile_notebook_acts_on_the_form_graders_page_only_before_it_is_cleaned(tmp_path):
    notebook = hostile()
    on_the_page(notebook, tmp_path / "before.html")
    clean_outputs(notebook)
    clean_sources(notebook, RELEASED)
    on_the_page(notebook, tmp_path / "after.html")
    acted = "document.documentElement.dataset.acted"
    address = (tmp_path / "before.html").as_uri()
    with chromium_page(address, known=_MISSING) as page:
        page.wait_for_timeout(500)
        assert page.evaluate(acted) == "1"
        page.goto((tmp_path / "after.html").as_uri())
        page.wait_for_timeout(500)
        assert page.evaluate(acted) is None
        for link in page.locator("#notebook-container a").all():
            assert (link.get_attribute("href") or "#").startswith(("#", "http"))
        text = page.locator("#notebook-container").first.inner_text()
        for words in ("words", "print('code')", "output 3", "script", "drawing", "click"):
            assert words in text
        assert page.locator("#notebook-container img").count() == 1
        assert page.evaluate("document.querySelector('#notebook-container img').naturalWidth") == 40
        page.screenshot(path=f"{SCREENSHOTS}/formgrader_hostile.png", full_page=True)
