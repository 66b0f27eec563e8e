"""MkDocs' hook: the four notebooks as pages, with the outputs that run_chapters.py left.

A page has the students' text and code, the pictures and films as files of their own, and the data
of players and sliders, which site.js draws. Formulas become MathML: the browser draws them, so no
script and no font is needed.
"""

import base64
import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbformat import NotebookNode

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "build" / "chapters"
VIEW = "application/vnd.pusht.view+json"
_WIDGET = "application/vnd.jupyter.widget-view+json"
_BADGE = re.compile(r"^\[!\[Open in Colab\].*\n\n?", re.MULTILINE)
_TITLE = re.compile(r"\A(# .*\n)")
_ALT = re.compile(r'alt="([^"]*)"')
_SIZE = re.compile(r'width="(\d+)" height="(\d+)"')
_BAR = 'role="status"'  # of a progress bar, which is of use while its cell runs
_FILM = re.compile(r'src="data:video/mp4;base64,([^"]*)"')
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
_LONG = 12  # lines of a cell above which the set-up cell is folded away
_NOTE = """
!!! note "A notebook, as a page"
    The pictures, films and scores below come from the solution's weights and {episodes} practice
    episodes. Players and sliders work here; what you write and train, you do in the notebook:
    [{name}.ipynb]({name}.ipynb) with the kit, or through your course's Colab badge.
"""


def names() -> list[str]:
    """Return the names of the chapters, in their order: those of the built notebooks."""
    return sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def title(name: str) -> str:
    """Return the heading of a chapter."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    return notebook.cells[0].source.partition("\n")[0].removeprefix("# ")


class Chapter:
    """The page of a notebook, and the files beside it."""

    def __init__(self, name: str, notebook: NotebookNode, episodes: int) -> None:
        """Convert a notebook with outputs. episodes: how many the practice cells rolled out."""
        self.name, self.files = name, dict[str, bytes]()
        note = _NOTE.format(name=name, episodes=episodes)
        texts = [self._cell(cell) for cell in notebook.cells]
        # Where a text ends a list or a table, the next cell's text must not go on with it.
        self.markdown = _TITLE.sub(rf"\1{note}\n", "\n\n".join(texts))

    def _cell(self, cell: NotebookNode) -> str:
        if cell.cell_type == "markdown":
            return _BADGE.sub("", cell.source).replace("<details>", '<details markdown="1">')
        code = f"```python\n{cell.source.rstrip()}\n```"
        if cell.id.endswith("-setup") and cell.source.count("\n") > _LONG:
            summary = "<summary>The set-up cell: it downloads the kit if it is missing</summary>"
            code = f'<details markdown="1">{summary}\n\n{code}\n\n</details>'
        outputs = [output for output in cell.outputs if not _is_number(output)]
        return "\n\n".join([code, *filter(None, map(self._output, outputs))])

    def _output(self, output: NotebookNode) -> str:
        if output.output_type == "stream":
            return _printed(output.text) if output.name == "stdout" else ""
        data = output.get("data", {})
        if VIEW in data:
            return self._view(data)
        if _WIDGET in data or not data:
            return ""
        if "image/png" in data:
            return self._picture(data, linked=True)
        if "text/html" in data:
            page = data["text/html"]
            return "" if _BAR in page else self._html(page)
        return _printed(data.get("text/plain", ""))

    def _keep(self, content: bytes, ending: str) -> str:
        """Keep a file beside the page; return its address from there."""
        number = sum(name.endswith(ending) for name in self.files) + 1
        file = f"{self.name}_{number}.{ending}"
        self.files[file] = content
        return file

    def _picture(self, data: dict[str, str], linked: bool = False) -> str:
        file = self._keep(base64.b64decode(data["image/png"]), "png")
        page = data.get("text/html", "")
        alt = _ALT.search(page)
        size = _SIZE.search(page)
        space = f' width="{size[1]}" height="{size[2]}"' if size else ""
        text = alt[1] if alt else html.escape(data.get("text/plain", ""))
        image = f'<img src="{file}" alt="{text}"{space} loading="lazy">'
        # On a telephone its words are small: on a page of its own it can be enlarged.
        image = f'<a href="{file}">{image}</a>' if linked else image
        return f'<p class="kit-picture">{image}</p>'

    def _html(self, page: str) -> str:
        def kept(film: re.Match[str]) -> str:
            return f'src="{self._keep(base64.b64decode(film[1]), "mp4")}"'

        # Nothing moves before the reader wants it to.
        page = _FILM.sub(kept, page).replace(" autoplay", ' preload="metadata"')
        return f'<div class="kit-html" tabindex="0">{" ".join(page.split())}</div>'

    def _view(self, data: dict[str, Any]) -> str:
        from pusht import render, sim, tee

        view = dict(data[VIEW])
        if view["kind"] == "slider":
            view["frames"] = [
                {
                    "value": frame["value"],
                    "alt": frame["alt"],
                    "src": self._keep(base64.b64decode(frame["png"]), "png"),
                }
                for frame in view["frames"]
            ]
        else:
            from pusht.figures.board import STYLES

            view["table"] = {
                "tee": tee.TEE.tolist(),
                "goal": tee.GOAL_POSE.tolist(),
                "radius": sim.AGENT_RADIUS,
                "window": sim.WINDOW,
                "colours": [render.WALL, render.GOAL, render.BLOCK, render.AGENT, render.TARGET],
                "lines": [colour for colour, _ in STYLES],
            }
        text = json.dumps(view, separators=(",", ":")).replace("</", "<\\/")
        return (
            f'<figure class="kit-view">{self._picture(data)}'
            f'<script type="application/json">{text}</script></figure>'
        )


def _is_number(output: NotebookNode) -> bool:
    """Return whether an output is the value of a check, which its sentence says already."""
    text = output.get("data", {}).get("text/plain", "")
    return output.output_type == "execute_result" and bool(re.fullmatch(r"\d+\.\d+|True", text))


def _printed(text: str) -> str:
    """Return a cell's printed text as HTML; without what a terminal would colour it with."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).rstrip()
    return f'<pre class="kit-output" tabindex="0">{html.escape(plain)}</pre>' if plain else ""


def on_config(config: "MkDocsConfig") -> "MkDocsConfig":
    """Put the chapters after the first page in the navigation."""
    assert config.nav is not None
    chapters = [{title(name): f"chapters/{name}.md"} for name in names()]
    config.nav.insert(1, {"Chapters": chapters})
    return config


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the chapters with what stands beside them, the script and the style."""
    from mkdocs.structure.files import File

    for name in names():
        run = RUN / f"{name}.ipynb"
        if not run.exists():
            raise FileNotFoundError(f"{run} is not there: run `make site`.")
        notebook = nbformat.read(run, 4)
        chapter = Chapter(name, notebook, notebook.metadata.episodes)
        made = {f"{name}.md": chapter.markdown, **chapter.files}
        for file, content in made.items():
            files.append(File.generated(config, f"chapters/{file}", content=content))
        students = ROOT / "notebooks" / f"{name}.ipynb"
        files.append(File.generated(config, f"chapters/{name}.ipynb", abs_src_path=str(students)))
    for asset in ("site.css", "site.js"):
        here = str(Path(__file__).with_name(asset))
        files.append(File.generated(config, f"assets/{asset}", abs_src_path=here))
    return files


def on_page_content(content: str, **_: Any) -> str:
    """Write the formulas of a page as MathML."""
    return _FORMULA.sub(lambda found: mathml(html.unescape(found[3]), found[1] == "div"), content)


def mathml(formula: str, display: bool) -> str:
    """Return a LaTeX formula as MathML; ValueError for a command that the converter left as it is.

    display: whether it stands on a line of its own.
    """
    from latex2mathml.converter import convert

    # The converter sets these as names in italics, or leaves their size out.
    plain = re.sub(r"\\big(?![a-z])[lr]?", "", formula)
    written: str = convert(plain, display="block" if display else "inline")
    left = re.search(r">\s*\\[a-zA-Z]+", written)
    if left:
        raise ValueError(f"{left[0][1:]} in the formula {formula} has no MathML.")
    if not display:
        return written
    return f'<div class="kit-formula" tabindex="0">{written}</div>'
