"""The demo world: a deterministic media company whose true preferences are known."""

from recsys.data.demo.world import DemoWorld

__all__ = ["DemoWorld"]
