"""The instructor's part: notebooks, collection, grading, reports. Needs the extra `instructor`."""


def configure(config, path):
    """Fill nbgrader's configuration `config` for the course in the folder of `path`.

    A course's nbgrader_config.py calls it, so that an update of the kit reaches every course.
    """
    from score.course import settings

    settings.configure(config, path)
