"""A child that crashes, hangs, leaves, grows or chatters costs one call, and nothing of it stays behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from optbench.errors import UsageError
from optbench.worker import Worker, WorkerCrash, WorkerError

TASKS = "worker_tasks"
posix = pytest.mark.skipif(os.name != "posix", reason="signals and process groups")


@pytest.fixture(autouse=True)
def importable_tasks(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture
def worker():
    with Worker() as worker:
        yield worker


def call(worker, name, *arguments, timeout=20.0):
    return worker.call(f"{TASKS}:{name}", *arguments, timeout=timeout)


def alive(pid):
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(*pids):
    """Whether the processes end soon: a signal takes effect a moment after it was sent."""
    for _ in range(150):
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def test_calls_share_one_child_that_is_not_the_parent(worker):
    assert call(worker, "add", 2, 3) == 5
    assert call(worker, "process_id") == call(worker, "process_id") == worker.pid != os.getpid()


def test_environment_is_the_childs_alone():
    with Worker({"OPTBENCH_TEST_VARIABLE": "7"}) as worker:
        assert call(worker, "environment", "OPTBENCH_TEST_VARIABLE") == "7"
    assert "OPTBENCH_TEST_VARIABLE" not in os.environ


@posix
def test_segfault_names_signal_line_and_last_words(worker):
    with pytest.raises(WorkerCrash) as caught:
        call(worker, "segfault")
    message = str(caught.value)
    assert "SIGSEGV" in message and "worker_tasks.py line" in message and "(segfault)" in message
    assert message.endswith("it last said: about to read address 0")
    assert "\n" not in message
    assert call(worker, "add", 1, 1) == 2


def test_exit_names_the_status(worker):
    with pytest.raises(WorkerCrash, match=r"^it left with exit status 3; it last said: leaving$"):
        call(worker, "leave", 3)
    assert call(worker, "add", 1, 1) == 2


def test_hang_ends_at_the_limit_and_says_where(worker):
    call(worker, "add", 1, 1)
    start = time.monotonic()
    with pytest.raises(WorkerCrash, match=r"^no answer within 0.3 s") as caught:
        call(worker, "hang", timeout=0.3)
    assert time.monotonic() - start < 3
    if os.name == "posix":
        assert "worker_tasks.py line" in str(caught.value) and "(hang)" in str(caught.value)
    assert call(worker, "add", 1, 1) == 2


@posix
def test_hang_that_holds_the_interpreter_ends_too(worker):
    with pytest.raises(WorkerCrash, match="no answer within"):
        call(worker, "hang_without_python", timeout=0.3)
    assert call(worker, "add", 1, 1) == 2


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is known on Linux only")
def test_memory_blow_up_is_ended():
    with Worker(memory_limit=200 * 2**20) as worker:
        with pytest.raises(WorkerCrash, match=r"^it used more than 0.21 GB of memory"):
            call(worker, "allocate", 4 * 2**30)
        assert call(worker, "allocate", 2**20) == 1


def test_chatter_does_not_reach_the_data_or_the_parent(worker, capfd):
    assert call(worker, "chatter") == ""
    assert call(worker, "add", 2, 2) == 4
    assert capfd.readouterr() == ("", "")


def test_exception_comes_as_text_and_the_child_lives_on(worker):
    pid = call(worker, "process_id")
    with pytest.raises(WorkerError, match=r"^Broken: this and that$") as caught:
        call(worker, "raise_unpicklable")
    assert "raise_unpicklable" in caught.value.trace
    with pytest.raises(WorkerError, match=r"^SystemExit: enough$"):
        call(worker, "exit_politely")
    with pytest.raises(WorkerError, match="pickle"):
        call(worker, "unpicklable")
    assert call(worker, "process_id") == pid


def test_our_own_errors_keep_their_type(worker):
    with pytest.raises(UsageError, match="unknown thing 'x'"):
        call(worker, "raise_usage")


def test_missing_function_is_an_error_of_the_call(worker):
    with pytest.raises(WorkerError, match="ModuleNotFoundError"):
        worker.call("no_such_module_here:f", timeout=5)
    with pytest.raises(WorkerError, match="AttributeError"):
        call(worker, "no_such_function")


@posix
def test_close_leaves_no_process_behind(worker):
    child, grandchild = call(worker, "process_id"), call(worker, "start_grandchild")
    assert alive(child) and alive(grandchild)
    worker.close()
    assert gone(child, grandchild)
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)
    assert worker.pid is None


@posix
def test_death_is_noticed_while_a_grandchild_holds_the_pipe(worker):
    call(worker, "add", 1, 1)
    start = time.monotonic()
    with pytest.raises(WorkerCrash, match="exit status 5") as caught:
        call(worker, "grandchild_then_die")
    assert time.monotonic() - start < 5
    assert gone(int(caught.value.output.split()[-1]))


@posix
def test_interrupt_ends_the_child_at_once(worker):
    pid = call(worker, "process_id")
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        call(worker, "hang")
    assert time.monotonic() - start < 3
    assert gone(pid)


@posix
def test_child_ends_when_its_parent_is_killed():
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "from optbench.worker import Worker\n"
        "worker = Worker(); print(worker.call('worker_tasks:process_id', timeout=20), flush=True)\n"
        "worker.call('worker_tasks:hang', timeout=3600)\n"
    )
    folders = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    with subprocess.Popen([sys.executable, "-c", code, *folders], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
    assert gone(child)
