import os
import subprocess
import sys
from pathlib import Path

import pytest

from recsys.stack.lock import DemoRunningError, demo_lock, holder


def test_a_second_demo_is_refused_and_told_who_runs(tmp_path: Path) -> None:
    with demo_lock(tmp_path):
        assert holder(tmp_path) == os.getpid()
        message = rf"another demo runs \(process {os.getpid()}\).*make down"
        with pytest.raises(DemoRunningError, match=message), demo_lock(tmp_path):
            pass
    with demo_lock(tmp_path):
        pass
    assert holder(tmp_path) is None


def test_the_command_line_refuses_a_second_demo(tmp_path: Path) -> None:
    with demo_lock(tmp_path):
        command = [sys.executable, "-m", "recsys.stack", "demo", "--state", str(tmp_path)]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "another demo runs" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_killed_demo_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path; from recsys.stack.lock import demo_lock\n"
        f"with demo_lock(Path({str(tmp_path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert holder(tmp_path) is None
