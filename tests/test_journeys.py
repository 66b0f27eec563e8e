"""A term by the commands of docs/instructors.md and of docs/colab.md, from the first to the last.
That of docs/hub.md is in test_hub.py, on a real hub.
"""

import csv
import io
import json
import random
import re
import subprocess
import zipfile

import pytest
from exports import ANSWERED, STUDENT, unzipped, write_export, zipped
from journeys import Reader, block, follow, page, steps
from test_repair import as_colab_saves_it

from score import rubric
from score.course.notebooks.solutions import reference_path

LMS = page("instructors.md", "## What is protected, and what is not")
COLAB = page("colab.md", "## Tests without an account")
PART = rubric.PARTS["part1_mlp"]
WEIGHTS = reference_path(PART.policies[0], "shipped")
# What the page names that is written by hand, or only in a course of one assignment.
OF_OTHER_COURSES = {"late.py", "gradescope.zip", "originals/STUDENT/"}
ROSTER = """\
Student,ID,SIS User ID,SIS Login ID,Section,imitation (77),generation (78)
    Points Possible,,,,,,
"Doe, Jane",101,u1,jdoe,01,,
"Núñez, José",102,u2,jnunez,01,,
李雷,103,u3,lilei,02,,
"Roe, Richard",104,u4,rroe,02,,
"""


def pages_of(course):
    return [*csv.DictReader(io.StringIO((course / "grades.csv").read_text(encoding="utf-8")))]


class LmsTerm:
    """What people do in the term of docs/instructors.md, in a folder."""

    def __init__(self, folder):
        self.folder, self.course, self.export = folder, folder / "mycourse", folder / "canvas.zip"
        self.words = {"EXPORT": self.export, "STUDENT": "101"}
        self.deeds = [
            ("python -m score course release", lambda: None),
            ("python -m score course release", self.say_what_it_is),
            ("python -m score course collect", self.hand_in),
            ("cd mycourse", self.note_the_table),
        ]

    def say_what_it_is(self):
        """Write the page's course.toml, with the secret that was drawn, and the roster."""
        path = self.course / "course.toml"
        (secret,) = re.findall('^secret = ".*"', path.read_text(), re.MULTILINE)
        text = re.sub("secret = .*", secret, block(LMS, "toml"))
        path.write_text(re.sub("episodes = .*", "episodes = 2", text), encoding="utf-8")
        (self.course / "roster.csv").write_text(ROSTER, encoding="utf-8")

    def hand_in(self):
        """Jane hands in Part I, José an open Part III, 李雷 a PDF, and Richard nothing."""
        right = zipped({"part1_mlp.ipynb": ANSWERED[PART.name], WEIGHTS.name: WEIGHTS.read_bytes()})
        files = {
            "doejane_101_901_hand_in.zip": right,
            "núñezjosé_102_902_part3_ddpm.ipynb": STUDENT["part3_ddpm"],
            "李雷_103_903_report.pdf": b"%PDF",
        }
        write_export(self.folder, files, self.export.name)

    def note_the_table(self):
        self.table = (self.course / "grades.csv").read_bytes()

    def check(self, said):
        """AssertionError where a command said or left something else than the page says."""
        preview = said["python -m score course collect mycourse EXPORT --preview"]
        assert "taken 2, incomplete 0, nothing usable 1" in preview, preview
        assert "Nothing was written" in preview
        assert "nothing has changed" in said["python -m score course grade mycourse"]
        again = said["python -m score course grade mycourse --student STUDENT --part part1_mlp"]
        assert "1 notebooks to grade" in again
        assert (self.course / "grades.csv").read_bytes() == self.table
        assert "101" in (self.course / "nbgrader.csv").read_text(encoding="utf-8")
        jane, jose, lei, richard = pages_of(self.course)
        assert float(jane["Q1.1"]) == 1 and jane["total"] and jose["Q3.1"] == "0.00"
        assert "report.pdf" in lei["note"] and richard["note"] == "Handed in nothing."
        exported = self.course / "export" / "canvas"
        assert "imitation (77)" in (exported / "grades.csv").read_text(encoding="utf-8")
        for name, page_of in (
            ("imitation", "doejane_101_901"),
            ("generation", "núñezjosé_102_902"),
        ):
            assert [*unzipped(exported / f"feedback-{name}.zip")] == [f"{page_of}_feedback.html"]
        assert len([*self.course.glob("gradescope*.zip")]) == 2
        named = {*re.findall(r"`mycourse/([^`]+)`", LMS)} - OF_OTHER_COURSES
        for path in sorted(named):
            for word in (("ASSIGNMENT", "imitation"), ("STUDENT", "101"), ("PART", "part1_mlp")):
                path = path.replace(*word)
            assert any(self.course.glob(path)), f"the course has no {path}"


@pytest.mark.parametrize("deed, left", [("b", False), ("c", False), ("a", True), ("d", True)])
def test_a_page_is_followed_in_order_and_a_deed_without_a_command_is_seen(tmp_path, deed, left):
    text = (
        "```\necho a  # first\n```\n```toml\nx = 1\n```\n```bash\nmkdir N && cd N\necho b > c\n```"
    )
    assert steps(text) == ["echo a", "mkdir N", "cd N", "echo b > c"]
    reader, begun = Reader(tmp_path, {"N": "folder"}), []
    deeds = [
        ("mkdir", lambda: None),
        ({"a": "echo a", "b": "echo b", "c": "cd"}.get(deed, deed), lambda: begun.append(1)),
    ]
    if left:
        with pytest.raises(AssertionError, match="no command begins with"):
            follow(steps(text), reader, deeds)
    else:
        follow(steps(text), reader, deeds)
        assert begun == [1] and reader.said["echo a"] == "a\n"
        assert (tmp_path / "folder" / "c").read_text() == "b\n"


@pytest.mark.long
def test_a_term_on_an_lms(tmp_path):
    term = LmsTerm(tmp_path)
    reader = Reader(tmp_path, term.words)
    follow(steps(LMS), reader, term.deeds)
    term.check(reader.said)


@pytest.mark.long
def test_a_term_in_colab(tmp_path, monkeypatch):
    """GitHub is a folder, by a setting of git's; Colab saves a notebook as it does."""
    config, repository = tmp_path / "gitconfig", tmp_path / "github" / "owner" / "repo"
    config.write_text(
        f'[url "{(tmp_path / "github").as_uri()}/"]\n insteadOf = https://github.com/\n'
        "[user]\n name = Instructor\n email = instructor@example.org\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", repository], check=True)
    course, export = tmp_path / "mycourse", tmp_path / "HW1-20260301T113005Z-001.zip"
    reader = Reader(tmp_path, {"EXPORT": export, "OWNER": "owner", "REPO": "repo"})
    address = reader.filled_in(block(COLAB, "toml"))

    def name_the_address():
        text = (course / "course.toml").read_text(encoding="utf-8")
        text = text.replace('bundle = ""\n', address).replace("episodes = 8000", "episodes = 2")
        (course / "course.toml").write_text(text, encoding="utf-8")

    def open_and_hand_in():
        published = tmp_path / "published"
        subprocess.run(["git", "clone", "-q", repository, published], check=True)
        assert {path.name for path in published.iterdir()} == {".git", "notebooks", "pusht-kit.zip"}
        with zipfile.ZipFile(published / "pusht-kit.zip") as kit:
            assert "pusht/__init__.py" in kit.namelist()
            assert not [name for name in kit.namelist() if name.startswith("score/course/")]
        text = (published / "notebooks" / "part1_mlp.ipynb").read_text(encoding="utf-8")
        assert "BEGIN SOLUTION" not in text and address.split('"')[1] in text
        link = "https://colab.research.google.com/github/OWNER/REPO/blob/main/notebooks/part1_mlp.ipynb"
        assert link in COLAB and reader.filled_in(link) in text
        notebook = json.loads(text)
        answers = {cell["id"]: cell["source"] for cell in json.loads(ANSWERED[PART.name])["cells"]}
        for cell in notebook["cells"]:
            if not cell["id"].endswith(("-setup", "-text1")):
                cell["source"] = answers.get(cell["id"], cell["source"])
        as_colab_saves_it(notebook, random.Random(0), PART)
        files = {"part1_mlp.ipynb": json.dumps(notebook), WEIGHTS.name: WEIGHTS.read_bytes()}
        hand_in = {"HW1/Ann Lee - hand_in_part1_mlp.zip": zipped(files)}
        write_export(tmp_path, hand_in | {"HW1/Bo - Copy of part1_mlp.ipynb": text}, export.name)

    deeds = [
        ("python -m score course release", name_the_address),
        ("python -m score course collect", open_and_hand_in),
    ]
    follow(steps(COLAB), reader, deeds)
    assert "Nothing is wrong" in reader.said["python -m score course check mycourse"]
    ann, bo = pages_of(course)
    assert [ann[f"Q1.{n}"] for n in (1, 2, 3)] == ["1.00", "2.00", "2.00"] and float(ann["mlp"]) > 0
    assert bo["total"] == "0.00"
    assert (course / "export" / "csv" / "grades.csv").is_file()
    assert {*unzipped(course / "export" / "csv" / "feedback-pusht.zip")} == {
        "Ann-Lee/feedback.html",
        "Bo/feedback.html",
    }
