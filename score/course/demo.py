"""`make demo`: the whole way of a course, from the demonstrations to a class's grades."""
import shutil
import time
from pathlib import Path

from pusht import demos
from pusht.checkpoint import SUFFIX
from score import rubric
from score.course import ASSIGNMENT, CourseError, create
from score.course.build import answered_notebook, parts_with_source, student_notebook, write
from score.course.grade import grade_course, table
from score.course.reference import REFERENCE, run_solution

_EPISODES = 20
# Of the half-answered submission: the answers that were given.
_ANSWERED = ["part1-mlp_dims", "part1-bc_loss", "part2-agent_class", "part2-kl_divergence", "part2-cvae_inference",
             "part3-cosine_beta_schedule", "part4-mse_policy"]


def demo(folder):
    """Train Part I's reference, make a course, hand in an answered, a half-answered and an untouched submission, grade them."""
    started = time.monotonic()
    try:
        found = demos.open()
    except demos.DemosError as error:
        raise CourseError(str(error)) from None
    print(f"Demonstrations: {found.num_episodes} episodes, {len(found.states)} steps.", flush=True)

    folder, part1 = Path(folder).resolve(), rubric.PARTS["part1_mlp"]
    print("Training the reference solution of Part I (about five minutes; a run that was cut off goes on) …", flush=True)
    run_solution(part1, folder / "trained")

    shutil.rmtree(folder / "course", ignore_errors=True)
    course = create(folder / "course", first_seed=rubric.GRADED_FIRST_SEED, episodes=_EPISODES)
    _hand_in(course, "answered", answered_notebook, folder / "trained")
    _hand_in(course, "half_answered", lambda part: answered_notebook(part, only=_ANSWERED), folder / "trained")
    _hand_in(course, "untouched", student_notebook, None)
    print(f"Course with {len(course.students())} submissions of {len(parts_with_source())} notebooks: {course.folder}", flush=True)

    grading = time.monotonic()
    print(table(grade_course(course)))
    print(f"Graded in {time.monotonic() - grading:.0f} s, {course.episodes} episodes for each policy.")
    for student in course.students():
        pages = course.folder / "feedback" / student / ASSIGNMENT
        films = ", ".join(film.name for film in sorted(pages.glob("*.mp4"))) or "none, nothing was rolled out"
        print(f"{student}: feedback pages in {pages}; films: {films}")
    print(f"All done in {time.monotonic() - started:.0f} s.")


def _hand_in(course, student, notebook_of, trained):
    """Lay out a submission: the notebooks, and the freshly trained policy of Part I beside the reference ones."""
    folder = course.folder / "submitted" / student / ASSIGNMENT
    for part in parts_with_source():
        write(notebook_of(part), folder / f"{part.name}.ipynb")
        for policy in part.policies if trained else ():
            fresh = trained / (policy.name + SUFFIX)
            shutil.copy(fresh if fresh.exists() else REFERENCE / fresh.name, folder)
