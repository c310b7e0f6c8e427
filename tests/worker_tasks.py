"""What tests/test_worker.py asks a child process to do."""

import ctypes
import os
import subprocess
import sys
import time


def add(a, b):
    return a + b


def process_id():
    return os.getpid()


def environment(name):
    return os.environ.get(name)


def segfault():
    print("about to read address 0")
    ctypes.string_at(0)


def leave(status):
    print("leaving")
    os._exit(status)


def hang():
    time.sleep(3600)


def hang_without_python():
    """Holds the interpreter: no thread of the child can do anything."""
    ctypes.PyDLL(None).sleep(3600)


def allocate(size):
    kept = []
    for _ in range(size // 2**20):
        kept.append(b"x" * 2**20)
        time.sleep(0.001)
    return len(kept)


def chatter():
    print("on standard output")
    print("on standard error", file=sys.stderr)
    os.write(1, b"past sys.stdout\n")
    return sys.stdin.read()


class Broken(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def raise_unpicklable():
    raise Broken("this", "that")


def raise_usage():
    from optbench.errors import UsageError

    raise UsageError("unknown thing 'x'")


def unpicklable():
    return lambda: None


def exit_politely():
    sys.exit("enough")


def start_grandchild():
    """A process that holds the child's descriptors and outlives it, unless somebody ends the group."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], close_fds=False).pid


def grandchild_then_die():
    pid = os.fork()
    if pid == 0:
        time.sleep(3600)
    print(pid)
    os._exit(5)
