"""Tries to take more of the machine than a notebook is given, each bounded by itself: what a cell
gets hold of, in bytes, it prints in a line that begins with GOT.
"""

MOST = 3 * 2**28  # bytes that a try takes at most

_BEGIN = f"""
import ctypes, mmap, os, socket
MOST, BLOCK = {MOST}, bytes(2**24)
SOCKETS = os.path.dirname(os.environ["PUSHT_GRADER"])
libc = ctypes.CDLL(None, use_errno=True)
def fill(write):
    got = 0
    try:
        while got < MOST:
            got += write(BLOCK)
    except OSError as error:
        print("no", error)
    return got
def got(what, act):
    try:
        count = act()
    except BaseException as error:
        print("no", what, type(error).__name__, error)
    else:
        print("GOT", count, what)
"""

# What gives memory that belongs to no process.
HIDDEN = {
    "a memfd": """
got("memfd", lambda: fill(os.fdopen(os.memfd_create("x"), "wb", 0).write))""",
    "System V shared memory": """
def act():
    libc.shmat.restype = ctypes.c_void_p
    part = libc.shmget(0, ctypes.c_size_t(MOST), 0o1600)
    if part < 0: raise OSError(ctypes.get_errno(), "shmget")
    at = libc.shmat(part, None, 0)
    ctypes.memset(at, 1, MOST); libc.shmdt(ctypes.c_void_p(at)); libc.shmctl(part, 0, None)
    return MOST
got("shm", act)""",
    "System V semaphores": """
def act():
    made = [libc.semget(0, 32000, 0o1600) for _ in range(100)]
    for one in made: libc.semctl(one, 0, 0)
    if made[0] < 0: raise OSError(ctypes.get_errno(), "semget")
    return 32000 * 64 * sum(one >= 0 for one in made)
got("semaphores", act)""",
    "a file system of one's own": """
def act():
    user, group, child = os.getuid(), os.getgid(), os.fork()
    if not child:
        try:
            if libc.unshare(0x10020000): os._exit(0)
            own, same = f"{user} {user} 1", f"{group} {group} 1"
            for name, what in ("setgroups", "deny"), ("uid_map", own), ("gid_map", same):
                with open(f"/proc/self/{name}", "w") as file: file.write(what)
            if libc.mount(b"x", b"/tmp", b"tmpfs", 0, b"size=4g"): os._exit(0)
            count = 0
            for i in range(8):
                count += fill(open(f"/tmp/{i}", "wb", 0).write)
                if count >= MOST: break
            os._exit(count > 2**28)
        finally: os._exit(0)
    if os.waitpid(child, 0)[1]: return MOST
    raise OSError("no file system")
got("tmpfs", act)""",
    "an unlinked file beside the sockets": """
def act():
    file = open(f"{SOCKETS}/x", "wb", 0); os.unlink(f"{SOCKETS}/x")
    return fill(file.write)
got("unlinked", act)""",
    "a file in a folder beside the sockets": """
def act():
    os.mkdir(f"{SOCKETS}/d")
    return fill(open(f"{SOCKETS}/d/x", "wb", 0).write)
got("nested", act)""",
    "data in connections that nobody accepts": """
def act():
    def wait(listener, name):
        while True:
            one = socket.socket(socket.AF_UNIX); one.setblocking(False); one.connect(name)
            total = 0
            try:
                while True: total += one.send(BLOCK[:2**15])
            except BlockingIOError: pass
            one.close()
            yield total
    name, listener, total = os.path.expanduser("~/x"), socket.socket(socket.AF_UNIX), 0
    listener.bind(name); listener.listen(4096)
    for count in wait(listener, name):
        total += count
        if total >= MOST: return total
got("connections", act)""",
    "/dev/shm": """
got("/dev/shm", lambda: fill(open("/dev/shm/x", "wb", 0).write))""",
    "files in every folder that can be written to": """
def folders():
    seen = set()
    for line in open("/proc/self/mounts"):
        point = line.split()[1]
        if point not in seen and os.access(point, os.W_OK) and os.path.isdir(point):
            seen.add(point); yield point
def act():
    total = 0
    for folder in folders():
        if folder in ("/tmp", "/home/student"): continue  # these have their size
        with open(f"{folder}/x", "wb", 0) as file: total += fill(file.write)
    if not total: raise OSError("none")
    return total
got("writable", act)""",
}

# What is counted as the kernel's own: it is stopped for it.
COUNTED = {
    "tables of pages": """
import time
held = []
alone = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # and nothing is reserved
for _ in range(40):
    part = mmap.mmap(-1, 2**36, flags=alone, prot=mmap.PROT_READ)
    for at in range(0, 2**36, 2**21): part[at]
    held.append(part); time.sleep(0.1)
time.sleep(5)""",
    "empty files": """
import time
try:
    for i in range(2_000_000): os.close(os.open(os.path.expanduser(f"~/{i}"), os.O_CREAT))
except OSError as error: print("no", error)
time.sleep(5)""",
    "data that waits in sockets": """
import time
held = []
for _ in range(3):
    if not os.fork(): break
try:
    while True:
        pair = socket.socketpair(); held.append(pair)
        for one in pair:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**24); one.setblocking(False)
            try:
                while True: one.send(bytes(2**15))
            except BlockingIOError: pass
except OSError as error: print("no", error)
time.sleep(5)""",
}


def source(name):
    """The cell of a try."""
    return _BEGIN + {**HIDDEN, **COUNTED}[name]
