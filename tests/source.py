"""The project's own source, read and not run: its modules, and what each imports."""

import ast
import sys
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# The folders that are installed.
CODE = ("osnet_encoder", "cli", "training")


@dataclass(frozen=True)
class Module:
    """One source file that is installed; `name` is the one within the package, "" for the package itself."""

    name: str
    path: Path
    tree: ast.Module

    def public_names(self):
        """What `__all__` says, or None where there is none."""
        for statement in self.tree.body:
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
                return ast.literal_eval(statement.value)
        return None

    @cached_property
    def imports(self):
        """Every import as (ours, name, is_top): a module of ours by its name within the package, or a package.

        The standard library's are left out. `is_top` says whether the import runs when the module is loaded.
        """
        found = []
        for statement, is_top in _statements(self.tree, True):
            for name in self._imported(statement):
                first, _, rest = name.partition(".")
                if first == "osnet_encoder":
                    found.append((True, rest, is_top))
                elif first not in sys.stdlib_module_names:
                    found.append((False, first, is_top))
        return found

    def _imported(self, statement):
        if isinstance(statement, ast.Import):
            return [alias.name for alias in statement.names]
        if not isinstance(statement, ast.ImportFrom):
            return []
        package = ["osnet_encoder", *filter(None, self.name.split("."))]
        if self.path.name != "__init__.py":
            package.pop()
        stem = ".".join(package[: len(package) + 1 - statement.level]) if statement.level else ""
        origin = ".".join(filter(None, (stem, statement.module)))
        # `from . import crops` names a module; `from .crops import LIMITS` a thing in one.
        known = {f"osnet_encoder.{module.name}" for module in modules()}
        inner = [f"{origin}.{alias.name}" for alias in statement.names]
        return [name if name in known else origin for name in inner]


@cache
def modules():
    """Every module that is installed."""
    return tuple(
        Module(_name(path), path, ast.parse(path.read_text(encoding="utf-8")))
        for folder in CODE
        for path in sorted((ROOT / folder).rglob("*.py"))
    )


def python_files():
    """Every Python file of the project, installed or not."""
    folders = (*CODE, "examples", "benchmarks", "tests")
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def _name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "osnet_encoder" else parts
    return ".".join(part for part in parts if part != "__init__")


def _statements(node, is_top):
    """Every statement below a node, and whether it runs when the module is loaded."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child, is_top
        for_types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        deferred = for_types or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
        yield from _statements(child, is_top and not deferred)
