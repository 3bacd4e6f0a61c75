"""The source text of the sample services: what a module looks like in each language, before and after its migration.

Pure: a module's state in, bytes out. All names are made up.
"""

from collections.abc import Callable
from dataclasses import dataclass

VERBS = (
    "load",
    "reserve",
    "confirm",
    "cancel",
    "refund",
    "list",
    "price",
    "ship",
    "notify",
    "archive",
    "audit",
    "merge",
)
NOUNS = (
    "order",
    "cart",
    "item",
    "invoice",
    "customer",
    "address",
    "coupon",
    "parcel",
    "payment",
    "stock",
    "receipt",
    "tax",
)
_NOTES = {
    "TODO": (
        "retry when the service is slow",
        "page through long answers",
        "cache this for a minute",
        "log the request id",
    ),
    "FIXME": (
        "rounds half a cent down",
        "times out on large orders",
        "breaks on an empty list",
        "ignores the currency",
    ),
}


@dataclass(slots=True)
class CallSite:
    """One function that asks another service something. ``note`` is TODO, FIXME or nothing."""

    verb: str
    noun: str
    migrated: bool = False
    note: str = ""
    note_text: int = 0

    def copy(self) -> "CallSite":
        return CallSite(self.verb, self.noun, self.migrated, self.note, self.note_text)

    @property
    def note_line(self) -> str:
        """The note's text without the comment mark."""
        return f"{self.note}: {_NOTES[self.note][self.note_text % 4]}"


@dataclass(frozen=True, slots=True)
class Language:
    """How modules, their tests and the project file of a language look. Paths are relative to the repository."""

    folder: str
    module_path: Callable[[str, str], str]
    """From the folder's name (it may be renamed) and the module's."""
    test_path: Callable[[str, str], str]
    header: Callable[[str], str]
    function: Callable[[CallSite], str]
    test: Callable[[str, list[CallSite]], str]
    project_file: tuple[str, str]

    def module(self, name: str, sites: list[CallSite]) -> str:
        """The text of one module."""
        return self.header(name) + "".join(self.function(site) for site in sites)


def _camel(*words: str, first: bool = False) -> str:
    text = "".join(word.capitalize() for word in words)
    return text if first else text[0].lower() + text[1:]


def _python_function(site: CallSite) -> str:
    note = f"    # {site.note_line}\n" if site.note else ""
    if site.migrated:
        call = f'    answer = gateway.call("{site.noun}.{site.verb}", id={site.noun}_id, deadline_s=2.0)\n'
    else:
        call = (
            f'    answer = legacy_client.get("/{site.noun}/{site.verb}/" + {site.noun}_id)\n'
            f"    if answer.status != 200:\n        raise legacy_client.Failure(answer)\n"
        )
    return (
        f"\n\ndef {site.verb}_{site.noun}({site.noun}_id: str) -> Answer:\n"
        f'    """{site.verb.capitalize()} one {site.noun}."""\n{note}{call}'
        f'    return Answer({site.noun}_id, answer.body["{site.noun}"])\n'
    )


def _go_function(site: CallSite) -> str:
    name = _camel(site.verb, site.noun, first=True)
    note = f"\t// {site.note_line}\n" if site.note else ""
    if site.migrated:
        call = f'\tanswer, err := gateway.Call(ctx, "{site.noun}.{site.verb}", id)\n\tif err != nil {{\n\t\treturn nil, err\n\t}}\n'
    else:
        call = (
            f'\tanswer, err := legacy_client.Get("/{site.noun}/{site.verb}/" + id)\n'
            f"\tif err != nil {{\n\t\treturn nil, legacy_client.Wrap(err)\n\t}}\n"
        )
    return (
        f"\n// {name} asks to {site.verb} one {site.noun}.\n"
        f"func {name}(ctx context.Context, id string) (*Answer, error) {{\n{note}{call}\treturn parse(answer)\n}}\n"
    )


def _typescript_function(site: CallSite) -> str:
    name = _camel(site.verb, site.noun)
    note = f"  // {site.note_line}\n" if site.note else ""
    if site.migrated:
        call = (
            f'  const answer = await gateway.call("{site.noun}.{site.verb}", {{ id, deadlineMs: 2000 }});\n'
        )
    else:
        call = (
            f"  const answer = await legacy_client.get(`/{site.noun}/{site.verb}/${{id}}`);\n"
            f"  if (!answer.ok) throw legacy_client.failure(answer);\n"
        )
    return (
        f"\n/** {site.verb.capitalize()} one {site.noun}. */\n"
        f"export async function {name}(id: string): Promise<Answer> {{\n{note}{call}  return toAnswer(answer);\n}}\n"
    )


def _python_test(name: str, sites: list[CallSite]) -> str:
    cases = "".join(
        f"\n\ndef test_{site.verb}_{site.noun}(service):\n    assert {name}.{site.verb}_{site.noun}('7').id == '7'\n"
        for site in sites
    )
    return f"from shop import {name}\n{cases}"


def _go_test(name: str, sites: list[CallSite]) -> str:
    cases = "".join(
        f"\nfunc Test{_camel(site.verb, site.noun, first=True)}(t *testing.T) {{\n"
        f'\tcheck(t, {_camel(site.verb, site.noun, first=True)}, "7")\n}}\n'
        for site in sites
    )
    return f'package {name.split("_")[0]}\n\nimport "testing"\n{cases}'


def _typescript_test(name: str, sites: list[CallSite]) -> str:
    cases = "".join(
        f'\ntest("{site.verb} {site.noun}", async () => {{\n'
        f'  expect((await {name}.{_camel(site.verb, site.noun)}("7")).id).toBe("7");\n}});\n'
        for site in sites
    )
    return f'import * as {name} from "../src/{name}";\n{cases}'


PYTHON = Language(
    folder="shop",
    module_path=lambda folder, name: f"{folder}/{name}.py",
    test_path=lambda folder, name: f"tests/test_{name}.py",
    header=lambda name: (
        f'"""Everything about {name.replace("_", " ")}."""\n\nimport legacy_client\n\nfrom shop import gateway\nfrom shop.answers import Answer\n'
    ),
    function=_python_function,
    test=_python_test,
    project_file=(
        "pyproject.toml",
        '[project]\nname = "checkout"\nversion = "1.0"\ndependencies = ["legacy-client"]\n',
    ),
)
GO = Language(
    folder="internal",
    module_path=lambda folder, name: f"{folder}/{name}/{name}.go",
    test_path=lambda folder, name: f"{folder}/{name}/{name}_test.go",
    header=lambda name: (
        f"// Package {name.split('_')[0]} knows everything about {name.replace('_', ' ')}.\npackage {name.split('_')[0]}\n\n"
        'import (\n\t"context"\n\n\t"example.com/catalog/gateway"\n\t"example.com/catalog/legacy_client"\n)\n'
    ),
    function=_go_function,
    test=_go_test,
    project_file=("go.mod", "module example.com/catalog\n\ngo 1.24\n"),
)
TYPESCRIPT = Language(
    folder="src",
    module_path=lambda folder, name: f"{folder}/{name}.ts",
    test_path=lambda folder, name: f"test/{name}.test.ts",
    header=lambda name: (
        f"// Everything about {name.replace('_', ' ')}.\n"
        'import * as legacy_client from "@example/legacy-client";\nimport { gateway } from "./gateway";\n'
        'import { toAnswer, type Answer } from "./answers";\n'
    ),
    function=_typescript_function,
    test=_typescript_test,
    project_file=("package.json", '{\n  "name": "payments",\n  "private": true,\n  "type": "module"\n}\n'),
)
