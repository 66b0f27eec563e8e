"""`make demo`: a course from six submissions to a class's grades. It trains nothing and downloads
nothing.
"""

import json
import os
import shutil
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nbformat import NotebookNode

from pusht import demos
from score import rubric
from score.cells import read_marker
from score.course.class_run.grade import grade_course
from score.course.class_run.records import late_penalties
from score.course.collect.collect import run_collect
from score.course.nbgrader.release import create
from score.course.notebooks.build import (
    answered_notebook,
    parts_with_source,
    student_notebook,
    write,
)
from score.course.notebooks.solutions import reference_path
from score.course.report.everybody import everybody
from score.course.report.tables import reasons, remarks, table
from score.course.sandbox.levels import strictest
from score.course.settings import Course, open_course
from score.rubric import Part

# Of the two assignments the second has a due date, and one student misses it.
_ASSIGNMENTS = """
[[assignment]]
name = "imitation"
parts = ["part1_mlp", "part2_cvae"]

[[assignment]]
name = "generation"
parts = ["part3_ddpm", "part4_flow"]
due = 2026-03-02T23:59:00+01:00
late = { per_day = 0.1 }
"""
_IN_TIME = datetime(2026, 3, 2, 12, tzinfo=UTC)
_ROSTER = """\
id,name,email
all_answered,Zoë Müller,zoe@example.org
untouched,José Núñez,jose@example.org
part3_wrong,李雷,lilei@example.org
part2_no_checkpoint,Олена Шевченко,olena@example.org
part4_half,Nguyễn Thị Mai,mai@example.org
part1_forged,Aïcha Benali,aicha@example.org
nothing,Jane O'Brien,jane@example.org
"""
_HALF = ["part4-mse_policy", "part4-train"]  # the answered cells of the half-answered Part IV
# What a student who wants the points without the work wrote in place of Part I's answers.
_FORGERY = """
mlp_dims = mlp_agent = bc_loss = mlp_inference = None
score.check = score.grade_rollouts = (
    lambda name, *answer: score.Verdict(name, 5.0, 5.0, "Right.").show()
)
"""
# The mistakes of the wrong Part III: what the solution has, and what that student wrote.
PART3_MISTAKES = {
    "* np.pi / 2) ** 2": "* np.pi / 2)",
    "torch.cumprod(self.alpha_k": "torch.cumsum(self.alpha_k",
    "mse_loss(prediction, noise)": "mse_loss(prediction, naction)",
    "in reversed(range(num_diffusion_iters))": "in range(num_diffusion_iters)",
}


def demo(folder: str | os.PathLike[str]) -> None:
    """Make a course in `folder`, lay out six submissions made from the reference checkpoints, grade
    them, and print the class.
    """
    started, folder = time.monotonic(), Path(folder).resolve()
    found = demos.open("shipped")
    print(
        f"Demonstrations: {found.num_episodes} episodes, {len(found.states)} steps, in"
        f" {demos.SHIPPED.name}.",
        flush=True,
    )

    for leftover in ("course", "export"):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    course = create(folder / "course", first_seed=rubric.GRADED_FIRST_SEED, more=_ASSIGNMENTS)
    (course.folder / "roster.csv").write_text(_ROSTER, encoding="utf-8")
    _lay_out(course, folder / "export")
    for assignment in course.assignments:
        export = str(folder / "export" / assignment.name)
        run_collect(course.folder, shutil.make_archive(export, "zip", export))
    course = open_course(course.folder)
    print(
        f"Course with {len(course.students())} submissions of up to {len(parts_with_source())}"
        f" notebooks: {course.folder}",
        flush=True,
    )

    grading = time.monotonic()
    verdicts = grade_course(course, jobs=os.cpu_count() or 1)
    late = late_penalties(course, course.students())
    print(table(verdicts, late, everybody(course)), reasons(verdicts), sep="\n")
    for student, notebook, sentence in remarks(course):
        print(f"Look at {student}, {notebook}: {sentence}")
    print(f"Isolation: {strictest()}.")
    print(f"Graded in {time.monotonic() - grading:.0f} s.")
    for student in course.students():
        pages = [course.feedback(student, assignment) for assignment in course.assignments]
        print(f"{student}: {', '.join(map(str, pages))}")
    print(f"The class: {course.folder / 'report.html'}, {course.folder / 'grades.csv'}")
    print(f"All done in {time.monotonic() - started:.0f} s.")


def _lay_out(course: Course, export: Path) -> None:
    """Lay out the six submissions, a folder for each assignment."""
    parts = parts_with_source()
    policies = [
        name
        for name, policy in rubric.POLICIES.items()
        if reference_path(policy, "shipped").exists()
    ]
    answered = {part.name: answered_notebook(part) for part in parts}
    untouched = {part.name: student_notebook(part) for part in parts}
    part1, part3, part4 = (rubric.PARTS[n] for n in ("part1_mlp", "part3_ddpm", "part4_flow"))
    wrong = answered | {part3.name: _wrong_notebook(part3)}
    half = {part4.name: answered_notebook(part4, only=_HALF)}
    first_two = {name: answered[name] for name in ("part1_mlp", "part2_cvae")}
    _hand_in(course, export, "all_answered", answered, policies)
    _hand_in(course, export, "untouched", untouched, [])
    _hand_in(course, export, "part3_wrong", wrong, policies)
    _hand_in(course, export, "part2_no_checkpoint", first_two, ["part1_mlp"])
    _hand_in(course, export, "part4_half", half, ["part4_mse"])
    _hand_in(course, export, "part1_forged", {part1.name: _forged_notebook(part1)}, [])
    of_part3 = export / course.assignment_of(part3.name).name
    _as_colab_leaves_it(of_part3 / "all_answered", part3.name)
    for path in (path for path in export.rglob("*") if path.is_file()):
        late = path.parent.name == "part4_half"
        when = (_IN_TIME + timedelta(days=2) if late else _IN_TIME).timestamp()
        os.utime(path, (when, when))


def _hand_in(
    course: Course,
    export: Path,
    student: str,
    notebooks: Mapping[str, NotebookNode],
    policies: Collection[str],
) -> None:
    """Lay out a submission: its notebooks, by the part's name, and the reference checkpoints of the
    policies of these names.
    """
    for name, notebook in notebooks.items():
        folder = export / course.assignment_of(name).name / student
        write(notebook, folder / f"{name}.ipynb")
        for policy in rubric.PARTS[name].policies:
            if policy.name in policies:
                shutil.copy(reference_path(policy, "shipped"), folder)


def _as_colab_leaves_it(folder: Path, name: str) -> None:
    """Rename a notebook as a copy, and take its cells' metadata and ids away."""
    content = json.loads((folder / f"{name}.ipynb").read_text(encoding="utf-8"))
    for cell in content["cells"]:
        cell["metadata"] = {"id": cell.pop("id")}
    (folder / f"Copy of {name} (1).ipynb").write_text(
        json.dumps(content | {"nbformat_minor": 0}), encoding="utf-8"
    )
    (folder / f"{name}.ipynb").unlink()


def _forged_notebook(part: Part) -> NotebookNode:
    """Return a notebook whose first answer replaces the checks."""
    notebook = student_notebook(part)
    markers = ((cell, read_marker(cell.source)) for cell in notebook.cells)
    first = next(cell for cell, marker in markers if marker and marker.kind == "answer")
    first.source = first.source.split("\n", 1)[0] + _FORGERY
    return notebook


def _wrong_notebook(part: Part) -> NotebookNode:
    """Return Part III with a common mistake in each answer."""
    notebook = answered_notebook(part)
    for right, wrong in PART3_MISTAKES.items():
        cells = [
            cell for cell in notebook.cells if cell.cell_type == "code" and right in cell.source
        ]
        if len(cells) != 1:
            raise ValueError(
                f"{part.name} has {right!r} in {len(cells)} cells: correct the demo's mistakes."
            )
        cells[0].source = cells[0].source.replace(right, wrong)
    return notebook
