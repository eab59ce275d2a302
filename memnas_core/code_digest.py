"""A digest of what a part of this project's code does; moved definitions and reworded comments do not change it.

From an entry, such as `memnas_core.training.worker:run`, names are followed to the project's definitions that they
stand for, and on from there. The digest covers the syntax of each definition, without docstrings, comments, layout,
import lines and annotations of functions, and which definitions its names stand for. The place of a definition does not
count: a file may be moved, divided or renamed. A definition that was renamed or rewritten counts as other code.

Code is read, not run. Names are followed through imports, also those inside functions, through attributes of imported
modules, and through strings of the form `package.module:name`, with which registries name what they import on demand.
Methods belong to their class. Code that is reached in other ways (`getattr`, an argument whose class no reached code
constructs) is not seen. This module is left out: it assigns results to code, but decides no result.
"""

import ast
import hashlib
import re
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

PROJECT = ("memnas_core", "tasks", "flows", "experiments", "benchmarks")

_REFERENCE = re.compile(rf"((?:{'|'.join(PROJECT)})(?:\.\w+)+):(\w+)")


_READING = threading.Lock()  # Python 3.11 before 3.11.8 fails where two threads parse at once


class Definition(NamedTuple):
    """A name defined at the top of a module; a statement that defines none has its number as its name."""

    module: str
    name: str


def code_digest(*entries: str) -> str:
    """Return a digest of the code that is reached from some entries, 16 hexadecimal digits.

    Args:
        entries: Definitions as `package.module:name`.

    Raises:
        LookupError: An entry names no definition of the project.
    """
    found: set[str] = set()
    with _READING:
        for definition in reached(*entries):
            module = _module(definition.module)
            own = module.meaning(definition.name)
            found.add(own)
            for words, other in module.references(definition.name):
                found.add(f"{own} {words} {_module(other.module).meaning(other.name)}")
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()[:16]


def reached(*entries: str) -> set[Definition]:
    """Return the definitions of the project that are reached from some entries, themselves included.

    Args:
        entries: Definitions as `package.module:name`.

    Raises:
        LookupError: An entry names no definition of the project.
    """
    waiting: list[Definition] = []
    for entry in entries:
        place, _, name = entry.partition(":")
        definition = _resolved(place, (name,))
        if definition is None:
            raise LookupError(f"{entry}: expected a definition of this project, found none")
        waiting.append(definition)
    found: set[Definition] = set()
    while waiting:
        definition = waiting.pop()
        if definition not in found:
            found.add(definition)
            module = _module(definition.module)
            waiting += [other for _, other in module.references(definition.name)]
            # Statements that define nothing run whenever the module is imported.
            waiting += [Definition(definition.module, name) for name in module.statements if name.isdigit()]
    return found


class _Module:
    """The statements of one module, by the names that they define."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.statements: dict[str, list[ast.stmt]] = {}
        self.imports: dict[str, tuple[str, ...]] = {}
        self._meanings: dict[str, str] = {}
        self._references: dict[str, list[tuple[str, Definition]]] = {}
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = (node.module, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    root = alias.name.partition(".")[0]
                    self.imports[alias.asname or root] = (alias.name if alias.asname else root,)
        _WithoutWords().visit(tree)
        for number, statement in enumerate(tree.body):
            for name in _defined(statement) or [str(number)]:
                self.statements.setdefault(name, []).append(statement)

    def meaning(self, name: str) -> str:
        """Return a digest of the statements that define a name."""
        if name not in self._meanings:
            text = _REFERENCE.sub(r"\2", "\n".join(map(ast.dump, self.statements[name])))
            self._meanings[name] = hashlib.sha256(text.encode()).hexdigest()
        return self._meanings[name]

    def references(self, name: str) -> list[tuple[str, Definition]]:
        """Return the definitions that the statements of a name refer to, with the words that refer to them."""
        if name not in self._references:
            found: dict[str, Definition] = {}
            for module, words in _names(self.statements[name]):
                target = _resolved(module or self.name, tuple(words.split(".")))
                if target is not None and target != (self.name, name) and target.module != __name__:
                    found[words] = target
            self._references[name] = list(found.items())
        return self._references[name]


class _WithoutWords(ast.NodeTransformer):
    """Removes syntax that the digest leaves out, such as docstrings, imports and annotations."""

    def visit(self, node: ast.AST) -> ast.AST:
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            if isinstance(statements, list):
                setattr(node, field, [one for one in statements if not _is_words(one)])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        return self.generic_visit(node)


def _is_words(statement: ast.stmt) -> bool:
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.If(test=ast.Name("TYPE_CHECKING") | ast.Compare(left=ast.Name("__name__"))):
            return True
    return False


def _defined(statement: ast.stmt) -> list[str]:
    """Return the names that a statement at the top of a module defines."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [statement.name]
        case ast.Assign():
            names = [node.id for target in statement.targets for node in ast.walk(target) if isinstance(node, ast.Name)]
            return names if all(isinstance(target, ast.Name | ast.Tuple) for target in statement.targets) else []
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def _names(statements: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Yield the plain and dotted names in statements, each after its module, which is empty except for strings."""
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                yield "", node.id
            elif isinstance(node, ast.Attribute):
                if _is_dotted(node):
                    yield "", ast.unparse(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from _REFERENCE.findall(node.value)


def _is_dotted(node: ast.expr) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def _resolved(module: str, words: tuple[str, ...]) -> Definition | None:
    """Return the definition that a name with its attributes stands for in a module, or None outside the project."""
    if not _is_module(module) or not words:
        return None
    first, *rest = words
    known = _module(module)
    if first in known.statements:
        return Definition(module, first)
    target = known.imports.get(first)
    if target is not None:
        if len(target) == 2 and not _is_module(".".join(target)):
            return _resolved(target[0], (target[1],))
        return _resolved(".".join(target), tuple(rest))
    return _resolved(f"{module}.{first}", tuple(rest))


@cache
def _module(name: str) -> _Module:
    path = _path(name)
    assert path is not None, f"{name} is a module of this project"
    return _Module(name, path)


def _is_module(name: str) -> bool:
    return _path(name) is not None


@cache
def _path(name: str) -> Path | None:
    """Return the file of one of the project's modules, or None."""
    root, *parts = name.split(".")
    spec = find_spec(root) if root in PROJECT else None  # for a top-level package this imports nothing
    for place in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(place, *parts)
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file():
                return file
    return None
