"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE_LINES = 400
#: Of a function's own text, decorators and docstring left out.
MAX_FUNCTION_LINES = 40
#: A constructor is a list of what an object is made of, read from top to bottom.
MAX_CONSTRUCTOR_LINES = 50


def modules(*folders: str) -> Iterator[tuple[str, ast.Module, str]]:
    """(path, tree, source) of our own modules in these folders; generated code is not ours to judge."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith("imd/pb/") or name == "imd/pb/__init__.py":
                source = path.read_text(encoding="utf-8")
                yield name, ast.parse(source), source


def own_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many lines the function has without decorators, docstring and nested functions' lines twice."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return 0
    return (body[-1].end_lineno or body[-1].lineno) - body[0].lineno + 1


class Modules(SynchronousTestCase):
    """What every file keeps to."""

    def test_docstrings(self) -> None:
        """Each module says what it is for."""
        silent = [
            name
            for name, tree, _ in modules("imd", "tap", "twisted", "tests")
            if ast.get_docstring(tree) is None
        ]
        self.assertEqual(silent, [])

    def test_packages_are_empty(self) -> None:
        """An __init__.py of a package holds a docstring and nothing else: a part never imports the whole."""
        full = [
            name
            for name, tree, _ in modules("imd", "tap")
            if name.endswith("__init__.py") and len(tree.body) != 1
        ]
        self.assertEqual(full, [])

    def test_twisted_is_a_namespace(self) -> None:
        """twisted/ and twisted/plugins/ hold no __init__.py, which would hide Twisted itself."""
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_length(self) -> None:
        """A file, and a function in it, can be read at one go."""
        long = []
        for name, tree, source in modules("imd", "tap", "twisted"):
            if (lines := source.count("\n")) > MAX_FILE_LINES:
                long.append(f"{name}: {lines} lines")
            for node in ast.walk(tree):
                # A role is one list of what it is made of, read from top to bottom.
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "/roles/" not in name:
                    lines = own_lines(node)
                    if lines > (MAX_CONSTRUCTOR_LINES if node.name == "__init__" else MAX_FUNCTION_LINES):
                        long.append(f"{name}:{node.lineno} {node.name}: {lines} lines")
        self.assertEqual(long, [])

    def test_reactor_stays_in_tap(self) -> None:
        """Time, network and threads are arguments: only tap/ and the imc executable import the reactor."""
        guilty = []
        for name, tree, _ in modules("imd", "tests"):
            if name == "imd/client/cli.py" or name.startswith(("tests/live/", "tests/dialogue/")):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom):
                    imported = {f"{node.module}.{alias.name}" for alias in node.names}
                elif isinstance(node, ast.Import):
                    imported = {alias.name for alias in node.names}
                else:
                    continue
                if "twisted.internet.reactor" in imported:
                    guilty.append(f"{name}:{node.lineno}")
        self.assertEqual(guilty, [])

    def test_plugin_imports_nothing_of_ours(self) -> None:
        """Every twistd command imports the plugin file, so it names modules and imports none of them."""
        ((_, tree, _),) = modules("twisted")
        imported = [
            ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        self.assertEqual(imported, ["from twisted.application.service import ServiceMaker"])


#: What a field that nobody may see is called.
SECRET_FIELDS = {"password", "oldPassword", "newPassword", "secret", "token", "password_hash", "signature"}
#: Makes its own ``repr``, for all that is made from it.
CAREFUL_BASES = {"Request"}
RECORDS = {"NamedTuple", "Struct", "Section", *CAREFUL_BASES}


def talkative(tree: ast.Module) -> Iterator[str]:
    """Records of a module whose ``repr`` shows a field that nobody may see."""
    for record in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
        bases = {base.id for base in record.bases if isinstance(base, ast.Name)}
        own = {item.name for item in record.body if isinstance(item, ast.FunctionDef)}
        fields = {
            item.target.id
            for item in record.body
            if isinstance(item, ast.AnnAssign)
            and isinstance(item.target, ast.Name)
            and ast.unparse(item.annotation) in ("str", "bytes", "Password", "str | None")
        }
        if bases & RECORDS and fields & SECRET_FIELDS and "__repr__" not in own and not bases & CAREFUL_BASES:
            yield record.name


class Secrets(SynchronousTestCase):
    """What must not be printed."""

    def test_reprs(self) -> None:
        """A record that holds a password, a token or the like does not show it in its repr."""
        found = [f"{name}: {record}" for name, tree, _ in modules("imd", "tap") for record in talkative(tree)]
        self.assertEqual(found, [])


class Tests(SynchronousTestCase):
    """What every test keeps to."""

    def test_promise(self) -> None:
        """Each test says in its docstring what it promises."""
        silent = [
            f"{name}:{node.lineno} {node.name}"
            for name, tree, _ in modules("tests")
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and ast.get_docstring(node) is None
        ]
        self.assertEqual(silent, [])
