"""Every TOML of docs/data-contract.md is a valid configuration."""

import re
import tomllib
from pathlib import Path

import pytest

from recsys.config import Config

PAGE = (Path(__file__).parents[2] / "docs" / "data-contract.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_the_page_are_valid(example: str) -> None:
    settings = tomllib.loads(example)
    assert Config.model_validate({**settings, "source": {"kind": "files", **settings["source"]}})


def test_the_page_names_every_setting_of_a_table() -> None:
    for name in ("columns", "constants", "ignore", "extra", "missing", "quote", "escape", "encoding", "header", "events",
                 "flags", "otherwise", "value_scale", "separator"):  # fmt: skip
        assert f"`{name}`" in PAGE


def test_there_is_an_example_for_each_public_set() -> None:
    assert len(EXAMPLES) >= 5
