"""nbgrader's exchange, by which a hub's students fetch, submit and get feedback."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

from nbgrader.exchange.default import ExchangeCollect, ExchangeReleaseFeedback
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

# A submission that came by the exchange has these files, and its feedback is found by them.
KNOWN_BY = ("timestamp.txt", "submission_secret.txt")
# What all users' servers need to know of the exchange, in the course's folder: see `hub`.
SETTINGS = "hub/nbgrader_config.py"
# Of one submission, in kB. Students' own limit is nbgrader's, 100 MB, unless their hub has another.
_LARGEST = 1_000_000


def came_by_it(submission: Path) -> bool:
    """Say whether a submission's folder came by the exchange."""
    return all((submission / name).is_file() for name in KNOWN_BY)


def configure(config: Config, folder: Path) -> None:
    """Set what a course's configuration says of the exchange and of feedback.

    folder: the course's.
    """
    if (folder / SETTINGS).is_file():
        config.Exchange.merge(PyFileConfigLoader(SETTINGS, str(folder)).load_config().Exchange)
    config.GenerateFeedback.exporter_class = "score.course.class_run.exporter.FeedbackExporter"
    config.ExchangeFactory.collect = "score.course.nbgrader.exchange.Collect"
    config.ExchangeFactory.release_feedback = "score.course.nbgrader.exchange.ReleaseFeedback"
    config.CourseDirectory.max_dir_size = config.CourseDirectory.max_file_size = _LARGEST


class Collect(ExchangeCollect):
    """nbgrader's collect, except that a submission that it cannot take stops nobody else's."""

    src_records: list[dict[str, Any]]

    def init_src(self) -> None:
        """Choose the submissions; those that are left out are named in the log."""
        super().init_src()
        chosen, self.src_records = self.src_records, []
        for record in chosen:
            if problem := self._problem(Path(self.inbound_path, record["filename"])):
                self.log.error("%s is not collected: %s", record["filename"], problem)
            else:
                self.src_records.append(record)

    def _problem(self, folder: Path) -> str:
        """Return why a submission cannot be taken, or "". Students can write what they like into
        the exchange, and a link would be followed with the instructor's rights.
        """
        size = 0
        try:
            for path in folder.rglob("*"):
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    return f"{path.name} is neither a file nor a folder."
                size += path.stat().st_size if path.is_file() else 0
        except OSError as error:
            return f"it cannot be read ({error})."
        largest = 1000 * self.coursedir.max_dir_size
        if size > largest:
            return f"it has {size / 1e6:.0f} MB, and {largest / 1e6:.0f} MB are allowed."
        return ""


class ReleaseFeedback(ExchangeReleaseFeedback):
    """nbgrader's release_feedback for those whose submission came by the exchange; nbgrader's own
    stops at the first other one.
    """

    def copy_files(self) -> None:
        """Release the pages; those that cannot be released are named in the log."""
        folders = [Path(folder) for folder in glob.glob(self.src_path)]
        others = [folder.parent.name for folder in folders if not came_by_it(folder)]
        for page in (path for folder in folders for path in folder.glob("*.html")):
            # The copy that a student fetches has its rights, which in a course are the owner's.
            if (mode := page.stat().st_mode) & 0o044 != 0o044:
                page.chmod(mode | 0o044)
        excluded: Any = self.coursedir.student_id_exclude
        if others:
            self.log.warning("Not by the exchange, so hand back otherwise: %s", ", ".join(others))
        self.coursedir.student_id_exclude = ",".join(filter(None, [excluded, *others]))
        try:
            super().copy_files()
        finally:
            self.coursedir.student_id_exclude = excluded
