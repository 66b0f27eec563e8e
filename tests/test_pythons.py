"""What students get runs on every Python and system, and `make test-pythons` tells a difference."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# As the students' bundle and wheel: without the instructors' part.
MODULES = [
    path.relative_to(ROOT).as_posix()
    for package in ("pusht", "score")
    for path in sorted((ROOT / package).rglob("*.py"))
    if "course" not in path.relative_to(ROOT).parts
]
# Windows has none of these.
POSIX_MODULES = {
    *("fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"),
}
POSIX_NAMES = {
    "os": {
        *("fork", "forkpty", "getuid", "geteuid", "getgid", "getpgid", "killpg", "setsid"),
        *("setpgid", "uname", "chown", "mkfifo", "nice", "getloadavg", "sched_getaffinity"),
        *("pread", "pwrite", "statvfs", "sysconf", "WNOHANG", "WEXITSTATUS", "openpty"),
    },
    "signal": {
        *("SIGKILL", "SIGALRM", "SIGHUP", "SIGCHLD", "SIGUSR1", "SIGUSR2", "SIGSTOP", "SIGCONT"),
        *("alarm", "setitimer", "ITIMER_REAL", "pthread_sigmask", "pthread_kill", "sigwait"),
    },
    "socket": {"AF_UNIX", "socketpair"},
}
# What is reached only where the system has it, or only in the grader's own process.
GUARDED = {
    "score/protocol.py": {"socket.AF_UNIX"},  # while a notebook is graded, in the sandbox
    "score/rerun/memory.py": {"resource"},  # where there is /proc
    "score/rerun/shell.py": {"signal.SIGALRM", "signal.setitimer", "signal.ITIMER_REAL"},
}


def posix_only(source):
    """What a module uses that Windows lacks, and of that, what its import needs at once."""
    found, at_once = set(), set()

    def look(node, inside):
        names = set()
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names} & POSIX_MODULES
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = {module} & POSIX_MODULES
            names |= {
                f"{module}.{alias.name}"
                for alias in node.names
                if alias.name in POSIX_NAMES.get(module, ())
            }
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = node.value.id
            names = {f"{module}.{node.attr}"} if node.attr in POSIX_NAMES.get(module, ()) else set()
        found.update(names)
        if not inside:
            at_once.update(names)
        later = ()  # what a function's call runs, unlike its defaults and decorators
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            later = node.body
        elif isinstance(node, ast.Lambda):
            later = [node.body]
        for child in ast.iter_child_nodes(node):
            look(child, inside or child in later)

    look(ast.parse(source), False)
    return found, at_once


@pytest.mark.parametrize(
    "source, found, at_once",
    [
        ("import fcntl", {"fcntl"}, {"fcntl"}),
        ("def f():\n    import pwd, os\n    os.fork()", {"pwd", "os.fork"}, set()),
        ("from signal import SIGKILL, SIGINT", {"signal.SIGKILL"}, {"signal.SIGKILL"}),
        ("def f(uid=os.getuid()): pass", {"os.getuid"}, {"os.getuid"}),
        ("class A:\n    end = signal.SIGKILL", {"signal.SIGKILL"}, {"signal.SIGKILL"}),
        ("f = lambda: os.setsid()", {"os.setsid"}, set()),
        ("import os, signal\nos.replace, signal.SIGINT, signal.SIGTERM", set(), set()),
    ],
)
def test_what_windows_lacks_is_seen(source, found, at_once):
    assert posix_only(source) == (found, at_once)


def test_what_students_get_imports_nothing_that_windows_lacks():
    assert len(MODULES) > 50
    for path in MODULES:
        found, at_once = posix_only((ROOT / path).read_text(encoding="utf-8"))
        assert not at_once, f"{path} cannot be imported on Windows: {', '.join(sorted(at_once))}"
        said = f"{path} uses what Windows lacks: {', '.join(sorted(found))}"
        assert found == GUARDED.get(path, set()), said


@pytest.fixture
def pythons():
    spec = importlib.util.spec_from_file_location("pythons", ROOT / ".ci" / "pythons.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_one_python_alone_skips_is_told_and_fails(pythons):
    both = {"a::b": "needs a browser"}
    outcomes = [
        pythons.Outcome("3.11", demo=True, passed=9, skipped=both),
        pythons.Outcome("3.12", demo=True, passed=8, skipped=both | {"a::c": "not on 3.12"}),
        pythons.Outcome("3.13", "not found"),
    ]
    assert pythons.only_here(outcomes) == {"3.11": [], "3.12": ["not on 3.12"]}
    assert pythons.table(outcomes)[3:] == [
        "| 3.11 | as recorded | 9 | 0 | 1 | nothing |",
        "| 3.12 | as recorded | 8 | 0 | 2 | not on 3.12 |",
        "| 3.13 | not found |  |  |  |  |",
    ]
    assert not any(map(pythons.fails, outcomes))


def test_a_failed_test_a_changed_grade_and_a_set_up_that_failed_are_failures(pythons):
    assert pythons.fails(pythons.Outcome("3.12", demo=True, passed=9, failed=1))
    assert pythons.fails(pythons.Outcome("3.12", demo=False, passed=9))
    assert pythons.fails(pythons.Outcome("3.12", "no set-up"))


def test_pytests_report_is_counted(pythons, tmp_path):
    (tmp_path / "report.xml").write_text(
        "<testsuites><testsuite>"
        '<testcase classname="a" name="b"/>'
        '<testcase classname="a" name="c"><failure message="x"/></testcase>'
        '<testcase classname="a" name="d"><error message="x"/></testcase>'
        '<testcase classname="a" name="e"><skipped message="needs a browser"/></testcase>'
        "</testsuite></testsuites>"
    )
    outcome = pythons.Outcome("3.12")
    pythons.count(tmp_path / "report.xml", outcome)
    assert (outcome.passed, outcome.failed) == (1, 2)
    assert outcome.skipped == {"a::e": "needs a browser"}


def test_the_tests_of_the_students_part_are_there_and_need_no_instructors_part():
    """Those that the workflow runs on Windows and macOS."""
    tests = (ROOT / ".ci" / "student_tests.txt").read_text(encoding="utf-8").split()
    assert tests == sorted(tests)
    waiting = ["tests/conftest.py", *tests]
    for test in waiting:  # which grows by what these import of tests/
        source = (ROOT / test).read_text(encoding="utf-8")
        assert not posix_only(source)[1], test
        for name in imported(source):
            assert not name.startswith(("score.course", "nbgrader")), (test, name)
            beside = f"tests/{name}.py"
            if (ROOT / beside).exists() and beside not in waiting:
                waiting.append(beside)


def imported(source):
    """The names of the modules that a module imports when it is imported itself."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


# The checks' own arrays and networks are on the CPU by construction.
ON_THE_CPU = "score/questions/"


def test_what_is_on_a_gpu_comes_to_the_cpu_before_it_is_float64():
    """Apple's GPUs have no float64."""
    for path in MODULES:
        if path.startswith(ON_THE_CPU) and not path.endswith("/base.py"):
            continue
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                to_double = node.func.attr == "double" or (
                    node.func.attr == "to" and "float64" in ast.unparse(node)
                )
                where = f"{path}:{node.lineno}: {ast.unparse(node)}"
                assert not to_double or ".cpu()" in ast.unparse(node.func.value), where
