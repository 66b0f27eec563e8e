"""Check a submission of the script assignment. Its code is parsed but not run, and its pickles are
not opened.
"""

import ast
import warnings
from collections.abc import Mapping

from pusht.checkpoint import SUFFIX
from pusht.train import POLICIES
from score.hw1 import imports
from score.hw1.layout import in_run, no_model, policy_module
from score.hw1.loose import NOTEBOOK
from score.hw1.runs.choice import METHODS, PART, ranked_models
from score.submission.archive import Archive, RejectedFile, listed
from score.submission.check import check_checkpoint
from score.submission.files import cap
from score.submission.formats import Found
from score.submission.report import PartReport


def report(archive: Archive, found: Found, contents: Mapping[str, bytes]) -> PartReport:
    """Return the report on Part IV. contents: see `score.submission.formats.Format.report`."""
    report = PartReport(PART, [found.description])
    report.notes.append(
        "The rollouts of both policies are graded and a person reads the report. Q4.1 to Q4.4 count"
        " as not tried: they are asked in this course's notebook."
    )
    _check_code(archive, found, report)
    for method, policy in METHODS.items():
        name = policy.name + SUFFIX
        if name in contents:
            checked = PartReport(PART)
            check_checkpoint(policy, name, contents[name], checked)
            report.facts += checked.facts  # errors are ignored: other files may contain the weights
        files = in_run(found.files, method)
        if not ranked_models(files) and name not in contents:
            report.missing.append(no_model(method, files))
    models = [ranked_models(in_run(found.files, method))[:1] for method in METHODS]
    if pickled := [name for names in models for name in names if not name.endswith(SUFFIX)]:
        report.notes.append(
            f"Not opened here: {', '.join(pickled)}. Checkpoints and src/ are opened where they are"
            " graded, in a sandbox."
        )
    if found.left_out:
        report.notes.append(f"Not taken: {listed(found.left_out)}.")
    return report


def _check_code(archive: Archive, found: Found, report: PartReport) -> None:
    """Report what is wrong with model.py, as far as its text shows."""

    def read(name: str) -> bytes:
        return archive.read(found.files[name], cap(name))

    try:
        module = policy_module([*found.files], read)
        if module is None:
            report.missing.append(
                "There is no model.py: hand in src/hw1_imitation with all its .py files."
            )
            return
        content = read(module)
    except RejectedFile as error:
        report.missing.append(f"The code in src/ cannot be used: {error}.")
        return
    if not module.endswith(NOTEBOOK):
        report.missing += _problems(module, content)
    if lacking := imports.missing(dict.fromkeys(found.files, b"") | {module: content}):
        report.notes.append(
            f"{module} imports {', '.join(lacking)}, which this machine does not have. Ask your"
            " instructor whether the grading machine does."
        )


def _defines_others(tree: ast.AST) -> bool:
    """Return whether there are classes of policies of other names than the assignment's."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return any(
        method.name == "sample_actions"
        for one in classes
        if one.name not in ("BasePolicy", *POLICIES.values())
        for method in one.body
        if isinstance(method, ast.FunctionDef)
    )


def _problems(name: str, content: bytes) -> list[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser warns about the student's style
            tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or "?"
        problem = f"{name} is not valid Python ({type(error).__name__}, line {line})"
        return [f"{problem}: hand in the file that you ran."]
    definitions = (ast.FunctionDef, ast.ClassDef)
    defined = {node.name for node in ast.walk(tree) if isinstance(node, definitions)}
    if "build_policy" in defined or {*POLICIES.values()} <= defined or _defines_others(tree):
        return []
    problem = f"{name} defines neither build_policy nor {' and '.join(POLICIES.values())}"
    return [f"{problem}: hand in the file with your policies."]
