"""Submissions of the published script assignment (hw1_imitation) in place of Part IV's notebook.

The rest of the kit uses this package only through `score.submission.formats.Format`. Outside the
sandbox the submitted files are only listed and copied. `score.hw1.policy` runs and unpickles them,
so only the graded kernel imports it.
"""

from collections.abc import Mapping, Sequence

from score.hw1 import graded_files, layout
from score.hw1.report import report
from score.submission.archive import MB, Archive, ArchiveMember
from score.submission.formats import Found, Substitute
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

    part = layout.PART
    packed = layout.PACKED
    packed_cap = 60 * MB  # less than the limit of a checkpoint, to leave room for the zip's index
    substitute = Substitute(
        reason=REASON,
        remark=(
            f"{layout.PART}.ipynb was written by the kit: {REASON};"
            " Q4.1 to Q4.4 count as not tried."
        ),
        written="(The answer is in the report of the script assignment.)",
        cells=(
            ("part4-script_text", "markdown", _TITLE),
            ("part4-script", "code", _POLICIES),
        ),
    )

    def find(self, members: Sequence[ArchiveMember]) -> Found | None:
        """See `score.hw1.layout.find`."""
        return layout.find(self, members)

    def recognises(self, path: str) -> bool:
        """Return whether a path is that of code in src/."""
        return layout.is_code(path)

    def report(self, archive: Archive, found: Found, contents: Mapping[str, bytes]) -> PartReport:
        """See `score.hw1.report.report`."""
        return report(archive, found, contents)

    def graded_files(
        self, contents: Mapping[str, bytes], checkpoints: Mapping[str, bytes]
    ) -> dict[str, bytes]:
        """See `score.hw1.graded_files.graded_files`."""
        return graded_files.graded_files(contents, checkpoints)


FORMAT = ScriptFormat()
