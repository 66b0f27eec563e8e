"""The pages made from results: their totals are right, a student's page has nothing of the
instructor's, no text becomes markup, and charts can be read by all.
"""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from browser import chromium_page, needs_chromium

from pusht import demos
from score import rubric
from score.course.grading.results import ManualGrade, PartResult, RolloutResult, not_precise
from score.course.report import page as page_module
from score.course.report.class_page import class_page
from score.course.report.everybody import Someone
from score.course.report.feedback import feedback as feedback_page
from score.course.report.points import part_points
from score.course.settings import Course
from score.rollouts.loss_curves import load_losses, loss_path
from score.rollouts.stopping import Stop
from score.verdict import Verdict

HOSTILE = (
    "</title></style><script>alert(1)</script><img src=x onerror='alert(2)'>"
    "' \" {{ 7 * 7 }} "
    "<a href=https://evil.example>x</a>\u202e"
)
INSTRUCTORS = (
    "the curve may be another run's",
    "claims 9 points",
    "a key of results",
    "Traceback",
    "score/course/grading/question_server.py",
    "424242",
)


def graded(part, student="ada", sentence="Right.", points=1.0, losses=None, film="", **changes):
    """A `PartResult` in which each answer earns this share of its points, an answer in words none,
    and policies score 0.3 over ten episodes.
    """
    part = rubric.PARTS[part]
    cells, rollouts = {}, {}
    for entry in part.graded():
        written = isinstance(entry, rubric.ManualQuestion)
        cells[part.cell_id(entry)] = Verdict(
            entry.name,
            0.0 if written else points * entry.points,
            float(entry.points),
            sentence,
            unread=written,
        )
    for policy in part.policies:
        curve = load_losses(loss_path(policy, "shipped")) if losses is None else losses
        rollouts[policy.name] = RolloutResult(
            "a key of results",
            [0.0, 0.1, 0.2, 0.3, 1.0, 0.2, 0.3, 0.4, 0.2, 0.3],
            (0.2, 0.6),
            False,
            curve,
            demos.SHIPPED_FINGERPRINT,
            film,
            ["the curve may be another run's"],
            Stop.MOST,
        )
    result = PartResult(
        student=student,
        part=part.name,
        key="a key of results",
        kit="kit 1",
        sandbox="namespaces",
        stopped="",
        missing="",
        seconds={"rollouts": 90.0, "questions": 2.0},
        flags=["claims 9 points"],
        late_penalty=0.0,
        cells=cells,
        rollouts=rollouts,
    )
    return replace(result, **changes)


def everything(**changes):
    return {part: graded(part, **changes) for part in rubric.PARTS}


def shown(page):
    """A page's text as a reader sees it, spaces as one, and its tags as (name, attributes)."""
    text, tags, within = [], [], []
    parser = HTMLParser()

    def starts(tag, attributes):
        tags.append((tag, dict(attributes)))
        within.append(tag)

    parser.handle_starttag, parser.handle_data = (
        starts,
        lambda data: within[-1:] == ["style"] or text.append(data),
    )
    parser.feed(page)
    return " ".join(" ".join(text).split()), tags


def charts(page):
    """The charts of a page, as they stand in it."""
    return re.findall(r"<svg.*?</svg>", page, re.DOTALL)


def feedback(results, manual=None, folder="."):
    return feedback_page("ada", results, manual or {}, folder)


def report(results, manual=None, repairs=None, similar=(), remarks=(), course="Robots"):
    course = Course(Path(course), "", 1, "", 1)
    pages = class_page(course, results, manual or {}, repairs or {}, similar, remarks)
    return pages["report.html"]


@pytest.fixture(scope="module")
def hostile():
    """Both pages, where all text that others wrote is hostile."""
    results = everything(sentence=f"{HOSTILE} Hint: {HOSTILE}", points=0.5, stopped=HOSTILE)
    results["part2_cvae"] = graded(
        "part2_cvae",
        missing=HOSTILE,
        kit=HOSTILE,
        sandbox=HOSTILE,
        flags=[HOSTILE],
        seconds={HOSTILE: 1.0},
    )
    manual = {("part1_mlp", "part1-q1_1"): ManualGrade(0.5, 0.25, HOSTILE)}
    pair = SimpleNamespace(
        kind=HOSTILE, what=HOSTILE, students=[HOSTILE], likeness=0.5, sentence=HOSTILE
    )
    repairs = {HOSTILE: {"parts": {"part1_mlp": {"repairs": [HOSTILE], "refused": HOSTILE}}}}
    return (
        feedback_page(HOSTILE, results, manual, "."),
        report(
            {HOSTILE: results},
            {HOSTILE: manual},
            repairs,
            [pair],
            [(HOSTILE, "another", HOSTILE)],
            HOSTILE,
        ),
    )


def test_hostile_text_stays_text(hostile):
    for page in hostile:
        text, tags = shown(page)
        assert not {tag for tag, _ in tags} & {"script", "img", "iframe", "object", "form", "base"}
        assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
        assert "<script>alert(1)</script>" in text and "{{ 7 * 7 }}" in text
        assert "\u202e" not in shown(feedback(everything(sentence=HOSTILE)))[0]


def test_nothing_is_fetched_and_nothing_runs(hostile, tmp_path):
    (tmp_path / "film.mp4").write_bytes(b"a film")
    for page in (
        *hostile,
        feedback(everything(film="film.mp4"), folder=tmp_path),
        report({"ada": everything()}),
    ):
        _, tags = shown(page)
        assert "script" not in {tag for tag, _ in tags}
        addresses = [
            address
            for _, attributes in tags
            for name, address in attributes.items()
            if name
            in (
                "src",
                "href",
                "poster",
                "data",
                "srcset",
                "action",
                "background",
                "xlink:href",
            )
        ]
        assert all(
            address.startswith(("#", "feedback/", "data:video/mp4;base64,"))
            for address in addresses
        ), addresses
        style = page[page.index("<style>") : page.index("</style>")]
        assert "url(" not in style and "@import" not in style


def test_feedback_has_nothing_of_the_instructors():
    ours = (
        "The grader was lost.\nTraceback (most recent call last):\n  File"
        " score/course/grading/question_server.py, line 1\nKeyError: 424242"
    )
    page = feedback(
        {
            **everything(sentence=ours),
            "part2_cvae": graded("part2_cvae", missing=ours),
            "part3_ddpm": graded("part3_ddpm", stopped=ours),
        }
    )
    assert "The grader was lost." in page
    assert not [secret for secret in INSTRUCTORS if secret in page]


def test_hand_grades_extra_credit_and_the_late_penalty_are_in_the_totals():
    results = {
        "part1_mlp": graded("part1_mlp", late_penalty=1.5),
        "part4_flow": graded("part4_flow"),
    }
    manual = {
        ("part1_mlp", "part1-q1_2"): ManualGrade(0.5, None, "Nearly."),
        ("part1_mlp", "part1-q1_1"): ManualGrade(extra=0.25),
        ("part4_flow", "part4-report_curves"): ManualGrade(0.75),
        ("part2_cvae", "part2-q2_1"): ManualGrade(0.0),
    }
    assert part_points(results["part1_mlp"], manual) == 10 - 1.5 + 0.25 - 1.5
    assert part_points(results["part4_flow"], manual) == 12.75
    text, _ = shown(feedback(results, manual))
    assert (
        "20 of 25 points" in text and "7.25 of 10 points" in text and "12.75 of 15 points" in text
    )
    assert (
        "Nearly." in text
        and "Graded by a person: 0.5 of 2 , in place of 2" in text.replace("2,", "2 ,")
        and "−1.5" in text
    )
    assert "20.00" in shown(report({"ada": results}, {"ada": manual}))[0]


def test_a_part_never_falls_below_zero():
    assert part_points(graded("part1_mlp", points=0.0, late_penalty=3.0), {}) == 0


def test_answers_in_words_wait_for_a_person_until_they_are_graded():
    words = [f"part4-{entry.cell}" for entry in rubric.PARTS["part4_flow"].written]
    results = {"part4_flow": graded("part4_flow")}
    assert "3 answers are still to be read by a person" in shown(feedback(results))[0]
    by_hand = {("part4_flow", cell): ManualGrade(0.0) for cell in words}
    assert "to be read by a person" not in shown(feedback(results, by_hand))[0]


def test_what_was_stopped_missing_or_never_graded_is_said():
    text, _ = shown(
        feedback(
            {
                "part1_mlp": graded("part1_mlp", stopped="it took longer than 3600 s"),
                "part2_cvae": graded(
                    "part2_cvae",
                    points=0.0,
                    missing="part2_cvae.ipynb was not handed in.",
                    rollouts={},
                ),
            }
        )
    )
    assert "The notebook was stopped: it took longer than 3600 s." in text
    assert (
        text.count("part2_cvae.ipynb was not handed in.") == 1
        and "Part II CVAE, not graded" in text
    )
    assert "Part III" not in text
    assert "No part of this submission has been graded." in shown(feedback({}))[0]
    of_bob = {
        "part1_mlp": graded("part1_mlp", "bob"),
        "part2_cvae": graded(
            "part2_cvae", "bob", points=0.0, missing="Not yet.", rollouts={}, seconds={}, flags=[]
        ),
    }
    text, _ = shown(report({"ada": {}, "bob": of_bob}))
    assert (
        "Submissions 2 " in text
        and "Parts graded 1 " in text
        and "Mean total 10 of 10" in text
        and "not graded" in text
    )
    assert "Part II" not in text  # which nobody handed in
    assert "Nothing has been graded." in shown(report({}))[0]


def test_a_film_is_in_the_page_or_said_not_to_be(tmp_path):
    results = {"part1_mlp": graded("part1_mlp", film="../film.mp4")}
    assert "There is no film" in feedback(results, folder=tmp_path)
    (tmp_path / "film.mp4").write_bytes(b"a film")
    assert 'src="data:video/mp4;base64,YSBmaWxt"' in feedback(results, folder=tmp_path)
    (tmp_path / "film.mp4").write_bytes(bytes(2 * 10**6))
    page = feedback(results, folder=tmp_path)
    assert "too large for this page" in page and len(page) < 10**5


def test_a_loss_summed_over_the_chunk_is_drawn_at_the_references_scale():
    curve = load_losses(loss_path(rubric.POLICIES["part4_mse"], "shipped"))
    page = feedback({"part4_flow": graded("part4_flow", losses=[16 * loss for loss in curve])})
    assert (
        "divided by 16" in page
        and "within the reference&#39;s band" in page
        and "medians of 20 epochs" in page
    )


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [1.0],
        [0.0] * 400,
        [-1.0, 1e308, 5e-324],
        [float("nan"), float("inf")] * 30,
        [1e-300, 1.0] * 2000,
    ],
)
def test_any_numbers_can_be_a_loss_curve(losses):
    page = feedback(everything(losses=losses))
    assert not {"nan", "inf"} & set(page.replace(",", " ").replace('"', " ").split())
    assert len(page) < 2 * 10**5


def test_a_chart_says_in_words_what_it_shows():
    score, loss = charts(feedback({"part1_mlp": graded("part1_mlp")}))
    words = (
        'role="img" aria-label="Score 0.300, 95 % interval 0.20 to 0.60. 0.57 earns all points,'
        ' 0.25 none."'
    )
    assert words in score and "0.57 all points" in score and "0.25 none" in score
    assert 'role="img" aria-label="Loss curve of 300 epochs, from 0.0' in loss
    assert "Your loss stays within the reference's band" in loss and ">epoch</text>" in loss
    scores = charts(report({"ada": {"part1_mlp": graded("part1_mlp")}}))[0]
    assert 'aria-label="Scores of 1 submissions, mean 0.300."' in scores
    assert "<title>ada: 0.300</title>" in scores


def test_each_dot_of_the_class_has_its_students_name():
    kinds = (demos.SHIPPED_FINGERPRINT, demos.HUMAN_FINGERPRINT, "0" * 64)
    results = {}
    for number in range(12):
        result = graded("part1_mlp")
        rollout = result.rollouts["part1_mlp"]
        rewards, kind = [number / 12] * 10, kinds[number % 3]
        rollout = replace(rollout, per_episode=rewards, demonstrations=kind)
        results[f"s{number}"] = {"part1_mlp": replace(result, rollouts={"part1_mlp": rollout})}
    dots = re.findall(
        r'<use href="#[\w-]+" x="([\d.]+)" y="[\d.]+"><title>(\w+): ([\d.]+)<', report(results)
    )
    assert {name: score for _, name, score in dots} == {f"s{i}": f"{i / 12:.3f}" for i in range(12)}
    in_order = sorted(dots, key=lambda dot: float(dot[0]))
    assert [name for _, name, _ in in_order] == [f"s{i}" for i in range(12)]


def test_charts_have_the_pages_colours_and_ids_of_their_own(hostile):
    for page in (*hostile, feedback(everything()), report({"ada": everything()})):
        ids = [attributes["id"] for _, attributes in shown(page)[1] if "id" in attributes]
        assert len(ids) == len(set(ids))
        for chart in charts(page):
            assert not re.search(
                r"#[0-9a-fA-F]{3,8}\b|font-family|metadata|<style|clip-path", chart
            )
            assert set(re.findall(r'href="#([^"]+)"', chart)) <= set(ids)


def test_demonstrations_that_the_kit_does_not_know_have_no_reference():
    result = graded("part1_mlp")
    rollout = replace(result.rollouts["part1_mlp"], demonstrations="0" * 64)
    page = feedback({"part1_mlp": replace(result, rollouts={"part1_mlp": rollout})})
    assert "there is no reference loss to compare with" in page
    assert "var(--own)" in charts(page)[1] and "var(--reference)" not in charts(page)[1]


def test_the_same_results_give_the_same_page():
    first, second = (
        {name: everything() for name in names} for names in (("ada", "bob"), ("bob", "ada"))
    )
    assert report(first) == report(second)
    assert feedback(first["ada"]) == feedback(dict(reversed(second["ada"].items())))


def test_mistakes_that_differ_only_in_numbers_count_as_one():
    said = {
        "ada": "The loss is 12.5 where 0.5 is right. Hint: take the mean.",
        "bob": "The loss is 8. Hint: take the mean.",
        "cyd": "loss returned (3, 4), not a number.",
        "dan": "loss returned (128, 16, 2), not a number.",
        "eve": "Not answered yet.",
    }
    results = {
        name: {"part1_mlp": graded("part1_mlp", name, sentence, points=0.0)}
        for name, sentence in said.items()
    }
    text, _ = shown(report(results))
    assert "2 × take the mean. The loss is 12.5 where 0.5 is right. ada bob" in text
    assert (
        "2 × loss returned (3, 4), not a number. cyd dan" in text
        and "1 × Not answered yet. eve" in text
    )


def test_the_report_says_once_what_to_look_at():
    near = "Part I: 10 episodes, the most here, leave the points between 0.00 and 5.00."
    stopped = graded(
        "part1_mlp",
        stopped="it took more memory than 4096 MB",
        flags=[near, "claims 9 points"],
    )
    stopped = replace(
        stopped,
        rollouts={name: replace(own, flags=[]) for name, own in stopped.rollouts.items()},
    )
    results = {
        "ada": {"part1_mlp": stopped},
        "bob": {
            "part1_mlp": graded("part1_mlp", "bob", sandbox="processes", kit="kit 2", flags=[])
        },
    }
    pair = SimpleNamespace(
        kind="weights",
        what="part1_mlp.safetensors",
        students=["ada", "bob"],
        likeness=1.0,
        sentence="The same bits.",
    )
    repairs = {
        "cyd": {
            "parts": {
                "part2_cvae": {"repairs": ["A cell was restored."], "refused": "It is empty."}
            }
        }
    }
    remarks = [
        ("ada", "part1_mlp", "claims 9 points"),
        ("cyd", "part2_cvae", "It is empty."),
        ("ada", "part1_mlp", "The notebook was stopped: it took more memory than 4096 MB."),
    ]
    page = report(results, repairs=repairs, similar=[pair], remarks=remarks)
    text, tags = shown(page)
    for sentence in (
        "claims 9 points",
        "another run's",
        near,
        "than 4096 MB",
        "The same bits.",
        "A cell was restored.",
        "It is empty.",
    ):
        assert text.count(sentence) == 1, sentence
    assert "1 out of memory" in text and "100 % alike" in text
    assert near in text.partition("Points that are not certain enough")[2]
    assert (
        "namespaces: 1 notebook " in text
        and "processes: 1 notebook " in text
        and "their points may" in text
    )
    assert {"href": "feedback/ada/pusht/feedback.html"} in [
        attributes for tag, attributes in tags if tag == "a"
    ]


@pytest.mark.parametrize("stop", [*Stop, None])
def test_points_are_flagged_where_episodes_ended_before_they_were_certain(stop):
    result = graded("part1_mlp", flags=[])
    rollout = replace(result.rollouts["part1_mlp"], stop=stop, flags=[])
    flags = not_precise(rubric.POLICIES["part1_mlp"], rollout)
    result = replace(result, flags=flags, rollouts={"part1_mlp": rollout})
    text, _ = shown(report({"ada": {"part1_mlp": result}}))
    flagged = stop in (Stop.MOST, Stop.TIME)
    assert bool(flags) == ("Points that are not certain enough" in text) == flagged
    assert ("points not certain" in text) == flagged


@pytest.mark.parametrize(
    "reason, kind",
    [
        ("it took longer than 30 s", "timed out"),
        ("the kernel no longer answered", "timed out"),
        ("the kernel died", "kernel died"),
        ("its outputs are larger than 10 MB", "too much output"),
        ("it filled the folder of its sockets", "stopped for another reason"),
    ],
)
def test_notebooks_that_were_stopped_are_counted_by_kind(reason, kind):
    result = graded("part1_mlp", stopped=reason)
    assert f"1 {kind}" in shown(report({"ada": {"part1_mlp": result}}))[0]


def test_a_students_name_leads_to_the_page_in_the_folder_of_that_name():
    page = report({"ann lee#1": everything()})
    address = next(
        attributes["href"]
        for tag, attributes in shown(page)[1]
        if tag == "a" and "feedback/" in attributes["href"]
    )
    assert address == "feedback/ann%20lee%231/pusht/feedback.html"


@needs_chromium
def test_on_a_phone_the_page_is_no_wider_than_the_screen(hostile, tmp_path):
    long = everything(sentence="A" * 600 + " Hint: " + "b" * 300)
    ours = (
        feedback(long),
        report(
            {"a" * 100: long, **{f"student{i}@university.example": everything() for i in range(30)}}
        ),
    )
    addresses = [(tmp_path / f"{i}.html").as_uri() for i in range(4)]
    for i, page in enumerate((*hostile, *ours)):
        (tmp_path / f"{i}.html").write_text(page, encoding="utf-8")
    with chromium_page(addresses[0]) as opened:
        for address in addresses:
            opened.goto(address)
            for width in (360, 1200):
                opened.set_viewport_size({"width": width, "height": 800})
                assert opened.evaluate("document.documentElement.scrollWidth") <= width, (
                    address,
                    width,
                )


def test_a_stage_that_nobody_spent_time_in_is_shown_as_none():
    first, second = graded("part1_mlp", seconds={}), graded("part2_cvae", seconds={"evidence": 0.0})
    assert "evidence 0.0 s" in shown(report({"ada": {"part1_mlp": first, "part2_cvae": second}}))[0]


def test_of_a_large_class_no_page_is_larger_and_everybody_is_on_one(monkeypatch):
    monkeypatch.setattr(page_module, "ON_PAGE", 2)
    names = [f"s{n}" for n in range(5)]
    results = {name: {"part1_mlp": graded("part1_mlp", name)} for name in names}
    people = {name: Someone(name, name=f"Name {name}") for name in names}
    people |= {f"x{n}": Someone(f"x{n}", reason="Handed in nothing.") for n in range(3)}
    remarks = [(name, "part1_mlp", f"Look at {name}.") for name in names]
    course = Course(Path("Robots"), "", 1, "", 1)
    pages = class_page(course, results, {}, {}, [], remarks, people=people)
    flags = int(re.search(r"Flags · (\d+)", shown(pages["report.html"])[0])[1])
    lists = {"students": 3, "flags": (flags + 1) // 2, "absent": 2}
    assert {*pages} == {"report.html"} | {
        f"report/{name}-{number}.html"
        for name, count in lists.items()
        for number in range(2, count + 1)
    }
    for name in names:
        having = [path for path in pages if f"feedback/{name}/" in pages[path]]
        assert len(having) == 1 and sum(f"Look at {name}." in page for page in pages.values()) == 1
        assert ("../feedback" in pages[having[0]]) == having[0].startswith("report/")
    links = {tag[1]["href"] for tag in shown(pages["report.html"])[1] if tag[0] == "a"}
    assert {*pages} - {"report.html"} <= links
