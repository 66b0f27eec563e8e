"""The kit in a runtime like Colab's: the packages and versions that it has, an empty /content,
google.colab, ipywidgets 7 and 8.

The long tests make that environment anew (.ci/colab.txt, .ci/colab_beside.txt) and print what the
set-up cell did and took:

    python -m pytest -m long -rP tests/test_colab.py

Where there is a Python 3.12, it is that one, as Colab's. Not Colab's is the page; docs/colab.md
lists what is left to a person with an account.
"""

import contextlib
import functools
import importlib.metadata
import json
import random
import re
import subprocess
import sys
import threading
import time
import types
import zipfile
from datetime import datetime
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import nbformat
import pytest
from nbclient import NotebookClient
from test_notebooks import setup_cell
from test_repair import as_colab_saves_it

from pusht import TrainingRun
from score.course.notebooks import build
from score.verdict import MIME

sys.path.insert(0, str(build.ROOT / ".ci"))
import environment
import pythons

PARTS = build.parts_with_source()
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGETS = {
    "ipywidgets==7.7.1": "1.2.0",
    "ipywidgets==8.*": "2.0.0",
}  # and the version of the widgets' own protocol


# The set-up cell, with a pip that only writes down what it is asked for.

_NO_PYMUNK = """
import pathlib, sys

class NoPymunk:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "pymunk" and not pathlib.Path("installed").exists():
            raise ModuleNotFoundError("No module named 'pymunk'", name=name)

sys.meta_path.insert(0, NoPymunk)
"""
_PIP = """
import json, sys
with open("installed", "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
"""


@pytest.fixture
def runtime(tmp_path):
    """An empty folder, `content`, and no pymunk: run(code, bundle) runs code there, {setup} in it
    being the set-up cell; asked() is what pip was asked for, a list a call.
    """
    content, beside = tmp_path / "content", tmp_path / "beside"
    content.mkdir()
    (beside / "pip").mkdir(parents=True)
    (beside / "pip" / "__init__.py").touch()
    (beside / "pip" / "__main__.py").write_text(_PIP)
    with zipfile.ZipFile(tmp_path / "kit.zip", "w") as kit:  # as small as one can be
        kit.writestr("pusht/__init__.py", "import pymunk\n")
        kit.writestr("pusht/resources.py", "def path(name):\n    return '.'\n")
        kit.writestr("requirements.txt", "pymunk>=7\n")

    address = (tmp_path / "kit.zip").as_uri()

    def run(code="{setup}", bundle=address):
        (content / "cells.py").write_text(
            _NO_PYMUNK + code.format(setup=setup_cell(PARTS[0], bundle))
        )
        return subprocess.run(
            [sys.executable, "-P", "cells.py"],
            cwd=content,
            env={"PYTHONPATH": str(beside)},
            capture_output=True,
            text=True,
        )

    def asked():
        return [json.loads(line) for line in (content / "installed").read_text().splitlines()]

    return types.SimpleNamespace(run=run, asked=asked, content=content)


def test_the_set_up_cell_asks_pip_once_and_holds_torch_and_numpy(runtime):
    for _ in range(2):  # the second time as after a restart of the kernel
        done = runtime.run("{setup}\n{setup}\nimport pusht")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (asked,) = runtime.asked()
    assert asked[asked.index("-r") + 1] == str(runtime.content / "requirements.txt")
    assert asked[-2:] == [
        f"{name}=={importlib.metadata.version(name)}" for name in ("torch", "numpy")
    ]


@pytest.mark.parametrize(
    "content", [None, b"<html>Log in to your course</html>"], ids=["nothing", "a page"]
)
def test_an_address_without_the_kit_is_told_in_one_sentence_and_can_be_tried_again(
    runtime, tmp_path, content
):
    address = tmp_path / "elsewhere.zip"
    if content:
        address.write_bytes(content)
    done = runtime.run(bundle=address.as_uri())
    assert done.returncode == 1 and done.stderr.startswith(
        f"The kit cannot be downloaded from {address.as_uri()} ("
    )
    assert done.stderr.count("\n") == 1 and not list(runtime.content.glob("pusht"))
    assert runtime.run().returncode == 0 and runtime.asked()


def test_a_drive_that_is_not_mounted_is_noticed_before_training(tmp_path):
    loader = types.SimpleNamespace(generator=types.SimpleNamespace(manual_seed=int))
    run = TrainingRun(
        "part1_mlp",
        None,
        loader,
        None,
        num_epochs=1,
        seed=1,
        folder=tmp_path,
        resume_folder=tmp_path / "drive" / "MyDrive" / "pusht",
    )
    with pytest.raises(
        FileNotFoundError,
        match="There is no folder .*MyDrive to make resume_folder in: mount the drive first",
    ):
        next(run.epochs())
    assert not (tmp_path / "drive").exists()  # or the drive could not be mounted there


# A whole environment.

_GOOGLE_COLAB = {
    "__init__.py": (
        "from google.colab import files, output\n\n\ndef load_ipython_extension(shell):\n    pass\n"
    ),
    "_message.py": (
        """
import json, pathlib
silent, browser = False, pathlib.Path(__file__).with_name("browser")

def blocking_request(request_type, request="", timeout_sec=5, parent=None):
    assert request_type == "get_ipynb"
    return None if silent else {"ipynb": json.loads((browser / "notebook.ipynb").read_text())}
"""
    ),
    "files.py": (
        """
import os, shutil
from google.colab import _message

def download(filename):
    if not os.path.exists(filename):
        raise FileNotFoundError(f"Cannot find file: {filename}")
    if _message.silent:
        raise RuntimeError("the page does not answer")
    shutil.copy(filename, _message.browser)
"""
    ),
    "output.py": (
        """
import types
_widgets = types.SimpleNamespace(_installed_url=None)

def enable_custom_widget_manager():
    _widgets._installed_url = "https://widgets.invalid/manager.js"
"""
    ),
}
_SILENT = """
from google.colab import _message
_message.silent = True
score.submit()
"""
_DROPPED = """
import shutil
shutil.copy(_message.browser / "notebook.ipynb", "{name} (1).ipynb")
score.submit()
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The bundle folder of a course whose address is a server here."""
    folder = tmp_path_factory.mktemp("course") / "course"
    command = [sys.executable, "-m", "score", "course"]
    subprocess.run(
        [*command, "create", str(folder)], check=True, cwd=build.ROOT, capture_output=True
    )

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=folder / "bundle")
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = folder / "course.toml"
        address = f"http://127.0.0.1:{server.server_port}/pusht-kit.zip"
        settings.write_text(
            re.sub(
                r'^bundle = ".*"$',
                f'bundle = "{address}"',
                settings.read_text(),
                flags=re.MULTILINE,
            )
        )
        subprocess.run(
            [*command, "release", str(folder)], check=True, cwd=build.ROOT, capture_output=True
        )
        yield folder / "bundle"
        server.shutdown()


class Colab:
    """An environment with Colab's packages, one of ipywidgets, and kernels in it."""

    def __init__(self, folder, widgets):
        self.folder, self.widgets = folder, widgets
        self.python = folder / "env" / "bin" / "python"
        subprocess.run([_python(), "-m", "venv", folder / "env"], check=True)
        self.pip(
            "install",
            "-q",
            next(pin for pin in _pins("colab_beside.txt") if pin.startswith("pip==")),
        )
        pins = [
            pin for pin in _pins("colab.txt") + _pins("colab_beside.txt") if "widgets" not in pin
        ]
        torch = next(pin for pin in pins if pin.startswith("torch=="))
        # Colab has the CPU build; where PyTorch's index does not answer, this is PyPI's.
        with contextlib.suppress(subprocess.CalledProcessError):
            self.pip("install", "-q", "--no-deps", "--index-url", environment.CPU_INDEX, torch)
        self.pip("install", "-q", *pins, widgets)
        self.pip("uninstall", "-q", "-y", "jedi")
        package = folder / "path" / "google" / "colab"
        (package / "browser").mkdir(parents=True)
        for name, text in _GOOGLE_COLAB.items():
            (package / name).write_text(text)
        self.browser = package / "browser"
        profile = folder / "ipython" / "profile_default"
        profile.mkdir(parents=True)
        (profile / "ipython_kernel_config.py").write_text(
            'get_config().InteractiveShellApp.extensions = ["google.colab"]\n'
        )
        variables = {
            "PYTHONPATH": str(folder / "path"),
            "IPYTHONDIR": str(folder / "ipython"),
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "PIP_NO_CACHE_DIR": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "0",
            "PUSHT_MAX_EPOCHS": "1",
            "PUSHT_MAX_EPISODES": "2",
        }
        kernel = {
            "argv": [str(self.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "Colab",
            "language": "python",
            "env": variables,
        }
        (folder / "jupyter" / "kernels" / "colab").mkdir(parents=True)
        (folder / "jupyter" / "kernels" / "colab" / "kernel.json").write_text(json.dumps(kernel))

    def pip(self, *arguments):
        return subprocess.run(
            [self.python, "-m", "pip", *arguments], check=True, capture_output=True, text=True
        ).stdout

    def packages(self):
        return set(self.pip("list", "--format=freeze").split())

    def versions(self):
        """What runs there: Python's version, torch's and numpy's."""
        told = """
import platform, torch, numpy
print(f"Python {platform.python_version()}, torch {torch.__version__}, numpy {numpy.__version__}")
"""
        return subprocess.check_output([self.python, "-c", told], text=True).strip()

    def content(self):
        """A new /content."""
        folder = self.folder / f"content{len(list(self.folder.glob('content*')))}"
        (folder / "sample_data").mkdir(parents=True)
        return folder

    def run(self, notebook, content):
        """Run a notebook, outputs into it, in a kernel that starts in `content`."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JUPYTER_PATH", str(self.folder / "jupyter"))
            patch.delenv(
                "PYTEST_CURRENT_TEST"
            )  # with it, a kernel does not show what its processes write
            NotebookClient(
                notebook,
                timeout=600,
                kernel_name="colab",
                resources={"metadata": {"path": str(content)}},
            ).execute()


def _python():
    """Colab's Python, or this one where that one is missing."""
    return pythons.found("3.12") or sys.executable


def _pins(name):
    lines = (
        line.partition("#")[0].strip()
        for line in (build.ROOT / ".ci" / name).read_text().splitlines()
    )
    return [line for line in lines if line]


@pytest.fixture(scope="module", params=WIDGETS, ids=["ipywidgets7", "ipywidgets8"])
def colab(request, tmp_path_factory):
    try:
        reached = tmp_path_factory.mktemp("reached")
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "-q",
                "--no-deps",
                "-d",
                str(reached),
                "donfig",
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("needs a package index that pip reaches, to make Colab's environment")
    return Colab(tmp_path_factory.mktemp("colab"), request.param)


def outputs(notebook, *cells):
    return [
        output
        for cell in cells or notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]


def no_errors(notebook, *cells):
    found = []
    for output in outputs(notebook, *cells):
        if output.output_type == "error":
            found.append("\n".join(output.traceback))
        elif output.output_type == "stream" and output.name == "stderr":
            # Less what this machine's own settings of pip make it say.
            found += [
                line
                for line in output.text.splitlines()
                if not line.startswith("WARNING: Location ")
            ]
    return not found or pytest.fail("\n".join(found))


def said(cell):
    return "".join(
        output.text
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stdout"
    )


def seconds(cell):
    when = cell.metadata.execution
    return (
        datetime.fromisoformat(when["shell.execute_reply"])
        - datetime.fromisoformat(when["iopub.status.busy"])
    ).total_seconds()


def released(course, part):
    """The notebook that students get, as they answer it."""
    notebook = nbformat.read(course / "notebooks" / f"{part.name}.ipynb", as_version=4)
    own_address = ("-setup", "-text1")  # which the notebook with answers, made apart, has not
    answers = {
        cell.id: cell.source
        for cell in build.answered_notebook(part).cells
        if not cell.id.endswith(own_address)
    }
    for cell in notebook.cells:
        cell.source = answers.get(cell.id, cell.source) + (
            "\nIt fell, then it rose." if cell.source.startswith("<!-- [") else ""
        )
    return notebook


@pytest.mark.long
def test_the_set_up_cell_adds_and_changes_nothing_and_does_no_harm_twice(colab, course):
    content = colab.content()
    cell = next(cell for cell in released(course, PARTS[0]).cells if cell.id.endswith("-setup"))
    again = nbformat.v4.new_code_cell(cell.source)
    used = nbformat.v4.new_code_cell("import pusht, score\nprint(pusht.__file__)")
    notebook = nbformat.v4.new_notebook(cells=[cell, again, used])
    before = colab.packages()
    colab.run(notebook, content)
    after = colab.packages()
    print(
        f"{colab.versions()}, {colab.widgets}: {seconds(cell):.1f} s, again {seconds(again):.2f} s,"
        f" first import {seconds(used):.1f} s; pip added {', '.join(sorted(after - before))}"
    )
    assert no_errors(notebook) and not said(cell) and not outputs(notebook, again)
    assert before <= after, before - after
    assert not [name for name in after if re.match("nbgrader|jupytext|jupyterlab=", name)]
    assert said(used).strip() == str(content / "pusht" / "__init__.py")
    assert seconds(cell) < 60  # of Colab's own minute; pip, not the machine, takes most of it


@pytest.mark.long
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_the_notebook_runs_and_is_handed_in(colab, course, part, tmp_path):
    notebook = released(course, part)
    browser = json.loads(nbformat.writes(notebook))
    as_colab_saves_it(browser, random.Random(0), part)
    (colab.browser / "notebook.ipynb").write_text(json.dumps(browser))
    own = list(notebook.cells)
    setup = next(i for i, cell in enumerate(own) if cell.get("id", "").endswith("-setup"))
    silent, dropped = (
        nbformat.v4.new_code_cell(code.replace("{name}", part.name)) for code in (_SILENT, _DROPPED)
    )
    notebook.cells.insert(setup, nbformat.v4.new_code_cell(own[setup].source))
    notebook.cells += [silent, dropped]
    began = time.monotonic()
    colab.run(notebook, colab.content())
    print(f"{colab.widgets}, {part.name}: {time.monotonic() - began:.0f} s")
    assert no_errors(notebook)

    shown = [output.data for output in outputs(notebook) if output.output_type == "display_data"]
    earned = {data[MIME]["name"]: data[MIME]["points"] for data in shown if MIME in data}
    assert {question.name: question.points for question in part.questions}.items() <= earned.items()
    assert len(earned) == len(part.questions) + len(part.policies)
    views = [data[WIDGET]["model_id"] for data in shown if WIDGET in data]
    state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    assert views and set(views) <= set(state)
    assert {
        model["model_module_version"]
        for model in state.values()
        if model["model_module"] == "@jupyter-widgets/base"
    } == {WIDGETS[colab.widgets]}

    last = next(cell for cell in own if cell.id.endswith("-hand_in"))
    assert "is complete." in said(last), said(last)
    assert f"Your browser saves hand_in_{part.name}.zip" in said(last)
    _accepted(colab.browser / f"hand_in_{part.name}.zip", browser, part)
    assert "Colab did not hand over the notebook." in said(silent) and "NOT complete" in said(
        silent
    ), said(silent)
    assert "The download did not start (RuntimeError)" in said(silent)
    assert "is complete." in said(dropped), said(dropped)


def _accepted(path, browser, part):
    """What came out of Colab is complete for the grader, and has the answers of the browser."""
    done = subprocess.run(
        [sys.executable, "-m", "score", "submission", "check", str(path)],
        cwd=build.ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    with contextlib.closing(zipfile.ZipFile(path)) as archive:
        packed = json.loads(archive.read(f"{part.name}.ipynb"))
    assert [cell["source"] for cell in packed["cells"]] == [
        cell["source"] for cell in browser["cells"]
    ]
