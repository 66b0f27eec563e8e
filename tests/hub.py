"""A real JupyterHub on this machine, with accounts of its own, and what its users do by its HTTP
API: their servers, their files, notebooks run in a kernel, nbgrader's pages.
"""

import asyncio
import base64
import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import uuid
import venv
from pathlib import Path

import psutil
import pytest
import requests
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

ROOT = Path(__file__).resolve().parents[1]
# The hub and its proxy stay there between runs: installing them takes a minute.
HUB = ROOT / "build" / "jupyterhub"
LOG = HUB / "log"  # of the last hub
_HUB_PYTHON = HUB / "venv" / "bin" / "python"
_PROXY = HUB / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
_START_SECONDS, _CALL_SECONDS, _CELL_SECONDS = 180, 300, 600

_CONFIG = """
c = get_config()
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allowed_users = {users!r}
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.command = ["node", {proxy!r}]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.pid_file = "proxy.pid"
c.JupyterHub.services = [{{"name": "tests", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [
    {{"name": "tests", "services": ["tests"], "scopes": ["admin:users", "tokens", "admin:servers"]}}
]
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.start_timeout = c.Spawner.http_timeout = {seconds}
c.Spawner.environment = {environment!r}
load_subconfig({course!r})
"""
_SCRIPT = "#!{python}\nimport sys\nfrom {module} import main\nsys.exit(main())\n"


def installed():
    """Install the hub and its proxy where that has not been done; skip where it cannot be."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("needs node and npm, for the hub's proxy")
    if not (HUB / "whole").exists():
        shutil.rmtree(HUB, ignore_errors=True)
        venv.create(HUB / "venv", with_pip=True)
        for command in (
            [str(_HUB_PYTHON), "-m", "pip", "install", "-q", "jupyterhub>=5,<7"],
            ["npm", "install", "--silent", "--prefix", str(HUB), "configurable-http-proxy@5"],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"needs the network: {done.stderr.strip()[-300:]}")
        (HUB / "whole").touch()


class Account:
    """A user of this machine, made for a test, and what runs as this user."""

    def __init__(self, name: str, home: Path) -> None:
        self.name, self.home = f"{name}{secrets.token_hex(3)}", home
        subprocess.run(
            [
                "useradd",
                "--create-home",
                "--home-dir",
                str(home),
                "--shell",
                "/bin/bash",
                self.name,
            ],
            check=True,
            capture_output=True,
        )
        self.user = pwd.getpwnam(self.name)

    def run(self, *command: str, cwd: Path, python: Path) -> subprocess.CompletedProcess[str]:
        """Run a command in a folder, with an environment's programs first on the path."""
        kept = {
            name: os.environ[name] for name in ("LANG", "OMP_NUM_THREADS") if name in os.environ
        }
        variables = {"HOME": str(self.home), "USER": self.name, "TMPDIR": "/tmp"}
        variables["PATH"] = f"{python.parent}{os.pathsep}/usr/local/bin:/usr/bin:/bin"
        ids = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        return subprocess.run(
            command, cwd=cwd, env=kept | variables, capture_output=True, text=True, **ids
        )

    def remove(self) -> None:
        """End what runs as the user, and remove the account; its home folder is the test's."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.uids().real == self.user.pw_uid:
                    process.kill()
        subprocess.run(["userdel", "--force", self.name], check=False, capture_output=True)


def environment(folder: Path, *paths: Path) -> Path:
    """Make a Python environment with the packages of the tests' own and of the hub's; return its
    python. The kit is not in it, unless a path has it.
    """
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    own = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    of_hub = sysconfig.get_path("purelib", vars={"base": str(HUB / "venv")})
    lines = [*map(str, paths), sysconfig.get_path("purelib"), of_hub]
    (own / "packages.pth").write_text("\n".join([*lines, ""]))
    shutil.copytree(Path(sys.prefix, "etc", "jupyter"), folder / "etc" / "jupyter")
    (folder / "share").mkdir(exist_ok=True)
    (folder / "share" / "jupyter").symlink_to(Path(sys.prefix, "share", "jupyter"))
    for name, module in (
        ("jupyter", "jupyter_core.command"),
        ("jupyter-server", "jupyter_server.serverapp"),
        ("jupyter-labextension", "jupyterlab.labextensions"),
        ("nbgrader", "nbgrader.apps.nbgraderapp"),
        ("alembic", "alembic.config"),
    ):
        script = folder / "bin" / name
        script.write_text(_SCRIPT.format(python=python, module=module))
        script.chmod(0o755)
    return python


@contextlib.contextmanager
def running(folder: Path, course: Path, python: Path, users: list[str]):
    """A hub in a folder; yields user(name) with the `User` of that name.

    course: the configuration that the course gives. python: of the users' servers.
    """
    token, (port, hub_port, proxy_port) = secrets.token_hex(), _free_ports(3)
    (folder / "jupyterhub_config.py").write_text(
        _CONFIG.format(
            users=users,
            port=port,
            hub_port=hub_port,
            proxy_port=proxy_port,
            proxy=str(_PROXY),
            token=token,
            python=str(python),
            seconds=_START_SECONDS,
            environment={"PUSHT_MAX_EPOCHS": "1"},
            course=str(course),
        )
    )
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "JUPYTER"))}
    with open(folder / "log", "w") as log:
        hub = subprocess.Popen(
            [str(_HUB_PYTHON), "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _until(lambda: requests.get(f"{address}/hub/api/").ok, "the hub answers", hub)
        yield lambda name: User(address, token, name)
    finally:
        LOG.write_bytes((folder / "log").read_bytes())
        hub.terminate()  # then it stops its users' servers and its proxy
        try:
            hub.wait(60)
        except subprocess.TimeoutExpired:
            hub.kill()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # if it could not
            os.kill(int((folder / "proxy.pid").read_text()), signal.SIGTERM)


class User:
    """A user of the hub, with a token of the hub's, by which servers know who asks."""

    def __init__(self, address: str, admin: str, name: str) -> None:
        self.address, self.name = address, name
        self._admin = {"Authorization": f"token {admin}"}
        made = self._of_hub("post", f"users/{name}/tokens", json={"note": "the tests"})
        self._own = {"Authorization": f"token {made.json()['token']}"}

    def start(self) -> None:
        """Start the user's server, and wait for it."""
        self._of_hub("post", f"users/{self.name}/server")
        ready = f"{self.address}/hub/api/users/{self.name}"
        _until(
            lambda: requests.get(ready, headers=self._admin).json()["servers"][""]["ready"],
            f"the server of {self.name} is ready",
        )

    def ask(self, method: str, path: str, **options) -> requests.Response:
        """Call a page below the hub's address with the user's token."""
        return requests.request(
            method,
            f"{self.address}/{path}",
            headers=self._own,
            timeout=_CALL_SECONDS,
            allow_redirects=False,
            **options,
        )

    def own(self, method: str, path: str, **options):
        """Call a page of the user's server, which has to answer well; return its JSON."""
        answer = self.ask(method, f"user/{self.name}/{path}", **options)
        assert answer.ok, (path, answer.status_code, answer.text[:2000])
        return answer.json() if answer.content else None

    def notebook(self, path: str):
        """Return a notebook of the user's as JSON."""
        return self.own("get", f"api/contents/{path}", params={"content": 1})["content"]

    def save(self, path: str, notebook) -> None:
        """Save a notebook, as JupyterLab does."""
        whole = {"type": "notebook", "format": "json", "content": notebook}
        self.own("put", f"api/contents/{path}", json=whole)

    def upload(self, path: str, content: bytes) -> None:
        """Save a file, as JupyterLab's upload does."""
        text = base64.b64encode(content).decode()
        whole = {"type": "file", "format": "base64", "content": text}
        self.own("put", f"api/contents/{path}", json=whole)

    def run(self, path: str, cells: list[str]) -> list[str]:
        """Run cells in a kernel of the notebook's; return what each printed and showed as text.
        AssertionError where one fails.
        """
        name = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        kernel = self.own("post", "api/sessions", json=name)["kernel"]["id"]
        try:
            return asyncio.run(self._run(kernel, cells))
        finally:
            self.own("delete", f"api/kernels/{kernel}")

    async def _run(self, kernel: str, cells: list[str]) -> list[str]:
        address = self.address.replace("http", "ws", 1)
        request = HTTPRequest(
            f"{address}/user/{self.name}/api/kernels/{kernel}/channels", headers=self._own
        )
        connection = await websocket_connect(request, max_message_size=2**28)
        limit = asyncio.wait_for
        said = [await limit(_executed(connection, cell), _CELL_SECONDS) for cell in cells]
        connection.close()
        return said

    def _of_hub(self, method: str, path: str, **options) -> requests.Response:
        answer = requests.request(
            method, f"{self.address}/hub/api/{path}", headers=self._admin, **options
        )
        assert answer.ok, (path, answer.status_code, answer.text)
        return answer


async def _executed(connection, cell: str) -> str:
    number = uuid.uuid4().hex
    header = {"msg_id": number, "msg_type": "execute_request", "username": "", "session": number}
    content = {"code": cell, "silent": False, "store_history": True, "stop_on_error": True}
    message = {"header": header | {"version": "5.3"}, "parent_header": {}, "metadata": {}}
    await connection.write_message(json.dumps(message | {"content": content, "channel": "shell"}))
    said = ""
    while True:
        answer = json.loads(await connection.read_message())
        if answer["parent_header"].get("msg_id") != number:
            continue
        kind, content = answer["msg_type"], answer["content"]
        assert kind != "error", "\n".join(content["traceback"]) + f"\nin the cell\n{cell}"
        said += content.get("text", "") if kind == "stream" else ""
        said += content.get("data", {}).get("text/plain", "") if "data" in content else ""
        if kind == "status" and content["execution_state"] == "idle":
            return said


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _until(condition, what: str, process: subprocess.Popen | None = None) -> None:
    """Wait until something holds."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(requests.ConnectionError, KeyError):
            if condition():
                return
        assert process is None or process.poll() is None, (
            f"the hub has ended before {what}: see {LOG}"
        )
        time.sleep(0.3)  # a server of another process is asked whether it is there
    raise AssertionError(f"not within {_START_SECONDS} s: {what}")
