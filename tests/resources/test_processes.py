from __future__ import annotations

import os
import subprocess
import sys

import pytest

from resources.processes import is_running, pid_of, this_process


def test_this_process_runs():
    assert pid_of(this_process()) == os.getpid()
    assert is_running(this_process()) is True


def test_a_process_that_has_ended_does_not_run_even_before_its_parent_has_noticed():
    script = "from resources.processes import this_process; print(this_process())"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        named = child.stdout.read().strip()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert pid_of(named) == child.pid
        assert is_running(named) is False
    assert is_running(named) is False


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="this kernel does not tell when a process started")
def test_another_process_of_the_same_number_and_another_boot_are_not_this_process():
    host, boot, pid, start = this_process().split(" ")
    assert is_running(f"{host} {boot} {pid} {int(start) - 1}") is False
    assert is_running(f"{host} other-boot {pid} {start}") is False


@pytest.mark.parametrize("named", ["", "elsewhere boot 1 1", "only three parts", f"{this_process().split()[0]} b x 1"])
def test_of_another_machine_or_of_no_process_nothing_can_be_told(named):
    assert is_running(named) is None
