"""Submissions out of an LMS export into a course: whose they are, what is taken, what replaces
what.

The export is a zip or a folder. Whose a file is, is read off its path in the export (`PATTERNS`):

    Moodle      Ann Lee_1234567_assignsubmission_file_/…    student 1234567
    Canvas      leeann_12345_67890_…, leeann_LATE_12345_…   student 12345
    Gradescope  submission_1/…, submission_metadata.yml     each submitter's e-mail address, else
    the student number folders     STUDENT/… and STUDENT.zip files       STUDENT_part1_mlp.ipynb

Another pattern is a regular expression that is matched from the path's start, with a group
`student`; a zip counts as a folder.

Taken are the files that the rubric names, each up to the size in `CAPS`, from any folder of the
student's: what `score.submission.archive` says, whose zips students pack with `python -m score
submission pack`. A manifest in it is not believed; a run in exp/mse or exp/flow counts where the
files of Part IV are not there under their own names. Everything else stays where it is, and nothing
is unpacked to a path that an export names. Notebooks are repaired. In the course's folder:

    submitted/STUDENT/pusht/   what is graded, with timestamp.txt
    incomplete/STUDENT/        instead, where no notebook came that can be read: nbgrader stops at a
    submission without any originals/STUDENT/         the notebooks as they came
    repairs/STUDENT.json       for each part: when it came, from where, its repairs, or why its
    notebook cannot be read replaced/STUDENT/TIME/     the submission as it was before a later
    upload

Where an upload is newer than what there is of a part, its files replace those of the same names.
What it has not stays: each part may have an assignment of its own, and some students send what they
forgot. A notebook that cannot be read replaces none.

Where there are src/ and exp/ of the script assignment and no notebook of Part IV, one is written
(`script_notebook`), and what a box will load for it goes into part4_script.zip, unopened. Such a
hand-in is replaced as a whole.
"""

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

import nbformat
import yaml
from nbgrader.utils import parse_utc

from pusht.checkpoint import SUFFIX
from score import rubric
from score.course.collect import hw1_notebook
from score.course.collect.repair import RepairError, repair
from score.course.notebooks.build import write
from score.course.settings import ASSIGNMENT, CourseError, open_course
from score.hw1 import layout
from score.submission import archive
from score.submission.archive import CAPS, MB, NOISE, WANTED, Refused, listed, wanted_name
from score.submission.archive import STUDENT_CAP as _STUDENT_CAP
from score.submission.archive import utc as _utc

_METADATA, _METADATA_CAP = "submission_metadata.yml", 100 * MB

PATTERNS = {
    "Moodle": r"[^/]*?_(?P<student>\d+)_assignsubmission_file",
    "Gradescope": r"(?P<student>submission_\d+)/",
    "Canvas": r"[^/_]+_(?:LATE_)?(?P<student>\d+)_(?:LATE_)?\d+_(?:[^/]+(?i:\.zip)/|[^/]+$)",
    "folders": r"(?P<student>[^/]+?)(?:(?i:\.zip)(?:/|$)|/)",
    "files": r"(?:Copy of )*(?P<student>[^/]+?)[ _-]+part\d_[^/]+$",
}
_STUDENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}(?<!\.)")


class _Export(archive.Export):
    """An LMS export, open for reading."""

    def __enter__(self):
        try:
            return super().__enter__()
        except archive.HandInError as error:
            raise CourseError(str(error)) from None


@dataclass
class Upload:
    """What an export has of one student; with `student` None, remarks on what belongs to nobody.

    source: layout and place in the export. timestamp: UTC. files: {name in the course: `File`}.
    parts: {part: "new", "newer", "unchanged", "again" (the same files, but the release has changed)
    or "older"}. remarks: sentences on what was left out, what was chosen, what stays from before.
    """

    student: str | None
    source: str
    timestamp: datetime | None = None
    files: dict = field(default_factory=dict)
    parts: dict = field(default_factory=dict)
    remarks: list = field(default_factory=list)

    @property
    def taken(self):
        """The parts that collecting writes."""
        return [part for part, state in self.parts.items() if state in ("new", "newer", "again")]

    def of(self, part):
        return {name: file for name, file in self.files.items() if layout.part_of(name) == part}


@dataclass(frozen=True)
class File:
    """A file that is taken: where it is, its SHA-256, and (UTC) when the upload that it is in was
    made.
    """

    entry: "archive.Entry"
    sha256: str

    @property
    def received(self):
        return self.entry.received


def plan(course, path, pattern=None):
    """What collecting would do: a list of `Upload`, in the students' order. Nothing is written.

    pattern: in place of `PATTERNS`. CourseError when the export or the pattern cannot be used.
    """
    with _Export(path) as export:
        whose, lms, nobody = _whose(export, pattern)
        release, uploads = _release(course), []
        folders = {
            folder.name for folder in (course.folder / "submitted").glob("*") if folder.is_dir()
        }
        for student, entries in sorted(whose.items()):
            alike = [
                other
                for other in {*whose, *folders} - {student}
                if other.casefold() == student.casefold()
            ]
            if not _STUDENT.fullmatch(student):
                nobody.append(
                    f"{student!r} cannot name a student's folder, letters, digits and . _ @ - can:"
                    f" {listed(entries)}."
                )
            elif alike:
                nobody.append(
                    f"{student!r} and {min(alike)!r} would share a folder on some machines:"
                    f" {listed(entries)}."
                )
            else:
                uploads.append(_upload(course, export, release, student, lms, entries))
    return uploads + ([Upload(None, str(path), remarks=nobody)] if nobody else [])


def collect(course, path, pattern=None, uploads=None):
    """Write what `plan` tells (or `uploads`, which it told) into the course.

    Return [(`Upload`, its record as in repairs/STUDENT.json)] of what was written.
    """
    uploads, release = plan(course, path, pattern) if uploads is None else uploads, _release(course)
    with _Export(path) as export:
        return [
            (upload, _write(course, export, release, upload)) for upload in uploads if upload.taken
        ]


def run_collect(folder, path, pattern=None, preview=False):
    """For the command line: print the plan and, unless it is a preview, write it and print the
    repairs.
    """
    course = open_course(folder)
    uploads = plan(course, path, pattern)
    print(format_plan(uploads))
    if preview:
        print("Nothing was written: this was a preview.")
        return
    written = collect(course, path, pattern, uploads)
    for upload, record in written:
        for part in upload.taken:
            told = record["parts"][part]
            for sentence in ([told["refused"]] if told["refused"] else []) + told["repairs"]:
                print(f"{upload.student}, {part}: {sentence}")
    print(
        f"{len(written)} submissions were written to {course.folder}: submitted/, and what was"
        " repaired, repairs/."
    )


def format_plan(uploads):
    """The plan as text: a line a student, then the remarks on it."""
    lines = []
    width = max([len(upload.student) for upload in uploads if upload.student], default=0)
    for upload in uploads:
        if upload.student:
            parts = (
                ", ".join(f"{part} {state}" for part, state in upload.parts.items())
                or "nothing that the course asks for"
            )
            lines.append(
                f"{upload.student:<{width}}  {_stamp(upload.timestamp)}  {parts}  ({upload.source})"
            )
        else:
            lines.append("Not taken:")
        lines += [f"    {remark}" for remark in upload.remarks]
    return "\n".join(lines or ["There is no submission in it."])


# Whose a file is.


def _whose(export, pattern):
    """({student: entries}, the layout's name, sentences on entries of nobody's)."""
    whose, lost, entries = (
        {},
        [],
        [entry for entry in export.entries if not NOISE.search(entry.path)],
    )
    if pattern:
        lms, patterns = "by your pattern", [_compiled(pattern)]
    else:
        entries = _unwrapped(entries) if export.archive else entries
        lms = _layout([entry.path for entry in entries])
        patterns = [
            re.compile(PATTERNS[name])
            for name in ([lms] if lms in PATTERNS else ["folders", "files"])
        ]
    submitters = _submitters(export, entries) if lms == "Gradescope" else None
    for entry in entries:
        found = next(
            (match["student"] for match in (p.match(entry.path) for p in patterns) if match), None
        )
        students, received = ([found] if found else [], entry.received)
        if submitters is not None:
            students, received = submitters.get(found, ([], received))
        for student in students:
            whose.setdefault(student, []).append(replace(entry, received=received))
        if not students and entry.path != _METADATA:
            lost.append(entry)
    return whose, lms, [f"Nothing says whose these are: {listed(lost)}."] if lost else []


def _compiled(pattern):
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise CourseError(f"The pattern {pattern!r} is no regular expression: {error}.") from None
    if "student" not in compiled.groupindex:
        raise CourseError(
            f"The pattern {pattern!r} has no group for the student: write (?P<student>…)."
        )
    return compiled


def _unwrapped(entries):
    """The entries of a zip without the one folder that holds all of them, where it is no student's:
    what is in a student's folder must not say whose it is.
    """
    tops, inner = (
        {entry.path.partition("/")[0] for entry in entries},
        [entry.path.partition("/")[2] for entry in entries],
    )
    if len(tops) != 1 or not all(inner) or _layout([entry.path for entry in entries]) in PATTERNS:
        return entries
    deeper = all("/" in path for path in inner) and {path.partition("/")[0] for path in inner} != {
        ASSIGNMENT
    }
    if min(tops).lower().endswith(".zip") or not (
        deeper or re.fullmatch(r"assignment_\d+_export", min(tops))
    ):
        return entries
    return [replace(entry, path=path) for entry, path in zip(entries, inner)]


def _layout(paths):
    if _METADATA in paths:
        return "Gradescope"
    found = [
        name
        for name in ("Moodle", "Canvas")
        for path in paths
        if re.match(PATTERNS[name], path) and (wanted_name(path) or layout.names_code(path))
    ]
    return found[0] if found else "folders and files"


def _submitters(export, entries):
    """{folder of a Gradescope submission: (ids of its submitters, when it was handed in)}."""
    entry = next(entry for entry in entries if entry.path == _METADATA)
    try:
        document = yaml.load(
            export.read(entry, _METADATA_CAP), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        )
        found = {}
        for folder, told in document.items():
            names = [
                [str(person.get(key) or "") for key in (":email", ":sid", ":name")]
                for person in told[":submitters"]
            ]
            ids = [
                next(
                    (name for name in known if _STUDENT.fullmatch(name)),
                    next(filter(None, known), "?"),
                )
                for known in names
            ]
            found[folder] = (
                ids,
                (_parsed(told[":created_at"]) if told.get(":created_at") else entry.received),
            )
        return found
    except (
        Refused,
        yaml.YAMLError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        raise CourseError(
            f"{_METADATA} of the export cannot be read ({type(error).__name__}:"
            f" {str(error)[:200]})."
        ) from None


# What is taken of a student's files.


def _upload(course, export, release, student, lms, entries):
    """The `Upload` of a student's entries: of each wanted name the best, read once for its digest."""
    candidates, room, packed = archive.ranked(entries), _STUDENT_CAP, layout.PACKED_CAP
    found = layout.layout(entries)
    if found.files and (f"{layout.PART}.ipynb" in candidates or _own_notebook(course, student)):
        found = found.not_used()
    told = {entry.path for entry in (*found.files.values(), *found.beside, *found.left)}
    left = [
        *found.left,
        *(
            _explained(entry)
            for entry in entries
            if entry.path not in told
            and (entry.refusal or not (wanted_name(entry.path) or archive.beside(entry.path)))
        ),
    ]
    places = ", ".join(dict.fromkeys(entry.path.partition("/")[0] for entry in entries))
    upload = Upload(student, f"{lms}: {places[:200]}", max(entry.received for entry in entries))
    for name, ranked in [
        *candidates.items(),
        *((name, [entry]) for name, entry in found.files.items()),
    ]:
        for entry in ranked:
            try:
                content = export.read(entry, _cap(name))
                if len(content) > room:
                    raise Refused(f"the submission would be larger than {_STUDENT_CAP // MB} MB")
                if name in found.files and len(content) > packed:
                    raise Refused(
                        f"src/ and the models would be larger than {layout.PACKED_CAP // MB} MB"
                    )
            except Refused as refused:
                left.append(replace(entry, refusal=str(refused)))
                continue
            upload.files[name] = File(entry, hashlib.sha256(content).hexdigest())
            room -= len(content)
            packed -= len(content) if name in found.files else 0
            if name in candidates and (
                why := archive.choice(
                    name, entry, [other for other in ranked if other is not entry]
                )
            ):
                upload.remarks.append(why)
            break
    if found.files:
        upload.remarks.append(str(found))
    if upload.files:
        upload.timestamp = max(file.received for file in upload.files.values())
    if left:
        upload.remarks.append(f"Left out: {listed(left)}.")
    for part in dict.fromkeys(map(layout.part_of, upload.files)):
        upload.parts[part] = _state(course, release, upload, part)
        gone = {*upload.files, *_given(course, student, part), *_outdated(course, upload, part)}
        stays = sorted(_there(course, student, part) - gone)
        if stays and part in upload.taken:
            upload.remarks.append(f"Stays from before: {', '.join(stays)}.")
    return upload


def _cap(name):
    return CAPS[os.path.splitext(name)[1].lower()]


def _explained(entry):
    """An entry that is left out, with the reason where the student can do something about it."""
    pickled = archive.is_pickle(entry.path) and not entry.refusal
    return (
        replace(entry, refusal="a pickle, which is never opened: ask for .safetensors")
        if pickled
        else entry
    )


def _home(course, student):
    """The folder of a student's submission, which need not be there yet."""
    graded, incomplete = (
        course.folder / "submitted" / student / ASSIGNMENT,
        course.folder / "incomplete" / student,
    )
    return incomplete if incomplete.is_dir() and not graded.is_dir() else graded


def _there(course, student, part):
    """The names of the files that the course has of a student's part."""
    folders = [_home(course, student), course.folder / "originals" / student]
    return {
        name
        for name in WANTED
        if WANTED[name] == part and any((folder / name).exists() for folder in folders)
    }


def _given(course, student, part):
    """The names of the files that the kit wrote for a hand-in of the script assignment."""
    return _record(course, student)["parts"].get(part, {}).get("given", [])


def _outdated(course, upload, part):
    """The names of what an upload takes away of an earlier hand-in of the script assignment:
    another such all, a notebook what the kit wrote.
    """
    given, files = _given(course, upload.student, part), upload.of(part)
    another = not {*files} <= {*WANTED}
    if not given or not (another or f"{part}.ipynb" in files):
        return set()
    return {*given, *(_record(course, upload.student)["parts"][part]["files"] if another else ())}


def _own_notebook(course, student):
    """Whether the course has a notebook of Part IV that is the student's own, and can be graded."""
    home = _home(course, student)
    return (home / f"{layout.PART}.ipynb").exists() and not (home / layout.PACKED).exists()


def _state(course, release, upload, part):
    """How what an upload has of a part stands to what the course has: see `Upload`."""
    if not _there(course, upload.student, part):
        return "new"
    told, files = _record(course, upload.student)["parts"].get(part), upload.of(part)
    fewer = (
        told
        and not {*files} <= {*WANTED}
        and {name for name in told["files"] if name not in WANTED} - {*files}
    )
    if (
        told
        and not fewer
        and all(
            told["files"].get(name, {}).get("sha256") == file.sha256 for name, file in files.items()
        )
    ):
        return "unchanged" if told.get("release", release[part][1]) == release[part][1] else "again"
    since = _parsed(told["timestamp"]) if told else _timestamp(_home(course, upload.student))
    return "newer" if max(file.received for file in files.values()) > since else "older"


def _timestamp(folder):
    """When a submission was handed in: as its timestamp.txt says, else its files' dates."""
    try:
        return _parsed((folder / "timestamp.txt").read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        return max((_utc(file.stat().st_mtime) for file in folder.glob("*")), default=_utc(0))


def _release(course):
    """{part: (its released notebook, a digest of it)}."""
    found = {}
    for part in rubric.PARTS:
        path = course.folder / "release" / ASSIGNMENT / f"{part}.ipynb"
        if not path.exists():
            raise CourseError(
                f"There is no {path}: run `python -m score course release {course.folder}` first."
            )
        content = path.read_bytes()
        found[part] = (
            nbformat.reads(content.decode("utf-8"), as_version=4),
            hashlib.sha256(content).hexdigest(),
        )
    return found


def _record(course, student):
    path = course.folder / "repairs" / f"{student}.json"
    return (
        json.loads(path.read_text(encoding="utf-8"))
        if path.exists()
        else {"student": student, "parts": {}}
    )


# Writing.


def _write(course, export, release, upload):
    """Write one student's submission, its originals and its record; what was there before is kept."""
    student, home, originals = (
        upload.student,
        _home(course, upload.student),
        course.folder / "originals" / upload.student,
    )
    record, path, keep = (
        _record(course, student),
        course.folder / "repairs" / f"{student}.json",
        None,
    )
    outdated = {part: _outdated(course, upload, part) for part in upload.taken}
    if any(outdated.values()) or any(
        {*upload.of(part)} & _there(course, student, part) for part in upload.taken
    ):
        keep = _free(course.folder / "replaced" / student, f"{_timestamp(home):%Y-%m-%d_%H%M%S}")
    names = {name for part in upload.taken for name in upload.of(part)}.union(*outdated.values())
    new, new_originals = _beside(home, names), _beside(originals, names)
    for part in upload.taken:
        told = record["parts"].setdefault(
            part, {"files": {}, "repairs": [], "refused": f"{part}.ipynb was not handed in."}
        )
        told |= {
            "timestamp": _stamp(max(file.received for file in upload.of(part).values())),
            "source": upload.source,
        }
        before, gone, packed = dict(told), {*outdated[part], *upload.of(part)}, {}
        told["given"] = [name for name in told.get("given", []) if name not in gone]
        if outdated[part]:
            told["files"] = {
                name: file
                for name, file in told["files"].items()
                if name in WANTED and name not in gone
            }
        for name, file in upload.of(part).items():
            content = _read_again(export, name, file)
            told["files"][name] = {
                "from": file.entry.path,
                "received": _stamp(file.received),
                "sha256": file.sha256,
            }
            if name == f"{part}.ipynb":
                _put(new_originals / name, content)
                _write_notebook(new / name, content, file, release[part], home / name, told)
            elif name in WANTED:
                _put(new / name, content)
            else:
                packed[name] = content
        if packed:
            _write_script(new, packed, release[part], told)
        elif (
            outdated[part] and told["refused"]
        ):  # the notebook that was to replace it cannot be read
            told |= {"given": before["given"], "files": before["files"] | told["files"]}
            for name in {*before["given"]} - {path.name for path in new.iterdir()}:
                shutil.copy2(home / name, new / name)
    record["remarks"] = upload.remarks
    _put(
        new / "timestamp.txt",
        _stamp(max(_parsed(told["timestamp"]) for told in record["parts"].values())).encode(),
    )
    if keep and path.exists():
        _put(keep / "repairs.json", path.read_bytes())
    graded = course.folder / "submitted" / student / ASSIGNMENT
    goal = (
        graded
        if graded.is_dir() or any(new.glob("*.ipynb"))
        else course.folder / "incomplete" / student
    )
    _swap(new_originals, originals, originals, keep and keep / "originals")
    _swap(new, home, goal, keep and keep / ASSIGNMENT)
    _put(path, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    return record


def _read_again(export, name, file):
    try:
        content = export.read(file.entry, _cap(name))
    except Refused:
        content = b""
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise CourseError(f"{file.entry.path} has changed since it was looked at: collect again.")
    return content


def _write_notebook(path, content, file, release, before, told):
    """Write the notebook repaired, or where that cannot be the one that was there before; tell the
    record.
    """
    told["release"], told["refused"] = release[1], None
    try:
        notebook, told["repairs"] = repair(content, release[0])
        write(notebook, path)
    except RepairError as error:
        told["refused"] = f"{path.name} of {_stamp(file.received)} cannot be graded. {error}"
        if before.exists():
            shutil.copy2(before, path)
            told["refused"] += " The one before it is graded."


def _write_script(new, packed, release, told):
    """Write what a hand-in of the script assignment is graded by; tell the record."""
    hand_ins = {
        name: (new / name).read_bytes()
        for name in WANTED
        if name.endswith(SUFFIX) and (new / name).is_file()
    }
    given = hw1_notebook.files(packed, hand_ins)
    for name, content in given.items():
        _put(new / name, content)
    write(hw1_notebook.notebook(release[0]), new / f"{layout.PART}.ipynb")
    told |= {
        "release": release[1],
        "refused": None,
        "repairs": [hw1_notebook.REPAIR],
        "given": [
            f"{layout.PART}.ipynb",
            *(name for name, content in given.items() if hand_ins.get(name) != content),
        ],
    }


def _beside(folder, replaced):
    """A copy of a folder beside it, without the files named in `replaced`."""
    new = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(new, ignore_errors=True)
    if folder.is_dir():
        shutil.copytree(
            folder,
            new,
            symlinks=True,
            ignore=lambda at, names: replaced & {*names} if Path(at) == folder else (),
        )
    new.mkdir(parents=True, exist_ok=True)
    return new


def _swap(new, folder, goal, keep):
    """Make `new` the folder `goal`, in place of `folder`, which is kept as `keep` or, where that is
    None, goes.
    """
    old = keep or folder.with_name(f".{folder.name}.old")
    for path in (old, goal):
        path.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        folder.rename(old)
    new.rename(goal)
    if not keep:
        shutil.rmtree(old, ignore_errors=True)


def _free(folder, name):
    names = [name, *(f"{name}_{count}" for count in range(2, 1000))]
    return next(folder / name for name in names if not (folder / name).exists())


def _put(path, content):
    """Write a file beside its place and rename it, so that no half of it is ever seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def _stamp(when):
    """As nbgrader reads times."""
    return when.strftime("%Y-%m-%d %H:%M:%S UTC")


def _parsed(text):
    return parse_utc(text).replace(tzinfo=timezone.utc, microsecond=0)
