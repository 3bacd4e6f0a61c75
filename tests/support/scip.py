"""SCIP messages as protobuf's own runtime writes them: what our reader of the wire is compared with. The only place that meets it."""

import gzip
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_STRING: Final = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_INT32: Final = descriptor_pb2.FieldDescriptorProto.TYPE_INT32
_BOOL: Final = descriptor_pb2.FieldDescriptorProto.TYPE_BOOL
_MESSAGE: Final = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
_ONE: Final = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
_MANY: Final = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
_FIELDS: Final[dict[str, Sequence[tuple[str, int, int, Any]]]] = {
    "ToolInfo": [("name", 1, _ONE, _STRING), ("version", 2, _ONE, _STRING), ("arguments", 3, _MANY, _STRING)],
    "Metadata": [
        ("version", 1, _ONE, _INT32),
        ("tool_info", 2, _ONE, "ToolInfo"),
        ("project_root", 3, _ONE, _STRING),
        ("text_document_encoding", 4, _ONE, _INT32),
    ],
    "Relationship": [
        ("symbol", 1, _ONE, _STRING),
        ("is_reference", 2, _ONE, _BOOL),
        ("is_implementation", 3, _ONE, _BOOL),
        ("is_type_definition", 4, _ONE, _BOOL),
        ("is_definition", 5, _ONE, _BOOL),
    ],
    "SymbolInformation": [
        ("symbol", 1, _ONE, _STRING),
        ("documentation", 3, _MANY, _STRING),
        ("relationships", 4, _MANY, "Relationship"),
        ("kind", 5, _ONE, _INT32),
        ("display_name", 6, _ONE, _STRING),
    ],
    "Occurrence": [
        ("range", 1, _MANY, _INT32),
        ("symbol", 2, _ONE, _STRING),
        ("symbol_roles", 3, _ONE, _INT32),
        ("override_documentation", 4, _MANY, _STRING),
        ("syntax_kind", 5, _ONE, _INT32),
        ("enclosing_range", 7, _MANY, _INT32),
    ],
    "Document": [
        ("relative_path", 1, _ONE, _STRING),
        ("occurrences", 2, _MANY, "Occurrence"),
        ("symbols", 3, _MANY, "SymbolInformation"),
        ("language", 4, _ONE, _STRING),
        ("text", 5, _ONE, _STRING),
        ("position_encoding", 6, _ONE, _INT32),
    ],
    "Index": [
        ("metadata", 1, _ONE, "Metadata"),
        ("documents", 2, _MANY, "Document"),
        ("external_symbols", 3, _MANY, "SymbolInformation"),
    ],
}


@cache
def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="scip.proto", package="scip", syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, number, label, kind in fields:
            added = message.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = _MESSAGE, f".scip.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"scip.{name}")) for name in _FIELDS
    }


def message(name: str, /, **fields: Any) -> Any:
    """A message of this name."""
    return _classes()[name](**fields)


def parsed(name: str, raw: bytes) -> Any:
    """``raw`` as protobuf reads it."""
    return _classes()[name].FromString(raw)


def metadata(**tool: str) -> Any:
    """Metadata of an index, made by ``tool``."""
    return message(
        "Metadata",
        tool_info=message("ToolInfo", **(tool or {"name": "scip-test", "version": "1.0"})),
        project_root="file:///srv/project",
        text_document_encoding=1,
    )


def occurrence(place: Sequence[int], symbol: str = "", roles: int = 0) -> Any:
    """An occurrence of ``symbol``."""
    return message("Occurrence", range=place, symbol=symbol, symbol_roles=roles)


def document(path: str, occurrences: Iterable[Any] = (), symbols: Iterable[str] = (), **more: Any) -> Any:
    """A document; of ``symbols`` it holds the information."""
    return message(
        "Document",
        relative_path=path,
        occurrences=occurrences,
        symbols=[message("SymbolInformation", symbol=one, documentation=[f"about {one}"]) for one in symbols],
        **more,
    )


def symbol(name: str, package: str = "project", version: str = "1.0") -> str:
    """A global symbol of this package."""
    return f"scip-test pip {package} {version} `mod`/{name}#"


def index(documents: Iterable[Any] = (), external: Iterable[str] = ()) -> bytes:
    """An index, not compressed."""
    made = message(
        "Index",
        metadata=metadata(),
        documents=documents,
        external_symbols=[message("SymbolInformation", symbol=one) for one in external],
    )
    return bytes(made.SerializeToString())


def small_index(files: int = 3, *, seed: str = "a") -> bytes:
    """A compressed index of some files that define and use something."""
    documents = [
        document(
            f"src/{seed}{number}.py",
            [
                occurrence([0, 4, 10], symbol(f"F{number}"), 1),
                occurrence([3, 0, 5], symbol("used", "library", "2.1"), 8),
                occurrence([4, 0, 5, 2], "local 1", 1),
            ],
            [symbol(f"F{number}")],
            language="python",
        )
        for number in range(files)
    ]
    return gzip.compress(index(documents, [symbol("used", "library", "2.1")]), mtime=0)
