"""What a test in a browser needs: a Jupyter server in a folder, a page of it in headless Chromium,
a notebook run in JupyterLab.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect, sync_playwright

SCREENSHOTS = Path(__file__).resolve().parents[1] / "build" / "screenshots"
needs_chromium = pytest.mark.skipif(
    not shutil.which("chromium"), reason="needs a browser: there is no `chromium` on the PATH"
)

_START_SECONDS, _STOP_SECONDS = 120, 20
_SETTINGS = {
    # Beside the extensions that the environment enables (JupyterLab); port 0: any that is free.
    "jupyter_server_config.json": {
        "ServerApp": {
            "jpserver_extensions": {"nbgrader.server_extensions.formgrader": True},
            "ip": "127.0.0.1",
            "port": 0,
            "allow_root": True,
            "open_browser": False,
        }
    },
    # JupyterLab would ask whether it may.
    "labconfig/default_setting_overrides.json": {
        "@jupyterlab/apputils-extension:notification": {
            "fetchNews": "false",
            "checkForUpdates": False,
        },
        # Otherwise what is scrolled out of sight leaves the page.
        "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    },
}


@contextlib.contextmanager
def jupyter_server(folder):
    """A Jupyter server in a folder, with nothing of the user's own settings; yields address(path)
    of its pages.
    """
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "IPYTHON"))
    }
    # A short path: a socket's has some 100 characters at most.
    with tempfile.TemporaryDirectory(
        prefix="jp-", dir="/tmp" if os.path.isdir("/tmp") else None
    ) as private:
        private, token = Path(private), secrets.token_hex()
        (private / "config" / "labconfig").mkdir(parents=True)
        for name, settings in _SETTINGS.items():
            (private / "config" / name).write_text(json.dumps(settings))
        variables |= {
            f"JUPYTER_{name.upper()}_DIR": str(private / name)
            for name in ("config", "data", "runtime")
        }
        variables |= {"IPYTHONDIR": str(private / "ipython"), "JUPYTER_TOKEN": token}
        with open(private / "log", "w") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "jupyter_server"],
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            port = _port(
                server, private / "runtime" / f"jpserver-{server.pid}.json", private / "log"
            )
            yield lambda path: f"http://127.0.0.1:{port}/{path}?token={token}"
        finally:
            server.terminate()
            try:
                server.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:  # still grading
                server.kill()
                server.wait()


def _port(server, info, log):
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(
            FileNotFoundError, json.JSONDecodeError
        ):  # not there yet, or not to its end
            return json.loads(info.read_text())["port"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(0.1)
        assert server.poll() is None and time.monotonic() < deadline, log.read_text()


@contextlib.contextmanager
def chromium_page(address, known=()):
    """A page in headless Chromium, opened at an address of a server on this machine; errors in its
    console fail the test.

    Nothing is fetched from elsewhere, so a page is the same with and without a network. While it is
    open an event loop runs
    in this thread: what brings its own (nbclient) comes before or after. known: errors that are not
    of our making.
    """
    server = "/".join(address.split("/")[:3])
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        ) as browser,
    ):
        page, errors = browser.new_page(viewport={"width": 1400, "height": 900}), []

        def heard(message):
            if message.type == "error" and (
                message.location["url"].startswith(server) or not message.location["url"]
            ):
                errors.append(f"{message.text} ({message.location['url']})")

        page.on("console", heard)
        page.on("pageerror", lambda error: errors.append(error.message))
        page.route(
            lambda url: url.startswith("http") and not url.startswith(server),
            lambda route: route.abort(),
        )
        page.goto(address)
        yield page
        assert set(errors) <= set(known), "\n".join(errors)


def write_notebook(path, *cells):
    """A notebook of these code cells, with the kernel named, or JupyterLab asks for one."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(
        nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells], metadata=kernel
        ),
        path,
    )


def set_theme(address, theme):
    """Have JupyterLab "Light" or "Dark"."""
    body = json.dumps({"raw": json.dumps({"theme": f"JupyterLab {theme}"})}).encode()
    request = urllib.request.Request(
        address("lab/api/settings/@jupyterlab/apputils-extension:themes"), body, method="PUT"
    )
    deadline = time.monotonic() + _START_SECONDS
    while True:  # the server has its port some time before it answers there
        try:
            return urllib.request.urlopen(request).close()
        except urllib.error.URLError:
            assert time.monotonic() < deadline


# What the console of Notebook 7 says of itself and of nbgrader's extension.
NOTEBOOK_7_SAYS = [
    "Cannot read properties of undefined (reading 'schema')",
    "Command 'filebrowser:open-path' not registered.",
]


def start_all(page):
    """Start all cells of the open notebook of JupyterLab or Notebook 7 by its menu."""
    # A server that has just started may not yet have told which kernels there are.
    page.add_locator_handler(
        page.locator(".jp-Dialog", has_text="Select kernel for"),
        lambda dialog: dialog.locator("button.jp-mod-accept").click(),
    )
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt")
    idle = page.locator("#jp-main-statusbar", has_text="| Idle")  # in JupyterLab, or Notebook 7
    idle = idle.or_(page.locator(".jp-Notebook-ExecutionIndicator[data-status='idle']"))
    expect(idle.first).to_be_visible(timeout=60_000)
    menu = page.locator("#jp-MainMenu, #menu").get_by_text("Run", exact=True)
    for _ in range(10):  # a kernel that is just being connected does not always hear it
        menu.click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        with contextlib.suppress(AssertionError):
            expect(prompts.first).to_have_text(re.compile(r"\[[\d*]+\]"), timeout=5_000)
            break


def run_all(page, seconds):
    """Run the open notebook of JupyterLab or Notebook 7 to the last cell; a cell that fails, fails
    the test.
    """
    start_all(page)
    prompts = page.locator(".jp-CodeCell .jp-InputPrompt")
    failed = page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']")
    expect(failed.or_(prompts.last.filter(has_text=re.compile(r"\[\d+\]:")))).to_have_count(
        1, timeout=1000 * seconds
    )
    assert not failed.count(), failed.inner_text()
