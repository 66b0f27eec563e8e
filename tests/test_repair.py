"""Repairs of notebooks: what people and Colab do to them, and that the answers are still there
afterwards.
"""

import copy
import json
import random

import nbformat
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from nbgrader.preprocessors import CheckCellMetadata
from sampled import sampled

from score import rubric
from score.cells import read_marker, split_cells
from score.course.collect.repair import MAX_BYTES, MAX_CELLS, MAX_CODE, RepairError, repair
from score.course.notebooks import build

PARTS = build.parts_with_source()
PART1, PART4 = rubric.PARTS["part1_mlp"], rubric.PARTS["part4_flow"]
each_part = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)


def _with_words(notebook):
    """Part IV's answers in words are answered too."""
    for cell in notebook.cells:
        cell.source = cell.source.replace(
            "*Your answer:*", f"*Your answer:* what the student says in {cell.id}"
        )
    return notebook


_RELEASED = {part.name: build.student_notebook(part) for part in PARTS}
_ANSWERED = {
    part.name: nbformat.writes(_with_words(build.answered_notebook(part))) for part in PARTS
}

_KINDS = {
    marker.id: marker.kind
    for notebook in _RELEASED.values()
    for cell in notebook.cells
    if (marker := read_marker(cell.source)) and marker.kind != "written"
}


def released(part):
    return _RELEASED[part.name]


def answered(part):
    """The answered notebook as a plain dict, to be mangled."""
    notebook = json.loads(_ANSWERED[part.name])
    _texts(notebook)
    return notebook


def key_of(cell):
    return cell["metadata"].get("nbgrader", {}).get("grade_id") or cell.get("id")


def fix(notebook, part):
    """The repaired notebook and the repairs, joined to one text."""
    result, repairs = repair(json.dumps(notebook), released(part))
    return result, "\n".join(repairs)


def cell_of(notebook, key):
    return next(cell for cell in notebook["cells"] if cell.get("id") == key)


def place_of(notebook, key):
    return notebook["cells"].index(cell_of(notebook, key))


def bare(notebook):
    """Without metadata and ids, as after a copy of the text alone."""
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        cell.pop("id", None)
    return notebook


def own(source, kind="code"):
    """A cell of the student's own."""
    cell = {"cell_type": kind, "metadata": {}, "source": source}
    return cell | ({"outputs": [], "execution_count": 3} if kind == "code" else {})


def assert_all_is_there(result, part, answers=None):
    """Valid; the release's marked cells in their order; `answers` in the answer cells; nothing of
    nbgrader's elsewhere.
    """
    nbformat.validate(result)
    CheckCellMetadata().preprocess(copy.deepcopy(result), {})
    marked = [cell for cell in result.cells if "nbgrader" in cell.metadata]
    expected = [cell for cell in released(part).cells if "nbgrader" in cell.metadata]
    assert [cell.id for cell in marked] == [cell.id for cell in expected]
    wanted = {key_of(cell): cell["source"] for cell in (answers or answered(part))["cells"]}
    for cell, release in zip(marked, expected, strict=True):
        assert cell.metadata == release.metadata and cell.cell_type == release.cell_type
        assert cell.source == (
            wanted[cell.id] if cell.metadata.nbgrader.solution else release.source
        ), cell.id
    assert all(not cell.metadata for cell in result.cells if "nbgrader" not in cell.metadata)
    assert not any(
        cell.outputs or cell.execution_count for cell in result.cells if cell.cell_type == "code"
    )
    assert (result.nbformat, result.nbformat_minor, result.metadata) == (
        4,
        5,
        released(part).metadata,
    )


# Manglings: functions (notebook dict, random generator, part) that change the notebook in place, as
# people and programs do.


def as_colab_saves_it(notebook, chance, part):
    notebook["nbformat_minor"] = 0
    notebook["metadata"] |= {
        "colab": {"provenance": [{"file_id": "1x"}], "authorship_tag": "ABX9"},
        "widgets": {"a": {}},
    }
    for cell in notebook["cells"]:
        cell["metadata"] |= {
            "id": cell.pop("id", f"{chance.random()}"),
            "colab": {"base_uri": "https://localhost/"},
        }
        if cell["cell_type"] == "code":
            user = {
                "displayName": "Ann Lee",
                "userId": "0123",
                "photoUrl": "https://photos/ann.png",
            }
            cell["metadata"] |= {
                "outputId": "o",
                "executionInfo": {"status": "ok", "user": user, "user_tz": -60},
            }
            cell["outputs"] = [
                {"output_type": "stream", "name": "stderr", "text": ["Ann Lee was here"]}
            ]
            cell["execution_count"] = 7
        cell["source"] = (
            cell["source"].splitlines(keepends=True)
            if isinstance(cell["source"], str)
            else cell["source"]
        )
    badge = own(
        [
            (
                '<a href="https://colab.research.google.com/github/annlee/x"><img'
                ' src="colab-badge.svg"/></a>'
            )
        ],
        "markdown",
    )
    notebook["cells"].insert(
        0, badge | {"metadata": {"id": "view-in-github", "colab_type": "text"}}
    )


def lose_metadata(notebook, chance, part):
    everywhere = chance.random() < 0.5
    for cell in notebook["cells"]:
        if everywhere or chance.random() < 0.3:
            cell["metadata"] = {}
            cell.pop("id", None)


def _texts(notebook):
    """So that the next manglings see texts and not lists of lines."""
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])


def _marked(notebook, *kinds):
    """The cells that hold one marked cell, and one of these kinds, whatever its first line says
    now.
    """
    found = [
        (cell, read_marker(cell["source"]))
        for cell in notebook["cells"]
        if cell["source"].count("# [part") == 1
    ]
    return [cell for cell, marker in found if marker and _KINDS.get(marker.id) in kinds]


def _pick(chance, cells):
    return chance.sample(cells, min(len(cells), chance.randint(1, 3)))


def duplicate(notebook, chance, part):
    for cell in _pick(chance, notebook["cells"]):
        notebook["cells"].insert(chance.randint(0, len(notebook["cells"])), copy.deepcopy(cell))


def add_unanswered(notebook, chance, part):
    """As from a second copy of the release."""
    for cell in _pick(
        chance,
        [
            cell
            for cell in released(part).cells
            if cell.metadata.get("nbgrader", {}).get("solution")
        ],
    ):
        notebook["cells"].insert(
            chance.randint(0, len(notebook["cells"])), json.loads(json.dumps(cell))
        )


def delete_locked(notebook, chance, part):
    for cell in _pick(chance, _marked(notebook, "given", "practice", "test")):
        notebook["cells"] = [c for c in notebook["cells"] if c is not cell]


def delete_texts(notebook, chance, part):
    notebook["cells"] = [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" or " written " in cell["source"] or chance.random() < 0.5
    ]


def reorder(notebook, chance, part):
    if chance.random() < 0.3:
        chance.shuffle(notebook["cells"])
    for cell in _pick(chance, notebook["cells"]):
        notebook["cells"] = [c for c in notebook["cells"] if c is not cell]
        notebook["cells"].insert(chance.randint(0, len(notebook["cells"])), cell)


def merge(notebook, chance, part):
    """Jupyter's "merge with the cell below": the first one's metadata stay."""
    cells = notebook["cells"]
    whole = [cell["cell_type"] == "code" and bool(read_marker(cell["source"])) for cell in cells]
    starts = [i for i in range(len(cells) - 1) if whole[i] and whole[i + 1]]
    if starts:
        start = chance.choice(starts)
        cells[start]["source"] += "\n\n" + cells.pop(start + 1)["source"]


def merge_with_text(notebook, chance, part):
    cells = notebook["cells"]
    texts = {
        cell.source
        for cell in released(part).cells
        if cell.cell_type == "markdown" and len(cell.source) > 40
    }
    starts = [
        i
        for i in range(len(cells) - 2)
        if cells[i + 1]["source"] in texts
        and cells[i]["cell_type"] == "code"
        and read_marker(cells[i]["source"])
        and read_marker(cells[i + 2]["source"])
    ]
    if starts:
        start = chance.choice(starts)
        cells[start]["source"] += "".join("\n\n" + cells.pop(start + 1)["source"] for _ in range(2))


def paste_elsewhere(notebook, chance, part):
    for cell in _pick(chance, _marked(notebook, "answer")):
        notebook["cells"].insert(chance.randint(0, len(notebook["cells"])), own(cell["source"]))
        cell["source"] = chance.choice(["", "\n\n"])


def edit_locked(notebook, chance, part):
    for cell in _pick(chance, _marked(notebook, "given", "practice", "test")):
        first, _, rest = cell["source"].partition("\n")
        cell["source"] = (
            first
            + "\n"
            + chance.choice(
                [
                    rest + "\nprint('mine')",
                    rest.replace("1", "2"),
                    rest + "\n)",
                    "",
                    "pass",
                    "score.check = None\n1.0",
                    "%matplotlib inline\n" + rest,
                ]
            )
        )


def change_first_line(notebook, chance, part):
    for cell in _pick(chance, _marked(notebook, "given", "practice", "test", "answer")):
        above = chance.choice(
            [
                "%%time\n",
                "\n \n",
                "\ufeff",
                "  ",
                "#@title My answer\n",
                "%%capture out\n\n",
                "# %%\n",
            ]
        )
        cell["source"] = above + cell["source"]


def change_kind(notebook, chance, part):
    for cell in _pick(chance, _marked(notebook, "given", "practice", "test", "answer")):
        first, _, rest = cell["source"].partition("\n")
        cell["source"] = (
            first.split("]")[0]
            + chance.choice(["] given", "] answer", "] done!", "]"])
            + "\n"
            + rest
        )


def lose_first_line(notebook, chance, part):
    """Of cells that define something, or that still have nbgrader's metadata."""
    for cell in _pick(chance, _marked(notebook, "answer")):
        rest = cell["source"].partition("\n")[2]
        if rest.startswith(("def ", "class ")) and "\n# [part" not in rest:
            cell["source"] = rest


def lose_first_line_of_locked(notebook, chance, part):
    for cell in _pick(
        chance,
        [c for c in _marked(notebook, "given", "practice", "test") if "nbgrader" in c["metadata"]],
    ):
        cell["source"] = cell["source"].partition("\n")[2]


def add_own_cells(notebook, chance, part):
    for source, kind in [
        ("import math", "code"),
        ("def helper(x):\n    return x", "code"),
        ("my notes", "markdown"),
        ("!pip list", "code"),
        ("bc_loss = torch.compile(bc_loss)", "code"),
        ("x", "raw"),
        ("a comment\n# [part1/x] answer", "markdown"),
    ]:
        if chance.random() < 0.5:
            notebook["cells"].insert(chance.randint(0, len(notebook["cells"])), own(source, kind))


def foreign_metadata(notebook, chance, part):
    for cell in _pick(chance, notebook["cells"]):
        if "nbgrader" not in cell["metadata"]:
            cell["metadata"]["nbgrader"] = {
                "grade_id": "part9-bonus",
                "grade": True,
                "points": 100,
                "solution": False,
            }
        else:
            cell["metadata"]["nbgrader"]["points"] = 100


MANGLINGS = [
    as_colab_saves_it,
    lose_metadata,
    duplicate,
    add_unanswered,
    delete_locked,
    delete_texts,
    reorder,
    merge,
    merge_with_text,
    paste_elsewhere,
    edit_locked,
    change_first_line,
    change_kind,
    lose_first_line,
    lose_first_line_of_locked,
    add_own_cells,
    foreign_metadata,
]


def tried(part, examples):
    """Repair `examples` random mixes of manglings; return how many manglings that were."""
    mixes = []

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
    )
    @given(st.lists(st.sampled_from(MANGLINGS), min_size=1, max_size=8), st.integers(0, 2**32))
    def check(manglings, seed):
        notebook, chance = answered(part), random.Random(seed)
        for mangle in manglings:
            _texts(notebook)
            mangle(notebook, chance, part)
        result, _ = repair(json.dumps(notebook), released(part))
        assert_all_is_there(result, part)
        assert "Ann Lee" not in nbformat.writes(result)
        assert repair(nbformat.writes(result), released(part)) == (result, [])
        mixes.append(manglings)

    check()
    assert len(mixes) >= examples and {mangle for mix in mixes for mangle in mix} == {*MANGLINGS}
    return sum(map(len, mixes))


@pytest.mark.parametrize("part", sampled(PARTS, ["part1_mlp"]))
def test_after_any_mix_of_manglings_the_answers_stand_in_the_release(part, record_property):
    record_property("manglings", tried(part, 50))


@pytest.mark.long
@each_part
def test_after_any_of_many_mixes_of_manglings_the_answers_stand_in_the_release(
    part, record_property
):
    manglings = tried(part, 1000)
    record_property("manglings", manglings)
    print(f"{part.name}: 1000 mixes, {manglings} manglings")


@each_part
def test_a_notebook_that_needs_no_repair_is_left_as_it_is_without_a_word(part):
    for notebook in (released(part), nbformat.reads(_ANSWERED[part.name], as_version=4)):
        assert repair(nbformat.writes(notebook), released(part)) == (notebook, [])


@pytest.mark.parametrize(
    "part", [part for part in PARTS if part.extensions], ids=lambda part: part.name
)
def test_an_extension_that_was_merged_into_an_answer_is_taken_out_of_it(part):
    cells = answered(part)["cells"]
    extensions, answers = (
        _marked({"cells": cells}, "extension"),
        _marked({"cells": cells}, "answer"),
    )
    assert extensions and answers
    for extension in extensions:
        for answer in answers:
            notebook = answered(part)
            notebook["cells"].remove(extension)
            merged = cell_of(notebook, key_of(answer))
            merged["source"] += "\n\n" + extension["source"]
            assert [marker.kind for marker, _ in split_cells(merged["source"])][-1] == "extension"
            result, _ = fix(notebook, part)
            assert_all_is_there(result, part)
            assert [cell.source for cell in result.cells].count(extension["source"]) == 1


def test_what_is_merged_into_an_answer_behind_another_parts_marker_is_taken_out_of_it_too():
    notebook, foreign = answered(PART1), "# [part2/kl] answer Q2.1\nkl = 1"
    cell_of(notebook, "part1-bc_loss")["source"] += "\n" + foreign
    result, _ = fix(notebook, PART1)
    assert_all_is_there(result, PART1)
    assert result.cells[place_of(result, "part1-bc_loss") + 1].source == foreign


def test_what_programs_put_above_an_extension_stays():
    notebook = answered(PART1)
    extension = cell_of(notebook, "part1-encode_angle")
    extension["source"] = "%%time\n" + extension["source"]
    result, repairs = fix(notebook, PART1)
    assert cell_of(result, "part1-encode_angle").source == extension["source"] and repairs == ""


def test_an_answer_that_is_only_a_magic_line_is_kept_without_it():
    notebook = answered(PART1)
    cell_of(notebook, "part1-bc_loss")["source"] = "%%time"
    result, _ = fix(notebook, PART1)
    assert cell_of(result, "part1-bc_loss").source == "# [part1/bc_loss] answer Q1.2"


@each_part
def test_outputs_and_counts_go_without_a_word(part):
    notebook = answered(part)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {
                "execution_count": 3,
                "outputs": [{"output_type": "stream", "name": "stdout", "text": "loss 0.1"}],
            }
    result, repairs = fix(notebook, part)
    assert repairs == ""
    assert_all_is_there(result, part)


@each_part
def test_what_colab_saves_is_repaired_and_names_and_photos_are_gone(part):
    notebook = answered(part)
    as_colab_saves_it(notebook, random.Random(0), part)
    result, repairs = fix(notebook, part)
    assert_all_is_there(result, part)
    assert (
        "(executionInfo) were removed from" in repairs
        and "not of format 4.5" in repairs
        and "view-in-github" in repairs
    )
    text = nbformat.writes(result)
    assert (
        "Ann Lee" not in text
        and "photos/ann" not in text
        and "executionInfo" not in text
        and "annlee" not in text
    )
    assert [cell.id for cell in result.cells] == [cell.id for cell in released(part).cells]


def test_each_locked_cell_that_was_changed_or_deleted_is_named():
    notebook = answered(PART1)
    cell_of(notebook, "part1-q1_2")["source"] = "# [part1/q1_2] test, 2 points\n2.0"
    cell_of(notebook, "part1-horizons")["source"] += "\npred_horizon = 8"
    notebook["cells"].remove(cell_of(notebook, "part1-q1_3"))
    result, repairs = fix(notebook, PART1)
    assert_all_is_there(result, PART1)
    assert (
        "Locked cells were changed and are the release's again: part1/horizons, part1/q1_2."
        in repairs
    )
    assert "Locked cells were missing and were put back: part1/q1_3." in repairs


def test_a_deleted_answer_is_put_back_unanswered_and_named():
    notebook = answered(PART1)
    notebook["cells"].remove(cell_of(notebook, "part1-bc_loss"))
    result, repairs = fix(notebook, PART1)
    expected = answered(PART1)
    cell_of(expected, "part1-bc_loss")["source"] = cell_of(released(PART1), "part1-bc_loss").source
    assert_all_is_there(result, PART1, expected)
    assert "Answer cells were missing and were put back, unanswered: part1/bc_loss." in repairs


@pytest.mark.parametrize("emptied", ["", "\n \n", "# [part1/bc_loss] answer Q1.2\n"])
def test_an_emptied_answer_has_the_releases_text_again(emptied):
    notebook = answered(PART1)
    cell_of(notebook, "part1-bc_loss")["source"] = emptied
    result, repairs = fix(notebook, PART1)
    assert (
        cell_of(result, "part1-bc_loss").source == cell_of(released(PART1), "part1-bc_loss").source
    )
    assert "Answer cells were empty and have the release's text again: part1/bc_loss." in repairs


@pytest.mark.parametrize(
    "sources, kept, said",
    [
        (["old", "new"], "new", "the last of those that are answered was kept"),
        (["new", None], "new", "the answered one was kept"),
        ([None, "new"], "new", "the answered one was kept"),
        (["new", "new"], "new", "they are alike"),
        ([None, None], None, "none of them is answered"),
        (["new", "broken"], "new", "the last of those that are answered was kept"),
    ],
    ids=str,
)
def test_of_an_answer_that_stands_twice_the_last_answered_one_is_kept(sources, kept, said):
    notebook, first = answered(PART1), "# [part1/bc_loss] answer Q1.2\n"
    texts = {
        "old": first + "def bc_loss(model, nobs, naction):\n    return 0",
        "new": cell_of(notebook, "part1-bc_loss")["source"],
        None: cell_of(released(PART1), "part1-bc_loss").source,
        "broken": first + "def bc_loss(:",
    }
    place = place_of(notebook, "part1-bc_loss")
    notebook["cells"][place : place + 1] = [
        notebook["cells"][place] | {"source": texts[which]} for which in sources
    ]
    result, repairs = fix(notebook, PART1)
    assert (
        next(cell.source for cell in result.cells if "bc_loss(model" in cell.source) == texts[kept]
    )
    assert f"An answer stood in the notebook 2 times ({said}): part1/bc_loss." in repairs


def test_an_answer_that_lost_its_marks_is_known_by_what_it_defines():
    notebook = bare(answered(PART1))
    cell = next(cell for cell in notebook["cells"] if "def bc_loss" in cell["source"])
    cell["source"] = cell["source"].partition("\n")[2]
    notebook["cells"].remove(cell)
    notebook["cells"].append(cell)
    result, repairs = fix(notebook, PART1)
    assert_all_is_there(result, PART1)
    assert "which defines bc_loss: part1/bc_loss." in repairs


def test_an_unanswered_copy_without_marks_is_not_taken_for_the_answer():
    notebook = answered(PART1)
    unanswered = cell_of(released(PART1), "part1-bc_loss").source.partition("\n")[2]
    place = place_of(notebook, "part1-bc_loss")
    notebook["cells"][place] = own(notebook["cells"][place]["source"].partition("\n")[2])
    notebook["cells"].insert(0, own(unanswered + "\n# mine"))
    result, _ = fix(notebook, PART1)
    assert_all_is_there(result, PART1)


def test_two_unmarked_cells_that_define_the_same_are_both_left_where_they_stand():
    notebook = answered(PART1)
    place = place_of(notebook, "part1-bc_loss")
    notebook["cells"][place : place + 1] = [
        own(f"def bc_loss(model, nobs, naction):\n    return {number}") for number in (1, 2)
    ]
    result, repairs = fix(notebook, PART1)
    between = result.cells[place_of(result, "part1-bc_loss") : place_of(result, "part1-q1_2")]
    assert between[0] == cell_of(released(PART1), "part1-bc_loss")
    assert [cell.source[-1] for cell in between if cell.cell_type == "code"][1:] == ["1", "2"]
    assert "put back, unanswered: part1/bc_loss" in repairs


def test_an_answer_that_defines_nothing_is_known_by_its_place():
    notebook = answered(PART4)
    curves = cell_of(notebook, "part4-curves")
    curves |= {"metadata": {}, "source": curves["source"].partition("\n")[2]}
    del curves["id"]
    result, repairs = fix(notebook, PART4)
    assert_all_is_there(result, PART4)
    assert "which stands in its place: part4/curves." in repairs


def test_answers_in_words_that_lost_their_marks_are_known_by_the_question():
    notebook = bare(answered(PART4))
    for cell in notebook["cells"]:
        if " written Q4.5 " in cell["source"]:
            cell["source"] = cell["source"].partition("\n")[2]
    result, repairs = fix(notebook, PART4)
    assert_all_is_there(result, PART4)
    assert repairs.count("which has the question's words") == 3


def test_several_answers_in_one_unmarked_cell_all_count():
    notebook = answered(PART1)
    both = "\n\n".join(
        cell_of(notebook, f"part1-{name}")["source"].partition("\n")[2]
        for name in ("bc_loss", "mlp_inference")
    )
    for name in ("bc_loss", "mlp_inference"):
        cell_of(notebook, f"part1-{name}")["source"] = cell_of(
            released(PART1), f"part1-{name}"
        ).source
    notebook["cells"].append(own(both))
    result, _ = fix(notebook, PART1)
    for name in ("bc_loss", "mlp_inference"):
        assert cell_of(result, f"part1-{name}").source.partition("\n")[2] == both
    assert len(result.cells) == len(released(PART1).cells)


@pytest.mark.parametrize("cell", ["part1-q1_2", "part1-train"])
def test_an_answer_that_was_typed_into_a_locked_cell_is_moved_to_its_own(cell):
    notebook = answered(PART1)
    body = cell_of(notebook, "part1-bc_loss")["source"].partition("\n")[2]
    cell_of(notebook, "part1-bc_loss")["source"] = cell_of(released(PART1), "part1-bc_loss").source
    cell_of(notebook, cell)["source"] += "\n" + body + "\nprint(bc_loss)"
    result, repairs = fix(notebook, PART1)
    assert_all_is_there(result, PART1)
    assert "moved to its own: part1/bc_loss." in repairs
    assert (f"release's again: {cell.replace('-', '/')}." in repairs) == (
        cell != "part1-train"
    )  # practice: there to be changed


def test_an_answer_in_a_locked_cell_does_not_replace_one_in_its_own():
    notebook = answered(PART1)
    cell_of(notebook, "part1-q1_2")["source"] += (
        "\ndef bc_loss(model, nobs, naction):\n    return 0"
    )
    result, repairs = fix(notebook, PART1)
    assert_all_is_there(result, PART1)
    assert "moved" not in repairs


def test_imports_and_helpers_added_to_a_locked_cell_are_kept_and_changes_of_its_values_are_not():
    notebook = answered(PART1)
    helper = "@torch.no_grad()\ndef flat(x):  # mine\n    return x.flatten(1)"
    cell_of(notebook, "part1-imports")["source"] += (
        "\nimport math\nseed = 7\nEPS = 1e-8\nslow = score.check('Q1.1', 1)"
    )
    cell_of(notebook, "part1-imports")["source"] += "\n" + helper
    result, repairs = fix(notebook, PART1)
    assert_all_is_there(result, PART1)
    assert (
        result.cells[place_of(result, "part1-imports") + 1].source
        == f"import math\nEPS = 1e-8\n{helper}"
    )
    assert "What was added to a locked cell stands in one of its own: part1/imports." in repairs


def test_the_students_own_cells_stay_beside_their_neighbours():
    notebook = answered(PART1)
    notebook["cells"].insert(
        place_of(notebook, "part1-bc_loss"), own("def helper(x):\n    return x")
    )
    notebook["cells"].insert(
        place_of(notebook, "part1-q1_2"),
        own("![me](attachment:me.png)", "markdown")
        | {"attachments": {"me.png": {"image/png": "AAAA"}}},
    )
    notebook["cells"].append(own("the end"))
    moved = cell_of(notebook, "part1-setup")
    notebook["cells"].remove(moved)
    notebook["cells"].append(moved)
    result, repairs = fix(notebook, PART1)
    assert_all_is_there(result, PART1)
    assert (
        result.cells[place_of(result, "part1-bc_loss") - 1].source == "def helper(x):\n    return x"
    )
    assert result.cells[place_of(result, "part1-q1_2") - 1].attachments == {
        "me.png": {"image/png": "AAAA"}
    }
    assert result.cells[-1].source == "the end"
    assert repairs == "Cells stood in another order and are in the release's again: part1/setup."


def test_a_comment_that_looks_like_a_marker_within_an_answer_cuts_nothing():
    notebook = answered(PART1)
    cell_of(notebook, "part1-bc_loss")["source"] += (
        "\n# [part1/q1_2] is next\n    # [part1/q1_2] test"
    )
    result, repairs = fix(notebook, PART1)
    assert cell_of(result, "part1-bc_loss").source.endswith("# [part1/q1_2] test") and repairs == ""


def test_metadata_of_cells_that_the_notebook_does_not_have_is_dropped_and_named():
    notebook = answered(PART1)
    notebook["cells"].append(
        own("100.0")
        | {"metadata": {"nbgrader": {"grade_id": "bonus", "grade": True, "points": 100}}}
    )
    cell_of(notebook, "part1-q1_1")["metadata"]["nbgrader"]["points"] = 50
    result, repairs = fix(notebook, PART1)
    assert_all_is_there(result, PART1)
    assert "Metadata of cells that are not this notebook's was dropped: 'bonus'." in repairs
    assert "metadata was changed and is the release's again: part1/q1_1." in repairs


def test_cells_that_changed_between_code_and_text_change_back():
    notebook = answered(PART4)
    for key, kind in (("part4-train", "markdown"), ("part4-report_curves", "code")):
        cell_of(notebook, key)["cell_type"] = kind
    result, repairs = fix(notebook, PART4)
    assert_all_is_there(result, PART4)
    assert "are what they were: part4/train, part4/report_curves." in repairs


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Sign in to Moodle", "web page"),
        (b"# %%\nimport torch\n", "a Python script"),
        ("Kein Notebook, sondern ein Text über Fuß und Ball".encode("latin-1"), "not UTF-8"),
        (b"PK\x03\x04\xff\xfe", "not UTF-8"),
        (b"lorem ipsum", "is text, not a notebook"),
        (_ANSWERED["part1_mlp"][:5000], "breaks off before its end"),
        (
            _ANSWERED["part1_mlp"].replace('"cells": [', '"cells": [<<<<<<< HEAD', 1),
            "not whole JSON",
        ),
        ("[" * 100_000, "nested too deeply"),
        ('{"cells": ' + "[" * 100_000, "nested too deeply"),
        ('{"cells": [' + "9" * 5000 + "]}", "not whole JSON"),
        ("null", "no list of cells"),
        ("{}", "no list of cells"),
        ('{"cells": [1]}', "no list of cells"),
        ('{"nbformat": 3, "worksheets": []}', "no list of cells"),
        ('{"nbformat": 5, "cells": []}', "not of format 4"),
        ('{"nbformat": 4, "cells": []}', "None of its cells"),
        (_ANSWERED["part2_cvae"], "None of its cells is one of this notebook's"),
        (
            json.dumps({"nbformat": 4, "cells": [{}] * (MAX_CELLS + 1)}),
            f"has {MAX_CELLS + 1} cells",
        ),
        (
            json.dumps(
                {"nbformat": 4, "cells": [own("# [part1/bc_loss] answer Q1.2\n" * (MAX_CELLS + 1))]}
            ),
            "falls into more than",
        ),
        (" " * (MAX_BYTES + 1), "larger than 20 MB"),
    ],
    ids=range(21),
)
def test_what_is_no_notebook_is_told_in_one_sentence(content, sentence):
    with pytest.raises(RepairError, match=sentence) as told:
        repair(content, released(PART1))
    assert len(str(told.value)) < 200 and str(told.value).endswith((".", "?"))


@pytest.mark.parametrize(
    "cell",
    [
        {"cell_type": "code"},
        {"cell_type": "code", "source": [1]},
        {"cell_type": "code", "source": {"a": "b"}},
        {"source": "x"},
        {"cell_type": [], "source": "x"},
        {"cell_type": "code", "source": "x" * (MAX_CODE + 1)},
    ],
    ids=range(6),
)
def test_a_cell_that_cannot_be_read_is_left_out_and_the_rest_is_graded(cell):
    notebook = answered(PART1)
    notebook["cells"].insert(3, cell)
    result, repairs = fix(notebook, PART1)
    assert_all_is_there(result, PART1)
    assert "What cannot be read was left out: cell 4 " in repairs


_FIELDS = [
    "metadata",
    "nbgrader",
    "grade_id",
    "id",
    "metadata.id",
    "attachments",
    "outputs",
    "nbformat_minor",
    "source",
    "cell_type",
]
_PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["part1-bc_loss", "raw"])
)
_NESTED = st.recursive(
    _PLAIN,
    lambda some: (
        st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=3), some, max_size=3)
    ),
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(_NESTED, st.sampled_from(_FIELDS))
def test_whatever_stands_in_the_fields_of_a_cell_there_is_a_notebook_or_a_sentence(value, name):
    notebook = answered(PART1)
    if name == "nbformat_minor":
        notebook[name] = value
    for cell in notebook["cells"][:12]:
        if name == "grade_id":
            cell["metadata"]["nbgrader"] = {name: value}
        elif name == "nbgrader":
            cell["metadata"][name] = value
        elif name == "metadata.id":
            cell["metadata"]["id"] = value
        else:
            cell[name] = value
    result, _ = repair(json.dumps(notebook), released(PART1))
    nbformat.validate(result)
    nbformat.writes(result).encode()
    metadata = [
        [cell.metadata for cell in notebook.cells if cell.metadata]
        for notebook in (result, released(PART1))
    ]
    assert metadata[0] == metadata[1]


@pytest.mark.parametrize(
    "code",
    [
        "x" + ".a" * 60_000,
        "-" * 90_000 + "1",
        "(" * 90_000,
        "[" * 150 + "]" * 150,
        "bc_loss\0 = 1",
        "\ud800 = '\ud800'",
        "lambda:" * 20_000 + "1",
        "if 1:\n" + "".join(" " * i + "if 1:\n" for i in range(1, 300)),
        "%%bash\nrm -rf x",
    ],
    ids=range(9),
)
def test_code_that_no_parser_likes_is_kept_and_harms_nothing(code):
    notebook = answered(PART1)
    notebook["cells"].remove(cell_of(notebook, "part1-bc_loss"))
    notebook["cells"].append(own("bc_loss = 1\n" + code))
    cell_of(notebook, "part1-q1_3")["source"] += "\n" + code
    result, _ = fix(notebook, PART1)
    nbformat.writes(result).encode()
    assert result.cells[-1].source.startswith("bc_loss = 1\n")
    assert cell_of(result, "part1-q1_3") == cell_of(released(PART1), "part1-q1_3")
