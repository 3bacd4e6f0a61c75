"""An indexer in miniature: the Python files of a sample as a SCIP index. Pure.

It says what the syntax alone can say: modules, functions, parameters, variables, imports, and where each of these names is used. Types are
not known to it, so it says nothing of attributes. Real indexers say more; this one is for repositories that are made up on the spot.
"""

import ast
from collections.abc import Mapping
from typing import Final

from streams.uploads.wire import encoded_field, encoded_varint

NAME: Final = "millstream-demo-python"
VERSION: Final = "1"
_DEFINITION: Final = 1
_IMPORT: Final = 2
_READ: Final = 8
_UTF8: Final = 1
"""Of the index: its texts; of a document: its columns are bytes of UTF-8, as those of ``ast``."""

Place = tuple[int, int, int]


def index_of(files: Mapping[str, str], *, package: str, version: str) -> bytes:
    """The index of the Python files among ``files`` (text by path), not compressed; of the others it says nothing."""
    tool = encoded_field(1, NAME.encode()) + encoded_field(2, VERSION.encode())
    metadata = encoded_field(2, tool) + encoded_field(3, f"file:///{package}".encode()) + _number(4, _UTF8)
    documents = (
        _Document(path, text, f"{NAME} python {package} {version}").read()
        for path, text in sorted(files.items())
        if path.endswith(".py")
    )
    return encoded_field(1, metadata) + b"".join(encoded_field(2, one) for one in documents)


class _Document(ast.NodeVisitor):
    """One file. A scope knows the symbols of its names; the first one is the module's."""

    def __init__(self, path: str, text: str, package: str) -> None:
        self._path = path
        self._tree = ast.parse(text)
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self._module = f"{package} `{module}`/"
        self._locals = 0
        self._scopes: list[dict[str, str]] = [{}]
        self._occurrences: list[bytes] = []
        self._symbols: list[bytes] = []

    def read(self) -> bytes:
        """The message ``Document``."""
        self._define(f"{self._module}__init__:", (0, 0, 0), ast.get_docstring(self._tree))
        for node in self._tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self._scopes[0][node.name] = f"{self._module}{node.name}()."
        self.visit(self._tree)
        return b"".join(
            (
                encoded_field(1, self._path.encode()),
                *(encoded_field(2, one) for one in self._occurrences),
                *(encoded_field(3, one) for one in self._symbols),
                encoded_field(4, b"python"),
                _number(6, _UTF8),
            )
        )

    def visit_Import(self, node: ast.Import) -> None:
        for one in node.names:
            symbol = f"{_foreign(one.name)}__init__:"
            self._scopes[-1][one.asname or one.name.partition(".")[0]] = symbol
            self._occur(symbol, _place(one, one.name), _IMPORT)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module is None or node.level:
            return
        at = node.col_offset + len("from ")
        place = (node.lineno - 1, at, at + len(node.module.encode()))
        self._occur(f"{_foreign(node.module)}__init__:", place, _READ)
        for one in node.names:
            symbol = f"{_foreign(node.module)}{one.name}."
            self._scopes[-1][one.asname or one.name] = symbol
            self._occur(symbol, _place(one, one.name), _IMPORT)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node, "def ")

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node, "async def ")

    def visit_Name(self, node: ast.Name) -> None:
        place = _place(node, node.id)
        if isinstance(node.ctx, ast.Load):
            symbol = next((scope[node.id] for scope in reversed(self._scopes) if node.id in scope), None)
            if symbol is not None:
                self._occur(symbol, place, _READ)
        elif node.id not in self._scopes[-1]:
            self._define(self._local(node.id), place, None)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, before: str) -> None:
        at = node.col_offset + len(before)
        place = (node.lineno - 1, at, at + len(node.name.encode()))
        self._define(
            self._scopes[-1].get(node.name) or self._local(node.name), place, ast.get_docstring(node)
        )
        self._scopes.append({})
        for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            self._define(self._local(one.arg), _place(one, one.arg), None)
        self.generic_visit(node)
        self._scopes.pop()

    def _local(self, name: str) -> str:
        """A symbol that nobody outside this file can name."""
        symbol = f"local {self._locals}"
        self._locals += 1
        self._scopes[-1][name] = symbol
        return symbol

    def _define(self, symbol: str, place: Place, about: str | None) -> None:
        self._occur(symbol, place, _DEFINITION)
        words = encoded_field(3, about.encode()) if about else b""
        self._symbols.append(encoded_field(1, symbol.encode()) + words)

    def _occur(self, symbol: str, place: Place, roles: int) -> None:
        where = b"".join(map(encoded_varint, place))
        self._occurrences.append(
            encoded_field(1, where) + encoded_field(2, symbol.encode()) + _number(3, roles)
        )


def _foreign(module: str) -> str:
    """A module that is imported: whose version nobody has said, and of which no file is looked for."""
    return f"{NAME} python {module.partition('.')[0]} . `{module}`/"


def _place(node: ast.alias | ast.arg | ast.Name, name: str) -> Place:
    """Line, and the columns between which the name stands."""
    return node.lineno - 1, node.col_offset, node.col_offset + len(name.encode())


def _number(field: int, value: int) -> bytes:
    return encoded_varint(field << 3) + encoded_varint(value)
