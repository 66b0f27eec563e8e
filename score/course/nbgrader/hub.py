"""The configuration with which a JupyterHub serves a course: what students' servers know of the
exchange, and a server in the course's folder for those who grade, where formgrader is.
"""

import re
import sys
import zlib
from collections.abc import Sequence

from nbgrader.exchange.default import Exchange

from pusht.files import write_whole
from score.course.nbgrader.exchange import SETTINGS
from score.course.notebooks.bundle import wheel_name
from score.course.settings import Course, CourseError

DEFAULT_EXCHANGE: str = Exchange.root.default_value
_HUB = "hub/jupyterhub_config.py"
_FIRST_PORT, _PORTS = 10_000, 10_000
_VALIDATE_SECONDS = 300  # of a cell

_FOR_ALL = """\
# nbgrader's settings for all users of the hub, the same for all of its courses.
# Made by: python -m score course hub
c = get_config()  # noqa: F821

c.Exchange.root = {exchange!r}
# Seconds of a cell for the Validate button: on a busy machine importing torch takes more than
# nbgrader's 30.
c.Execute.timeout = {seconds}
"""
_FOR_HUB = """\
# The course's part of the hub's configuration. Made by: python -m score course hub
import os

import jupyterhub

c = get_config()  # noqa: F821

# The users of the hub who may grade.
c.JupyterHub.load_groups.update({{"formgrade-{name}": {{"users": {graders!r}}}}})
c.JupyterHub.load_roles.append(
    {{
        "name": "formgrade-{name}",
        "groups": ["formgrade-{name}"],
        "scopes": ["access:services!service={name}"],
    }}
)
# A server in the course's folder, run by the folder's owner in the environment with the
# instructors' kit. Its address on the hub is /services/{name}/lab?formgrader=true
c.JupyterHub.services.append(
    {{
        "name": {name!r},
        "url": "http://127.0.0.1:{port}",  # any free port
        "command": [{python!r}, "-m", "jupyterhub.singleuser"],
        "cwd": {folder!r},
        # s; a hub ends where a service has not started by then. It can be set from version 6 on.
        **({{"timeout": 600}} if jupyterhub.version_info >= (6,) else {{}}),
        "oauth_no_confirm": True,
        # Only where the hub runs as root can it run something as another user.
        **({{"user": {owner!r}}} if os.geteuid() == 0 else {{}}),
    }}
)
"""
_STEPS = """\
Written: {hub} and {settings}.

1. The exchange, a folder that all users may write to:
     mkdir -p {exchange} && chmod 777 {exchange}
2. The environment of students' servers, PREFIX, with the students' kit:
     PREFIX/bin/pip install jupyterhub jupyterlab 'nbgrader>=0.9.6,<0.10' {wheel}
     install -D -m 644 {settings} PREFIX/etc/jupyter/nbgrader_config.py
     PREFIX/bin/jupyter server extension disable --sys-prefix nbgrader.server_extensions.formgrader
     PREFIX/bin/jupyter labextension disable --level=sys_prefix @jupyter/nbgrader:formgrader
3. The environment of this command, for those who grade:
     {python} -m pip install jupyterhub
4. In the hub's own jupyterhub_config.py this line, and a restart:
     load_subconfig({hub!r})
5. As {owner}, the release to students:
     cd {folder}{releases}"""


def write(course: Course, exchange: str, graders: Sequence[str]) -> str:
    """Write the configuration into the course's folder; return what is to be done with it.

    exchange: nbgrader's folder, which all users of the hub may write to. graders: names of users of
    the hub. CourseError for a course whose name no address can have.
    """
    name = course.folder.name
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise CourseError(
            f"{name!r} becomes a part of addresses on the hub, which is to have letters, digits,"
            " - and _ only: rename the course's folder."
        )
    values = {
        "name": name,
        "folder": str(course.folder),
        "owner": course.folder.owner(),
        "python": sys.executable,
        "exchange": exchange,
        "seconds": _VALIDATE_SECONDS,
        "graders": list(graders),
        "port": _FIRST_PORT + zlib.crc32(name.encode()) % _PORTS,
        "hub": str(course.folder / _HUB),
        "settings": str(course.folder / SETTINGS),
        "wheel": str(course.folder / "bundle" / wheel_name()),
        "releases": "".join(
            f" && nbgrader release_assignment {assignment.name}"
            for assignment in course.assignments
        ),
    }
    write_whole(course.folder / SETTINGS, _FOR_ALL.format(**values))
    write_whole(course.folder / _HUB, _FOR_HUB.format(**values))
    return _STEPS.format(**values)
