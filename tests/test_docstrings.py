"""What a docstring owes: every module says what it is for, every public name what it takes and gives."""

import ast
from itertools import pairwise

import pytest

from source import modules

# Documented where it is made: `osnet.build`.
MADE_ELSEWHERE = {"osnet.OSNet"}

PUBLIC = [
    (module, node)
    for module in modules()
    for node in module.tree.body
    if getattr(node, "name", None) in (module.public_names() or ())
]
FUNCTIONS = [(module, node) for module, node in PUBLIC if isinstance(node, ast.FunctionDef)]
CLASSES = [(module, node) for module, node in PUBLIC if isinstance(node, ast.ClassDef)]


def full_name(value):
    return value.name or "osnet_encoder" if hasattr(value, "path") else value.name


def sections(node):
    """The headings of a NumPy-style docstring, with "" for the docstring itself."""
    lines = (ast.get_docstring(node) or "").splitlines()
    headings = {line for line, rule in pairwise(lines) if line and rule == "-" * len(line)}
    return headings | ({""} if lines else set())


def arguments(function):
    every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    every += [function.args.vararg, function.args.kwarg]
    return [argument.arg for argument in every if argument is not None and argument.arg != "self"]


def decorators(node):
    return " ".join(ast.unparse(decorator) for decorator in node.decorator_list)


def gives(function, *kinds):
    """Whether a function returns or yields anything; what functions within it do does not count."""
    below = list(function.body)
    while below:
        node = below.pop()
        if isinstance(node, kinds) and node.value is not None:
            return True
        if not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            below += ast.iter_child_nodes(node)
    return False


@pytest.mark.parametrize("module", modules(), ids=full_name)
def test_a_module_says_what_it_is_for_and_what_is_public(module):
    assert ast.get_docstring(module.tree)
    assert len(module.tree.body) == 1 or module.public_names() is not None


@pytest.mark.parametrize(("module", "function"), FUNCTIONS, ids=full_name)
def test_a_public_function_says_what_it_takes_and_gives(module, function):
    if "click.command" in decorators(function):
        return  # its docstring is what --help shows
    found = sections(function)
    assert "" in found
    if function.name.startswith("is_") and ast.get_docstring(function).startswith("Whether"):
        return  # a question and its answer are said in one line
    assert "Parameters" in found or not arguments(function)
    assert "Yields" in found or not gives(function, ast.Yield, ast.YieldFrom)
    assert {"Returns", "Yields"} & found or not gives(function, ast.Return)


@pytest.mark.parametrize(("module", "cls"), CLASSES, ids=full_name)
def test_a_public_class_says_what_it_is_made_of(module, cls):
    inits = [node for node in cls.body if getattr(node, "name", "") == "__init__"]
    takes = "dataclass" in decorators(cls) or any(arguments(init) for init in inits)
    found = sections(cls)
    assert "" in found
    if f"{module.name}.{cls.name}" not in MADE_ELSEWHERE:
        assert {"Parameters", "Attributes"} & found or not takes
