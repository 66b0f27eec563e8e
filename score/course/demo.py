"""`make demo`: the whole way of Part I, from the demonstrations to a class's grades."""
import shutil
import time
from pathlib import Path

from pusht import demos
from pusht.checkpoint import SUFFIX
from score import rubric
from score.course import ASSIGNMENT, CourseError, create
from score.course.build import answered_notebook, student_notebook, write
from score.course.grade import grade_course, table
from score.course.reference import run_solution


def demo(folder):
    """Train the reference, make a course, hand in an answered, a half-answered and an untouched notebook, grade them."""
    started = time.monotonic()
    try:
        found = demos.open()
    except demos.DemosError as error:
        raise CourseError(str(error)) from None
    print(f"Demonstrations: {found.num_episodes} episodes, {len(found.states)} steps.", flush=True)

    folder, part = Path(folder).resolve(), rubric.PARTS["part1_mlp"]
    trained = folder / "trained"
    print(f"Training the reference solution of {part.title} (about five minutes; a run that was cut off goes on) …", flush=True)
    run_solution(part, trained)
    checkpoint = trained / (part.name + SUFFIX)

    shutil.rmtree(folder / "course", ignore_errors=True)
    course = create(folder / "course", first_seed=rubric.GRADED_FIRST_SEED)
    answers = {"answered": answered_notebook(part), "half_answered": answered_notebook(part, only=["part1-mlp_dims", "part1-bc_loss"]),
               "untouched": student_notebook(part)}
    for student, notebook in answers.items():
        hand_in = course.folder / "submitted" / student / ASSIGNMENT
        write(notebook, hand_in / f"{part.name}.ipynb")
        if student != "untouched":
            shutil.copy(checkpoint, hand_in)
    print(f"Course with {len(answers)} submissions: {course.folder}", flush=True)

    grading = time.monotonic()
    grades = grade_course(course)
    print(table(grades))
    print(f"Graded in {time.monotonic() - grading:.0f} s, {course.episodes} episodes each.")
    feedback = course.folder / "feedback"
    for student in answers:
        print(f"{student}: feedback {feedback / student / ASSIGNMENT / part.name}.html", end="")
        films = sorted((feedback / student / ASSIGNMENT).glob("*.mp4"))
        print(f", film {films[0]}" if films else ", no film: nothing was rolled out")
    print(f"All done in {time.monotonic() - started:.0f} s.")
