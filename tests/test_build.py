"""Notebooks from their sources: what students get, and what they must not."""

import re
import zipfile
from urllib.parse import quote

import nbformat
import pytest
from nbgrader.preprocessors import CheckCellMetadata

from pusht import resources
from score.cells import read_marker
from score.course.notebooks import build
from score.course.notebooks.bundle import bundle_bytes, bundled_files
from score.course.settings import CourseError

PARTS = build.parts_with_source()
each_part = pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kind(cell):
    return read_marker(cell.source).kind


@each_part
def test_the_built_notebook_is_that_of_its_source(part):
    built = build.ROOT / "notebooks" / f"{part.name}.ipynb"
    assert built.read_text(encoding="utf-8") == nbformat.writes(build.student_notebook(part)) + "\n"


@each_part
def test_a_rebuild_is_byte_equal(part, tmp_path):
    build.write(build.student_notebook(part), tmp_path / "one.ipynb")
    build.write(build.student_notebook(part), tmp_path / "two.ipynb")
    assert (tmp_path / "one.ipynb").read_bytes() == (tmp_path / "two.ipynb").read_bytes()


@each_part
def test_students_get_no_solution_and_no_output(part):
    student, solved = build.student_notebook(part), build.source_notebook(part)
    for cell in code_cells(student):
        assert not cell.outputs and cell.execution_count is None
    solutions = [
        line.strip()
        for cell in code_cells(solved)
        for block in re.findall(
            r"### BEGIN SOLUTION.*?\n(.*?)### END SOLUTION", cell.source, re.DOTALL
        )
        for line in block.splitlines()
        if len(line.strip()) > 3  # a bracket alone gives nothing away
    ]
    released = {line.strip() for cell in student.cells for line in cell.source.splitlines()}
    assert solutions and not released & set(solutions)
    assert not any("SOLUTION" in cell.source for cell in student.cells)


@each_part
def test_each_answer_names_its_question_where_the_solution_was(part):
    asked = []
    for cell in code_cells(build.student_notebook(part)):
        names = re.findall(
            r"# TODO ([QE][\d.]+): your answer here\n *raise NotImplementedError", cell.source
        )
        assert names == re.findall(
            r'NotImplementedError\("Need to implement for ([QE][\d.]+)"\)', cell.source
        )
        assert bool(names) == (kind(cell) in ("answer", "extension"))
        assert not names or set(names) == set(re.findall(r"[QE][\d.]+", cell.source.split("\n")[0]))
        asked += names
    assert set(asked) >= {q.name for q in (*part.questions, *part.extensions)}


@each_part
def test_students_can_edit_what_they_are_told_to_and_not_the_checks(part):
    editable = {
        name: {
            cell.metadata.get("editable", True)
            for cell in code_cells(build.student_notebook(part))
            if kind(cell) == name
        }
        for name in ("given", "practice", "answer", "extension", "test")
    }
    assert editable["practice"] == editable["answer"] == {True} and editable["given"] == editable[
        "test"
    ] == {False}


@each_part
def test_an_extension_is_nothing_to_nbgrader_and_stands_behind_the_hand_in(part):
    cells = code_cells(build.student_notebook(part))
    extensions = [cell for cell in cells if kind(cell) == "extension"]
    assert [read_marker(cell.source).questions for cell in extensions] == [
        (extension.name,) for extension in part.extensions
    ]
    assert not any(cell.metadata for cell in extensions)
    behind = [
        kind(cell)
        for cell in cells[[cell.id for cell in cells].index(f"part{part.number}-hand_in") + 1 :]
    ]
    assert set(behind) <= {"extension", "practice"} and behind.count("extension") == len(extensions)


@each_part
def test_the_answered_notebook_is_the_students_with_the_solutions_in_place(part):
    solved = {cell.id: cell.source for cell in build.source_notebook(part).cells}
    for student, answered in zip(
        build.student_notebook(part).cells, build.answered_notebook(part).cells, strict=True
    ):
        if "NotImplementedError" in student.source:
            assert (
                "NotImplementedError" not in answered.source and "SOLUTION" not in answered.source
            )
            assert (
                answered.source
                == re.sub(r" *### (BEGIN|END) SOLUTION.*\n?", "", solved[answered.id]).rstrip()
            )
        else:
            assert answered == student


@each_part
def test_nbgrader_takes_the_metadata_and_the_points_are_the_rubrics(part):
    notebook = build.student_notebook(part)
    nbformat.validate(notebook)
    CheckCellMetadata().preprocess(notebook, {})
    points = {
        cell.metadata.nbgrader.grade_id.split("-")[1]: cell.metadata.nbgrader.points
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    }
    assert points == {entry.cell: entry.points for entry in part.graded()}
    assert sum(points.values()) == part.points


@each_part
def test_every_code_cell_is_known_by_its_first_line_alone(part):
    for cell in code_cells(build.student_notebook(part)):
        grade_id = cell.id if kind(cell) == "extension" else cell.metadata.nbgrader.grade_id
        assert read_marker(cell.source).key == cell.id == grade_id


@each_part
def test_a_cell_without_a_marker_is_refused_by_its_first_line(part, tmp_path, monkeypatch):
    (tmp_path / f"{part.name}.py").write_text("# %%\nprint('hello')\n")
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    with pytest.raises(ValueError, match="print.*a marker such as"):
        build.source_notebook(part)


@each_part
def test_code_needs_no_findings_so_that_it_can_compute_them(part, tmp_path, monkeypatch):
    cells = code_cells(build.source_notebook(part))
    monkeypatch.setattr(build, "FINDINGS", tmp_path / "none.json")
    assert [cell.source for cell in build.source_code(part)] == [cell.source for cell in cells]


def test_a_text_that_names_an_unknown_finding_is_refused(tmp_path, monkeypatch):
    (tmp_path / "part1_mlp.py").write_text("# %% [markdown]\n# It scores {{noise.scare}}.\n")
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    with pytest.raises(ValueError, match="noise.scare.*tools.findings noise"):
        build.source_notebook(PARTS[0])


@each_part
def test_a_solution_that_does_not_end_is_refused(part, tmp_path, monkeypatch):
    (tmp_path / f"{part.name}.py").write_text(
        f"# %%\n# [{part.name[:5]}/x] answer Q1.1\ndef f():\n    ### BEGIN SOLUTION\n    return 1\n"
    )
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    with pytest.raises(ValueError, match="BEGIN or END only"):
        build.student_notebook(part)


@each_part
@pytest.mark.parametrize(
    "bundle, badge",
    [
        ("", "https://colab.research.google.com/"),
        (
            "https://raw.githubusercontent.com/a/b/main/pusht-kit.zip",
            "https://colab.research.google.com/github/a/b/blob/main/notebooks/{name}.ipynb",
        ),
        (
            "https://example.edu/course/pusht-kit.zip",
            "https://colab.research.google.com/#fileId="
            + quote("https://example.edu/course/notebooks/", safe="")
            + "{name}.ipynb",
        ),
    ],
)
def test_the_bundles_address_stands_in_badge_and_set_up_cell(part, bundle, badge):
    text, setup = build.student_notebook(part, bundle).cells[:2]
    assert f"({badge.format(name=part.name)})" in text.source
    assert f'BUNDLE = "{bundle}"' in setup.source


@each_part
def test_the_bundle_holds_what_students_need_and_nothing_else(part, tmp_path):
    build.write(build.student_notebook(part), tmp_path / f"{part.name}.ipynb")
    (tmp_path / "kit.zip").write_bytes(bundle_bytes(tmp_path))
    with zipfile.ZipFile(tmp_path / "kit.zip") as bundle:
        names = bundle.namelist()
        texts = {
            name: bundle.read(name).decode()
            for name in names
            if name.endswith((".py", ".txt", ".ipynb"))
        }
    assert {
        f"notebooks/{part.name}.ipynb",
        "pusht/__init__.py",
        "score/__init__.py",
        "requirements.txt",
        "data/README.md",
        "data/demonstrations.zarr.zip",
        "data/expert.safetensors",
        *(
            f"losses/{folder}expected_{policy.method}_loss.pkl"
            for policy in part.policies
            if policy.published
            for folder in ("", "shipped/")
        ),
    } <= set(names)
    assert {name.split("/")[0] for name in names} <= {
        "notebooks",
        "pusht",
        "score",
        "losses",
        "data",
        "requirements.txt",
        "LICENSE",
    }
    assert not [
        name
        for name in names
        if "source/" in name or name.startswith(("score/course", "tests", "data/reference"))
    ]
    assert not [
        name
        for name, text in texts.items()
        if re.search(r"^\W*### BEGIN SOLUTION", text, re.MULTILINE)
    ]
    assert "nbgrader" not in texts["requirements.txt"]
    assert bundle_bytes(tmp_path) == (tmp_path / "kit.zip").read_bytes()


@pytest.mark.parametrize(
    "moved, pattern",
    [
        ("losses/expected.pkl", r"losses/\*\*/\*\.pkl"),
        ("data/reference/part1_mlp.safetensors", "data/reference/"),
        ("score/course/settings.py", "score/course/"),
    ],
)
def test_a_pattern_of_the_bundle_that_matches_nothing_is_an_error(
    moved, pattern, tmp_path, monkeypatch
):
    kit = [
        "pusht/__init__.py",
        "pusht/player.js",
        "pusht/figures/a.js",
        "pusht/figures/a.json",
        "score/__init__.py",
        "score/student/published.json",
        "score/course/settings.py",
        "losses/expected.pkl",
        "losses/bands.json",
        "data/README.md",
        "data/reference/part1_mlp.safetensors",
        "LICENSE",
    ]
    for name in kit:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(resources, "PACKAGES", tmp_path)
    monkeypatch.setattr(resources, "ROOT", tmp_path)
    assert {*bundled_files()} == {
        name for name in kit if "course" not in name and "reference" not in name
    }
    (tmp_path / moved).unlink()
    with pytest.raises(CourseError, match=pattern):
        bundled_files()
