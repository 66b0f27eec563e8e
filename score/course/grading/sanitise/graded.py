"""Cleans a graded notebook for those who read it. nbgrader's page puts HTML, scripts and Markdown
of a notebook unescaped into the instructor's session with Jupyter, and a student may have written
any field of it, directly or from the kernel.

What is left is text, with Markdown's formatting and formulas, and pictures. The notebook as it came
is in the course's originals/ and submitted/.
"""

import base64
import binascii
import re
from collections.abc import Collection, Mapping
from typing import Any

import nbformat
from nbformat import NotebookNode

from score.course.grading.sanitise.submitted import check_id
from score.plain import plain, plain_line
from score.verdict import MIME

_OUTPUT_LINES, _TRACEBACK_LINES = 1000, 100  # of a cell
# Characters of all Markdown that students wrote in a notebook, and beginnings of environments in a
# cell: a renderer takes a minute for some texts that are longer.
_MARKDOWN, _ENVIRONMENTS = 50_000, 100
_CUT = "\n\n(Cut here: the rest is in the notebook that was handed in.)"
_PIXELS = 50_000_000  # of a picture, which a browser unpacks
_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_MAGIC = {"image/png": _PNG, "image/jpeg": b"\xff\xd8\xff"}
_FIELDS = {
    "code": {"id", "cell_type", "metadata", "source", "outputs", "execution_count"},
    "markdown": {"id", "cell_type", "metadata", "source", "attachments"},
}
_LANGUAGE = {
    "name": "python",
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "pygments_lexer": "ipython3",
}


def clean_outputs(notebook: NotebookNode) -> None:
    """Leave in a notebook that was run, in place, only outputs that are text or pictures, and only
    metadata of nbgrader's. What was written to stderr is left out, and long outputs are shortened.
    """
    kernel = {"kernelspec": notebook.metadata["kernelspec"]} if _has_kernel(notebook) else {}
    notebook.metadata = nbformat.from_dict(kernel | {"language_info": _LANGUAGE})
    for cell in notebook.cells:
        if cell.cell_type not in _FIELDS:  # a raw cell, which is shown as HTML
            cell.cell_type = "markdown"
        for name in {*cell} - _FIELDS[cell.cell_type]:
            del cell[name]
        kept = ("nbgrader",) if isinstance(cell.metadata.get("nbgrader"), Mapping) else ()
        cell.metadata = nbformat.from_dict({name: cell.metadata[name] for name in kept})
        if cell.cell_type == "code":
            count = cell.get("execution_count")
            cell.execution_count = count if type(count) is int else None
            found = [_output(output, cell) for output in cell.outputs]
            cell.outputs = _shortened([output for output in found if output])
        elif "attachments" in cell:
            cell.attachments = nbformat.from_dict(_attachments(cell.attachments))


def _has_kernel(notebook: NotebookNode) -> bool:
    spec = notebook.metadata.get("kernelspec")
    return isinstance(spec, Mapping) and all(
        isinstance(value, str) and plain_line(value) == value for value in spec.values()
    )


def _output(output: NotebookNode, cell: NotebookNode) -> NotebookNode | None:
    """Return an output made anew from what may be shown of it; None where that is nothing."""
    kind = output.get("output_type")
    if kind == "stream":
        shown = output.get("name") == "stdout"
        text = plain(output.get("text", ""))
        return nbformat.v4.new_output("stream", name="stdout", text=text) if shown else None
    if kind == "error":
        lines = output.get("traceback")
        return nbformat.v4.new_output(
            "error",
            ename=plain_line(output.get("ename", "")),
            evalue=plain(output.get("evalue", "")),
            traceback=[plain(line) for line in lines] if isinstance(lines, list) else [],
        )
    data = output.get("data")
    if kind not in ("display_data", "execute_result") or not isinstance(data, Mapping):
        return None
    kept: dict[str, Any] = {}
    if picture := _picture("image/png", data.get("image/png")):
        kept["image/png"] = picture
    elif picture := _picture("image/jpeg", data.get("image/jpeg")):
        kept["image/jpeg"] = picture
    if isinstance(data.get("text/plain"), str):
        kept["text/plain"] = plain(data["text/plain"])
    elif not kept and data:
        kept["text/plain"] = f"(Left out: {plain_line(', '.join(map(str, data)))[:200]}.)"
    if MIME in data and check_id(cell):  # the grader's own
        kept[MIME] = data[MIME]
    if not kept:
        return None
    if kind == "display_data":
        return nbformat.v4.new_output(kind, data=kept)
    count = output.get("execution_count")
    count = count if type(count) is int else None
    return nbformat.v4.new_output(kind, data=kept, execution_count=count)


def _picture(mime_type: str, text: Any) -> str:
    """Return a picture's base64 text if it is one of its type and of a usual size, else ""."""
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (AttributeError, binascii.Error, ValueError):
        return ""
    if not content.startswith(_MAGIC[mime_type]):
        return ""
    if mime_type == "image/png":
        start = len(_PNG)
        width, height = (int.from_bytes(content[at : at + 4]) for at in (start, start + 4))
        if width * height > _PIXELS:
            return ""
    return base64.b64encode(content).decode()


def _shortened(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Return a cell's outputs with long ones and long tracebacks cut."""
    kept, lines_left = [], _OUTPUT_LINES
    for output in outputs:
        if output.output_type == "error" and len(output.traceback) > _TRACEBACK_LINES:
            half = _TRACEBACK_LINES // 2
            cut = ["... Traceback truncated ..."]
            output.traceback = output.traceback[:half] + cut + output.traceback[1 - half :]
        if output.output_type == "stream":
            lines = output.text.split("\n")
            if not lines_left:
                continue
            if len(lines) > lines_left:
                lines = [*lines[: lines_left - 1], "... Output truncated ..."]
            lines_left -= len(lines)
            output.text = "\n".join(lines)
        kept.append(output)
    return kept


# What students wrote.

_MARKER = re.compile(r"<!-- \[part\d/\w+\] written Q\d\.\d -->\n")
_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"  # of an attachment
_SHOWN = re.compile(rf"(!\[[\w .,-]*\]\(attachment:({_NAME})\))")
# What would begin a tag or a comment; an entity, which the browser turns into any character; a
# link, also by reference; a command of formulas that makes one or has another effect on the page; a
# block that the page draws by a script. A space in it takes its meaning away.
_ACTIVE = (
    (re.compile(r"<(?=[A-Za-z/!?])"), "< "),
    (re.compile(r"&(?=#|[A-Za-z][A-Za-z0-9]*;)"), "& "),
    (re.compile(r"\](?=[(\[:])"), "] "),
    (
        re.compile(r"\\(?=(?:href|url|class|cssId|style|data|require|mmlToken|unicode)\b)"),
        r"\\ ",
    ),
    (re.compile(r"(```|~~~)(?=[ \t]*mermaid)"), r"\1 text "),
)
_BEGIN = re.compile(r"\\(?=begin\b)")


def clean_sources(notebook: NotebookNode, released: NotebookNode) -> None:
    """Make what students wrote in a notebook safe to show, in place. In Markdown, HTML and links
    become the text that they are written as; in code, what cannot be printed becomes U+FFFD. Cells
    that are as they were released stay so.
    """
    known, left = {(cell.cell_type, cell.source) for cell in released.cells}, _MARKDOWN
    for cell in notebook.cells:
        if (cell.cell_type, cell.source) in known:
            continue
        if cell.cell_type == "code":
            cell.source = plain(cell.source)
        else:
            text = cell.source[:left] + (_CUT if len(cell.source) > left else "")
            left -= min(left, len(cell.source))
            cell.source = plain_markdown(text, cell.get("attachments", {}))


def plain_markdown(source: str, pictures: Collection[str] = ()) -> str:
    """Return Markdown that makes nothing but formatted text, formulas and these attached pictures,
    whatever renders it. A picture that it does not show is at its end.
    """
    text = plain(source)
    marker = _MARKER.match(text)
    start = marker.end() if marker else 0
    # Between pictures; of each of these what shows it, and its name.
    pieces = _SHOWN.split(text[start:])
    made = [text[:start], _inactive(pieces[0])]
    for shown, name, after in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        made += [shown if name in pictures else _inactive(shown), _inactive(after)]
    missing = [name for name in pictures if name not in pieces[2::3]]
    return "".join([*made, *(f"\n\n![{name}](attachment:{name})" for name in missing)])


def _inactive(text: str) -> str:
    for pattern, instead in _ACTIVE:
        text = pattern.sub(instead, text)
    return text if len(_BEGIN.findall(text)) <= _ENVIRONMENTS else _BEGIN.sub(r"\\ ", text)


def _attachments(given: Any) -> dict[str, dict[str, str]]:
    """Return the pictures among a cell's attachments, by name and type; those with unusual names
    get others.
    """
    found: dict[str, dict[str, str]] = {}
    for name, bundle in given.items() if isinstance(given, Mapping) else ():
        for mime_type in _MAGIC if isinstance(bundle, Mapping) else ():
            if picture := _picture(mime_type, bundle.get(mime_type)):
                usual = re.fullmatch(_NAME, name) and name not in found
                found[name if usual else f"picture-{len(found)}"] = {mime_type: picture}
    return found
