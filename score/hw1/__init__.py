"""Submissions of the published script assignment (hw1_imitation) in place of Part IV's notebook.

The rest of the kit uses this package only through `score.submission.formats.Format`. Outside the
sandbox the submitted files are only listed and copied. `score.hw1.policy` runs and unpickles them,
so only the graded kernel imports it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from score import rubric
from score.hw1 import acting, graded_files, imports, layout
from score.hw1.report import report
from score.hw1.runs.choice import PART
from score.submission.archive import Archive, ArchiveMember
from score.submission.formats import Acting, Found, Substitute
from score.submission.report import PartReport

REASON = (
    "this is a submission of the script assignment: its rollouts are graded here, and a person"
    " reads its report"
)
_TITLE = """## A submission of the script assignment

The kit wrote this notebook for the submission. The policies are those of `exp/mse` and \
`exp/flow`, with the code in `src/`."""
_POLICIES = """# [part4/script] given: the policies of a submission of the script assignment, from \
its src/ and exp/
from functools import partial

from score.hw1.policy import ScriptPolicy

MSEPolicy, FlowMatchingPolicy = partial(ScriptPolicy, "part4_mse"), \
partial(ScriptPolicy, "part4_flow")"""


class ScriptFormat:
    """The `Format` of submissions of the script assignment."""

    part = PART
    packed = layout.PACKED
    packed_cap = layout.PACKED_CAP
    substitute = Substitute(
        reason=REASON,
        remark=(f"{PART}.ipynb was written by the kit: {REASON}; Q4.1 to Q4.4 count as not tried."),
        written="(The answer is in the report of the script assignment.)",
        cells=(
            ("part4-script_text", "markdown", _TITLE),
            ("part4-script", "code", _POLICIES),
        ),
    )

    def find(self, archive: Archive, members: Sequence[ArchiveMember]) -> Found | None:
        """See `score.hw1.layout.find`."""
        return layout.find(self, archive, members)

    def recognises(self, path: str) -> bool:
        """See `score.hw1.layout.is_code`."""
        return layout.is_code(path)

    def report(self, archive: Archive, found: Found, contents: Mapping[str, bytes]) -> PartReport:
        """See `score.hw1.report.report`."""
        return report(archive, found, contents)

    def graded_files(
        self,
        contents: Mapping[str, bytes],
        checkpoints: Mapping[str, bytes],
        paths: Mapping[str, str],
    ) -> dict[str, bytes]:
        """See `score.hw1.graded_files.graded_files`."""
        return graded_files.graded_files(contents, checkpoints, paths)

    def missing_packages(self, packed: bytes) -> list[str]:
        """See `score.hw1.imports.missing`."""
        return imports.missing(layout.unpacked(packed))

    def acting(self, policy: rubric.Policy, message: Any, packed: bytes) -> Acting:
        """See `score.hw1.acting.acting`."""
        return acting.acting(policy, message, layout.unpacked(packed))


FORMAT = ScriptFormat()
