"""Twins: hand-ins that are alike, listed for a person to judge. No grade rests on it.

    for twin in find(course):
        print(*twin.students, twin.sentence)

Weights are compared with each other and with every reference checkpoint of the kit. Alike is not
copied: the notebooks set one training seed for all, and on one kind of machine equivalent code ends
in the very same weights, however it is written (measured, see `_NEAR`). So a sentence says which
seeds are stated, and what such a training does not explain.

Answers are compared with each other and with the kit's solutions, as syntax trees in which names
that the answer binds, layout, comments, docstrings and annotations do not count, nor the release's
own text. Chance makes short answers equal and common ones too; `_SHORT` and `_LONG` say which are
counted. Code is read and never run. Answers in words are compared word by word.

A group makes few lines: a student is listed with the one before, in alphabetical order, who is most
alike, and with the kit. Where that would make more lines than `_few`, there is one for the whole
group.

What a determined student can still do: permute a network's hidden units, reorder an answer's
statements, put part of it into a cell of his own.
"""

import ast
import builtins
import functools
import hashlib
import json
import keyword
import math
import re
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pusht.checkpoint import SUFFIX, CheckpointError, load_checkpoint
from score import rubric
from score.course.collect.repair import MAX_BYTES
from score.course.notebooks.build import answered_notebook, parts_with_source, student_notebook
from score.course.settings import ASSIGNMENT
from score.course.tools.reference import REFERENCE

KIT = "the kit's solution"

# Weights are near whose distance ||a - b|| is under this share of the longer. Measured, where not
# said otherwise of full trainings: another training seed                              MLP 0.78 and
# more, CVAE 1.2, DDPM 1.03, Part IV 1.3 the same seed, other demonstrations                MLP 0.21
# to 0.24, CVAE 0.47 to 0.87, DDPM 0.24 to 0.26, Part IV 0.97 and more the same seed, an equal loss
# written otherwise     MLP and MSE 0, bit for bit (same machine, one thread) and other roundings on
# the way                   MLP 6e-7 (120 epochs), flow matching 0.64 a run and its earlier state
# MLP, 156 epochs 0.10; Part IV, 15 epochs 0.03 to 0.06, 63 epochs 0.11 to 0.17 a copy rounded to
# half precision                   0.00021 to 0.00022
_NEAR, _ROUNDING = 0.15, 0.0003
_SKETCH, _PIECE = 1024, 2**20
# Sizes of answers, in nodes of the syntax tree beyond the release's. Two of _SHORT that few share
# are listed, or one of _LONG. In the kit's solutions: Q1.1 8, Q1.2 15, Q1.3 19, Q2.1 to Q2.4 19 to
# 32, Q3.1 56, Q3.2 102, Q3.3 43, Q3.4 47, Q4.1 64, Q4.2 118, Q4.3 with Q4.4 178. Of a loss in one
# line: 2 to 11.
_SHORT, _LONG = 15, 80
_MAX_CODE = 50_000  # characters of a cell


@dataclass(frozen=True)
class Twin:
    """Two hand-ins that are alike.

    kind: "weights" or "answers". what: name of the policy or of the part. students: two of them, or
    one and what of the kit it is like. likeness: from 0 to 1, which is the same. sentence: for the
    instructor, what is alike and how much.
    """

    kind: str
    what: str
    students: tuple
    likeness: float
    sentence: str


def find(course, students=None):
    """The twins among the submissions of a `Course`, weights first, in the rubric's and in
    alphabetical order.

    students: those compared; all who handed in when left out. Files that cannot be read are passed
    over: grading says why.
    """
    students = sorted(course.students() if students is None else students)
    folders = {student: course.folder / "submitted" / student / ASSIGNMENT for student in students}
    twins = []
    for part in rubric.PARTS.values():
        for policy in part.policies:
            twins += sorted(_alike_weights(policy, folders), key=lambda twin: twin.students)
    for part in parts_with_source():
        twins += sorted(_alike_answers(part, course, folders), key=lambda twin: twin.students)
    return twins


def _few(folders):
    """How many of a class may have an answer that counts as rare, or be alike and have a line each:
    three, or one in twenty.
    """
    return max(3, len(folders) // 20)


def _lines(links, few):
    """(link, who else is in its group) of links (student, other, …), of which each student begins
    one at most.

    A group is what hangs together by links. Where it has more links than `few`, only its first
    comes.
    """
    first = {}
    for student, other, *_ in links:
        first[student] = first.get(other, other)
    sizes, told = Counter(first.values()), set()
    for link in links:
        group = first[link[0]]
        if sizes[group] <= few:
            yield link, []
        elif group not in told:
            told.add(group)
            yield (
                link,
                [
                    student
                    for student, name in first.items()
                    if name == group and student != link[0]
                ],
            )


def _and_others(students):
    """The end of the sentence of a group."""
    if not students:
        return "."
    shown = ", ".join(students[:10]) + (
        f" and {len(students) - 10} more" if len(students) > 10 else ""
    )
    return f". So it is with {len(students)} more: {shown}."


# Weights.


@dataclass(frozen=True)
class _Weights:
    """What is kept of a checkpoint: what its header states, and of its weights the layout (shapes),
    the length, a sketch.

    sketch (_SKETCH,): a random projection; the distance of two is that of the weights, to 2 % (one
    standard error).
    half: whether all numbers are ones of half precision. kit: whether it is one of the kit's
    references.
    """

    owner: str
    path: Path
    kit: bool
    layout: tuple
    length: float
    sketch: np.ndarray
    half: bool
    seed: int
    demonstrations: str
    losses: str


def _alike_weights(policy, folders):
    name = policy.name + SUFFIX
    found = [
        weights
        for student, folder in folders.items()
        if (weights := _weights(student, folder / name, policy))
    ]
    if found:
        kit = [
            _weights(f"the kit's reference, {path.parent.name}", path, policy, True)
            for path in sorted(REFERENCE.glob(f"*/{name}"))
        ]
        found = [*filter(None, kit), *found]
    layouts = defaultdict(list)
    for weights in found:
        layouts[weights.layout].append(weights)
    pairs = [pair for alike in layouts.values() for pair in _nearest(alike)]
    links = []
    for one, other, distance in _confirmed(pairs, policy):
        remark, expected = _remark(one, other, distance)
        links.append((one.owner, other.owner, distance, remark, (other.kit, expected)))
    for kind in {link[-1]: None for link in links}:
        for (student, other, distance, remark, _), more in _lines(
            sorted(link for link in links if link[-1] == kind), _few(folders)
        ):
            how = (
                f"differ by {100 * distance:.2g} % of their length"
                if distance
                else "are the same numbers"
            )
            pair = (student, other) if kind[0] else (other, student)
            yield Twin(
                "weights",
                policy.name,
                pair,
                1 - distance,
                f"{policy.title}: the weights {how}; {remark}{_and_others(more)}",
            )


def _weights(owner, path, policy, kit=False):
    """The `_Weights` of a hand-in file, None where it cannot be read."""
    try:
        checkpoint = load_checkpoint(path, policy.normalisation)
    except (CheckpointError, OSError):
        return None
    sketch, squares, half, signs = np.zeros(_SKETCH), 0.0, True, np.random.default_rng(0)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows has no length
        for piece in _pieces(checkpoint.weights):
            half &= np.array_equal(piece, piece.astype(np.float16))
            squares += piece @ piece
            signed = piece * (signs.integers(0, 2, len(piece), np.int8) * 2 - 1)
            sketch += np.bincount(np.arange(len(piece)) % _SKETCH, signed, _SKETCH)
    if not 0 < squares < math.inf:
        return None
    layout = tuple(tuple(checkpoint.weights[name].shape) for name in sorted(checkpoint.weights))
    losses = hashlib.sha256(json.dumps(checkpoint.losses).encode()).hexdigest()
    return _Weights(
        owner,
        path,
        kit,
        layout,
        math.sqrt(squares),
        sketch,
        half,
        checkpoint.seed,
        checkpoint.demonstrations,
        losses,
    )


def _pieces(weights):
    """The weights as float64 rows of bounded length, in the order of their names."""
    for name in sorted(weights):
        for piece in weights[name].flatten().split(_PIECE):
            yield piece.double().numpy()


def _nearest(weights):
    """(one, other) for each student's weights: the nearest of the students before, and of the kit,
    if the sketches are near.

    All are of one layout, the kit's first.
    """
    sketches, lengths = np.stack([w.sketch for w in weights]), np.array([w.length for w in weights])
    squares = np.einsum("ij,ij->i", sketches, sketches)
    distances = np.sqrt(
        np.maximum(squares[:, None] + squares - 2 * sketches @ sketches.T, 0)
    ) / np.maximum(lengths[:, None], lengths)
    kit = sum(w.kit for w in weights)
    for i in range(kit, len(weights)):
        for first, last in ((0, kit), (kit, i)):
            if first < last:
                j = first + int(
                    np.argmin(distances[i, first:last].round(6))
                )  # the first of equals, whatever the rounding
                if distances[i, j] < 1.2 * _NEAR:
                    yield weights[i], weights[j]


def _confirmed(pairs, policy):
    """(one, other, distance) of the pairs whose weights are near indeed: ||one - other||, in
    lengths of the longer.
    """

    def read(weights):
        return load_checkpoint(weights.path, policy.normalisation).weights

    others = {pair[1].path: pair[1] for pair in pairs}
    for path, other in others.items():
        theirs = read(other)
        for one in (pair[0] for pair in pairs if pair[1].path == path):
            squares = sum(
                float(d @ d) for d in map(np.subtract, _pieces(read(one)), _pieces(theirs))
            )
            distance = math.sqrt(squares) / max(one.length, other.length)
            if distance < _NEAR:
                yield one, other, distance


def _remark(one, other, distance):
    """What to make of near weights, and whether two honest trainings may well end so."""
    half = [weights.owner for weights in (one, other) if weights.half and not weights.kit]
    if half:
        return (
            (
                f"those of {' and '.join(half)} are in half precision, like the kit's references"
                " and unlike what the notebooks train"
            ),
            False,
        )
    if distance > (_ROUNDING if other.kit else 0) and one.losses == other.losses:
        return (
            (
                "the loss curves agree to the last digit and the weights do not, so one's were"
                " changed after the training"
            ),
            False,
        )
    if one.seed != other.seed:
        return (
            (
                f"they state other training seeds, {one.seed} and {other.seed}, from which such"
                " weights do not come"
            ),
            False,
        )
    if one.demonstrations != other.demonstrations:
        return "they state other demonstrations, from which weights as near do not come", False
    return (
        (
            f"both state training seed {one.seed}: with it, equivalent code on one kind of machine"
            " ends there by itself"
        ),
        True,
    )


# Answers.

_MARKED = re.compile(r"(?:#|<!--) \[(part\d/\w+)\]")
_QUESTION = re.compile(r"Q\d\.\d")
_MAGIC = re.compile(r"^([ \t]*)[%!?].*$", re.MULTILINE)
_TOKEN = re.compile(r"#[^\n]*|(?P<name>(?<![\w.])[^\W\d]\w*)|\w+|[^\w\s]")
_KEPT = {*keyword.kwlist, *dir(builtins)}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_FUNCTIONS, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_DROPPED = {"annotation", "returns", "type_comment", "type_params", "type_ignores", "ctx", "kind"}


def _alike_answers(part, course, folders):
    released, few = _released(part.name), _few(folders)
    course_has = _sources(course.folder / "release" / ASSIGNMENT / f"{part.name}.ipynb")
    released = {cell: course_has.get(cell, source) for cell, source in released.items()}
    answers = {
        student: _answers(_sources(folder / f"{part.name}.ipynb"), released)
        for student, folder in folders.items()
    }
    answers[KIT] = _answers(_solved(part.name), released)
    common = Counter(item for student in folders for item in answers[student].items())
    before, to_kit, to_others = defaultdict(list), [], []
    for student in folders:
        as_kit = {
            cell for cell, answer in answers[student].items() if answer == answers[KIT].get(cell)
        }
        to_kit += _link(student, KIT, answers, as_kit)
        shared = defaultdict(set)
        for cell, answer in answers[student].items():
            if cell not in as_kit and (common[cell, answer] <= few or answer[1] >= _LONG):
                for other in before[cell, answer][:few]:
                    shared[other].add(cell)
                before[cell, answer].append(student)
        links = [
            link
            for other in sorted(shared)
            for link in _link(student, other, answers, shared[other])
        ]
        to_others += sorted(links, key=lambda link: -link[2])[:1]
    for links in (to_kit, to_others):
        for (student, other, likeness, alike), more in _lines(links, few):
            names = dict.fromkeys(
                name
                for cell in alike
                for name in _QUESTION.findall(released[cell].partition("\n")[0])
            )
            yield Twin(
                "answers",
                part.name,
                (student, KIT) if other == KIT else (other, student),
                likeness,
                f"{part.title}: {len(alike)} of {len(answers[student])} answers"
                f" ({', '.join(names)}) are {KIT if other == KIT else 'equal'} but for names and"
                f" layout{_and_others(more)}",
            )


def _link(student, other, answers, counted):
    """[(student, other, likeness, equal cells)] if the cells `counted` are evidence, else [].

    likeness: share of what is equal, short and common answers too, in what the student wrote, or
    the other where that is more.
    """
    mine, theirs = answers[student], answers[other]
    sizes = [mine[cell][1] for cell in counted]
    if sum(size >= _SHORT for size in sizes) < 2 and max(sizes, default=0) < _LONG:
        return []
    alike = [cell for cell in mine if mine[cell] == theirs.get(cell)]
    written = max(
        sum(size for _, size in mine.values()),
        0 if other == KIT else sum(size for _, size in theirs.values()),
    )
    return [(student, other, sum(mine[cell][1] for cell in alike) / written, alike)]


@functools.cache
def _released(name):
    """{cell: source} of a part's answers as the kit's release has them."""
    cells = student_notebook(rubric.PARTS[name]).cells
    return _marked(cell for cell in cells if cell.metadata.get("nbgrader", {}).get("solution"))


@functools.cache
def _solved(name):
    return _marked(answered_notebook(rubric.PARTS[name]).cells)


def _sources(path):
    """{cell: source} of the marked cells in a notebook; {} where it cannot be read."""
    try:
        return (
            _marked(json.loads(path.read_text(encoding="utf-8"))["cells"])
            if path.stat().st_size <= MAX_BYTES
            else {}
        )
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        MemoryError,
    ):
        return {}


def _marked(cells):
    """{cell: source}, a cell being named by its first line, else by nbgrader's metadata; the first
    of a name counts.
    """
    found = {}
    for cell in cells:
        source = "".join(cell["source"])
        marked = _MARKED.match(source)
        name = (
            marked[1].replace("/", "-")
            if marked
            else cell["metadata"].get("nbgrader", {}).get("grade_id")
        )
        found.setdefault(str(name), source)
    return found


def _answers(sources, release):
    """{cell: (digest, size)} of the answers that differ from the release's text and can be
    compared.

    size: nodes of the syntax tree (words, where there is none) that the release has not.
    """
    found = {}
    for cell, released in release.items():
        answer, stub = _normalised(sources.get(cell, ""), released), _normalised(released, released)
        if answer and answer != stub:
            found[cell] = (
                hashlib.sha256("\n".join(answer).encode("utf-8", "replace")).hexdigest(),
                max(len(answer) - len(stub), 0),
            )
    return found


@functools.lru_cache(maxsize=64)
def _normalised(source, released):
    """What counts of an answer, in words: for code one for each node of its tree; [] where it
    cannot be compared.
    """
    if len(source) > _MAX_CODE:
        return []
    if released.startswith("<!--"):
        return re.findall(r"\w+", source.partition("\n")[2].lower())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the parser thinks of a student's code
        for text in (source, _MAGIC.sub(r"\1pass", source)):
            try:
                return _Normaliser(ast.parse(text)).words
            except SyntaxError:
                continue
            except (ValueError, RecursionError, MemoryError):
                return []
    return _tokens(source)


def _tokens(source):
    """Of code that is no Python: its tokens, the names that are not built in renamed by first
    appearance.
    """
    names, words = {}, []
    for token in _TOKEN.finditer(source):
        name = token["name"]
        if name and name not in _KEPT:
            words.append(f"name {names.setdefault(name, len(names))}")
        elif not token[0].startswith("#"):
            words.append(token[0])
    return words


class _Normaliser:
    """The nodes of a tree in order, a word each, bound names numbered by first appearance in their
    function.

    Numbered too are attributes that the code sets and methods that it defines. Imports go: a name
    stands for what it imports.
    """

    def __init__(self, tree):
        self.words, self._imported, bound = [], {}, set()
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                origin = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                self._imported |= {
                    alias.asname: origin + alias.name for alias in node.names if alias.asname
                }
                self._imported |= {
                    alias.name: origin + alias.name
                    for alias in node.names
                    if origin and not alias.asname
                }
            elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                bound.add(node.attr)
            elif isinstance(node, ast.ClassDef):
                bound |= _bound(node)
        self._attributes = bound, {}
        self._visit(tree, 0, "", [(_bound(tree), {})])

    def _visit(self, node, depth, place, scopes):
        if isinstance(node, ast.AnnAssign) and node.value:
            node = ast.Assign([node.target], node.value)
        nothing = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)  # a docstring
        if nothing or isinstance(node, (ast.Import, ast.ImportFrom, ast.Pass, ast.AnnAssign)):
            return
        fields = [
            (name, value if isinstance(value, list) else [value])
            for name, value in ast.iter_fields(node)
            if name not in _DROPPED
        ]
        own = [
            repr(self._renamed(node, name, value, scopes))
            for name, values in fields
            for value in values
            if not isinstance(value, ast.AST)
        ]
        self.words.append(f"{depth} {place} {type(node).__name__} {' '.join(own)}")
        if isinstance(node, _SCOPES):
            scopes = [*scopes, (_bound(node), {})]
        elif isinstance(node, ast.ClassDef):
            scopes = [*scopes, self._attributes]
        for name, values in fields:
            for value in values:
                if isinstance(value, ast.AST):
                    self._visit(value, depth + 1, name, scopes)

    def _renamed(self, node, field, value, scopes):
        if field == "attr":
            scopes = [self._attributes]
        elif field not in ("id", "name", "names") and not isinstance(node, ast.arg):
            return value
        for level, (bound, numbers) in reversed([*enumerate(scopes)]):
            if value in bound:
                return level, numbers.setdefault(value, len(numbers))
        return self._imported.get(value, value) if field == "id" else value


def _bound(scope):
    """The names that a function, class or module binds itself, not in a scope within."""
    names, nodes = set(), [*ast.iter_child_nodes(scope)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.ExceptHandler)):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        if not isinstance(node, (*_SCOPES, ast.ClassDef)):
            nodes += ast.iter_child_nodes(node)
    return names
