import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIG = """
name = "small"
storage = "data"

[source]
kind = "demo"
days = 30
scale = 0.3
n_items = 300

[model]
dim = 32
epochs = 8
"""


class Stack:
    """The real stack over a folder of its own, from which relative addresses count."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.storage = folder / "data"
        self.config.write_text(CONFIG)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "recsys.stack", *arguments, "--state", str(self.folder / "state")]
        env = {**os.environ, "COLUMNS": "160"}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=self.folder)

    def demo(self) -> subprocess.CompletedProcess[str]:
        return self.run("demo", "--config", str(self.config))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    yield stack
    stack.run("down")
