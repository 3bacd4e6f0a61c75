"""The git engine: objects through the git CLI, each distinct blob read once."""

from streams.search.git.engine import GitEngine
from streams.search.git.state import default_branch, describe

__all__ = ["GitEngine", "default_branch", "describe"]
