"""Check a submission of the script assignment. Its code is parsed but not run, and its pickles are
not opened.
"""

import ast
import warnings
from collections.abc import Mapping

from pusht.checkpoint import SUFFIX
from pusht.train import POLICIES
from score.hw1.layout import METHODS, PART, in_run, policy_module, ranked_models
from score.submission.archive import Archive, ArchiveMember, RejectedFile, listed
from score.submission.check import check_checkpoint
from score.submission.files import cap
from score.submission.formats import Found
from score.submission.report import PartReport


def report(archive: Archive, found: Found, contents: Mapping[str, bytes]) -> PartReport:
    """Return the report on Part IV. contents: see `score.submission.formats.Format.report`."""
    report = PartReport(PART, [found.description])
    report.notes.append(
        f"There is no {PART}.ipynb: the rollouts are graded and a person reads the report, but Q4.1"
        " to Q4.4 count as not tried, and log.csv is not used."
    )
    module = policy_module(found.files)
    if module is None:
        report.missing.append(
            "There is no model.py in src/: hand in src/hw1_imitation with all its .py files."
        )
    else:
        report.missing += _check_code(module, archive, found.files[module])
    pickled = []
    for method, policy in METHODS.items():
        name = policy.name + SUFFIX
        if name in contents:
            checked = PartReport(PART)
            check_checkpoint(policy, name, contents[name], checked)
            report.facts += checked.facts  # errors are ignored: other files may contain the weights
        files = in_run(found.files, method)
        models = ranked_models(files)
        if not models:
            report.missing.append(_no_model(method, files))
        elif not models[0].endswith(SUFFIX):
            pickled.append(models[0])
    if pickled:
        report.notes.append(
            f"Not opened here: {', '.join(pickled)}. Pickled models and src/ are loaded only if"
            f" grading runs in a sandbox; otherwise it needs {PART}.ipynb and"
            f" exp/…/policy{SUFFIX}."
        )
    if found.left_out:
        report.notes.append(f"Not taken: {listed(found.left_out)}.")
    return report


def _no_model(method: str, files: list[str]) -> str:
    if files:
        return (
            f"There is no model in exp/{method}: copy the whole run directory, with its"
            " .safetensors, .pkl or .pt."
        )
    return (
        f"There is no exp/{method} with a model: add the whole run directory of your {method}"
        " policy."
    )


def _check_code(name: str, archive: Archive, member: ArchiveMember) -> list[str]:
    """Return what is wrong with model.py, as far as parsing it shows."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser warns about the student's style
            tree = ast.parse(archive.read(member, cap(name)))
    except RejectedFile as error:
        return [f"{member.path} cannot be used: {error}."]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or "?"
        problem = f"{name} is not valid Python ({type(error).__name__}, line {line})"
        return [f"{problem}: hand in the file that you ran."]
    definitions = (ast.FunctionDef, ast.ClassDef)
    defined = {node.name for node in ast.walk(tree) if isinstance(node, definitions)}
    if "build_policy" in defined or {*POLICIES.values()} <= defined:
        return []
    problem = f"{name} defines neither build_policy nor {' and '.join(POLICIES.values())}"
    return [f"{problem}: hand in the file with your policies."]
