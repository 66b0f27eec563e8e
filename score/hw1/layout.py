"""A hand-in of the script assignment: which of a zip's files belong to it, and the one file that
grading has of them.

    exp/mse/…, exp/flow/…     run directories: models at any depth
    (wandb/files/checkpoints/checkpoint_step_9.pkl), statistics src/hw1_imitation/*.py    the
    student's package: what has a model.py

Files are named, counted and copied here, nothing in them is opened. `score.hw1.policy` loads them,
where grading keeps a kernel in a box and nowhere else.
"""

import io
import re
import zipfile
from dataclasses import dataclass, field, replace

from pusht.checkpoint import SUFFIX
from score import rubric
from score.submission.archive import MB, WANTED, is_pickle, wanted_name

PART, PACKED = "part4_flow", "part4_script.zip"
PACKED_CAP = 60 * MB  # less than a hand-in file may have, the zip's own directory being small
METHODS = {policy.method: policy for policy in rubric.PARTS[PART].policies}
TOLD = (
    "this was a hand-in of the script assignment, whose rollouts are graded here and whose report a"
    " person reads"
)

_INSIDE = re.compile(
    r"(?P<root>(?:.*?/)??)(?:src/(?P<code>.+)|exp/(?P<run>(?:[^/]*_)?(?P<method>mse|flow))/(?P<inside>.+))",
    re.DOTALL,
)
_BESIDE = ("pyproject.toml", "uv.lock", "README.md")
_CODE, _MODELS, _STATISTICS = 200, 20, 20  # files of src/, of a run directory
_LONGEST = 200  # characters of a path in it
_BEGUN = re.compile(r"\d{8}_\d{6}")


@dataclass(frozen=True)
class Script:
    """What a student's files have of the layout.

    files: {name in the packed zip, as exp/mse/policy.safetensors: the entry}, models of a run the
    likeliest first. beside: entries that belong to the layout and are not needed, such as films.
    left: entries that are too many, with the reason.
    """

    files: dict = field(default_factory=dict)
    beside: list = field(default_factory=list)
    left: list = field(default_factory=list)

    def of_run(self, method):
        """The names of what is taken of exp/mse or exp/flow."""
        return [name for name in self.files if name.startswith(f"exp/{method}/")]

    def folders(self):
        """The run directories that are taken, as the entries' paths begin, each with its "/"."""
        return {
            entry.path.removesuffix(name.split("/", 2)[2])
            for name, entry in self.files.items()
            if name.startswith("exp/")
        }

    def __str__(self):
        code = [name for name in self.files if name.startswith("src/")]
        told = [f"{package(code) or 'no model.py'} among {len(code)} files of src/"]
        for method in METHODS:
            models = ranked_models(self.of_run(method))
            more = f" and {len(models) - 1} more" if models[1:] else ""
            told.append(f"{models[0]}{more}" if models else f"no model in exp/{method}")
        return f"The script assignment's layout: {'; '.join(told)}."

    def not_used(self):
        """The same where Part IV has a notebook, which goes before it."""
        reason = "not used beside a notebook of Part IV"
        return Script(
            {},
            [*self.files.values(), *self.beside],
            [
                replace(entry, refusal=reason)
                for entry in self.files.values()
                if not wanted_name(entry.path)
            ],
        )


def layout(entries):
    """The `Script` in a student's entries, without files where there is not both src/ and exp/mse
    or exp/flow.

    Of several in different folders it is the whole one, then the newest.
    """
    roots = {}
    for entry in entries:
        if not entry.refusal and (found := _INSIDE.fullmatch(entry.path)):
            roots.setdefault(found["root"], []).append((found, entry))
    whole = {
        root: rows
        for root, rows in roots.items()
        if any(_is_code(f) for f, _ in rows) and any(f["run"] for f, _ in rows)
    }
    if not whole:
        return Script()
    root = max(
        whole,
        key=lambda root: (
            len({f["method"] for f, _ in whole[root]}),
            max(e.received for _, e in whole[root]),
            root,
        ),
    )
    return _sorted_out(
        whole[root], [entry for entry in entries if entry.path in {root + name for name in _BESIDE}]
    )


def names_code(path):
    """Whether a path is of the layout's code."""
    found = _INSIDE.fullmatch(path)
    return bool(found) and _is_code(found)


def _is_code(found):
    return bool(found["code"]) and found["code"].endswith(".py")


def _sorted_out(rows, beside):
    code = {f"src/{found['code']}": entry for found, entry in rows if _is_code(found)}
    script = Script(
        {}, [*beside, *(entry for found, entry in rows if found["code"] and not _is_code(found))]
    )
    _take(script, code, _CODE)
    for method in METHODS:
        runs = {}
        for found, entry in rows:
            if found["method"] == method:
                runs.setdefault(found["run"], {})[f"exp/{method}/{found['inside']}"] = entry
        if runs:  # the one that was renamed for handing in, else the last, by the time in its name
            name = method if method in runs else max(runs, key=_begun)
            statistics = [
                inside
                for inside in runs[name]
                if inside.endswith((".json", ".npz")) and "/wandb/" not in inside
            ]
            _take(
                script,
                {inside: runs[name][inside] for inside in ranked_models(runs[name])},
                _MODELS,
            )
            _take(script, {inside: runs[name][inside] for inside in statistics}, _STATISTICS)
            script.beside.extend(entry for run in runs.values() for entry in run.values())
    # Where there is not room for all models, each run is to have its likeliest.
    place = {
        name: at
        for method in METHODS
        for at, name in enumerate(ranked_models(script.of_run(method)))
    }
    return replace(
        script, files=dict(sorted(script.files.items(), key=lambda file: place.get(file[0], -1)))
    )


def _begun(run):
    """For sorting: seed_9_20260119_161512_mse before seed_10_20260120_161512_mse."""
    return _BEGUN.findall(run)[-1:], run


def _take(script, files, most):
    count = 0
    for name, entry in files.items():
        if len(name) > _LONGEST:
            script.left.append(replace(entry, refusal="its path is too long"))
        elif count == most:
            script.left.append(replace(entry, refusal=f"more than {most} files of its kind"))
        else:
            script.files[name], count = entry, count + 1


def ranked_models(names):
    """Those of a run directory's names in which a model may be: safetensors before pickles, of each
    the last step first.
    """
    found = [name for name in names if name.endswith(SUFFIX) or is_pickle(name)]
    return sorted(
        found,
        key=lambda name: (
            not name.endswith(SUFFIX),
            not name.endswith(f"/policy{SUFFIX}"),
            -_step(name),
            name,
        ),
    )


def _step(name):
    numbers = re.findall(r"\d+", name.rpartition("/")[2].rpartition(".")[0])
    return int(numbers[-1][-12:]) if numbers else 10**12


def package(names):
    """The name of the file that defines the policies: the model.py that is least deep in src/; None
    where there is none.
    """
    found = [name for name in names if re.fullmatch(r"src/(.*/)?model\.py", name)]
    return min(found, key=lambda name: (name.count("/"), name), default=None)


def packed(contents):
    """The zip that grading gets of {name: bytes}: the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(contents.items()):
            archive.writestr(
                zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED
            )
    return buffer.getvalue()


def part_of(name):
    """The part that a file belongs to that collecting takes."""
    return WANTED.get(name, PART)


def graded_files(part):
    """The names of the files beside its notebook that a part is graded by."""
    return [
        *(policy.name + SUFFIX for policy in part.policies),
        *([PACKED] if part.name == PART else []),
    ]
