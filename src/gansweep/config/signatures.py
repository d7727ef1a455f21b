"""Signatures of gansweep's classes and functions, parsed from the source without importing it.

Importing a model imports PyTorch, which takes seconds. If a constructor passes `**options` on, the
signature includes the parameters of the callee: a base class, another class, or the network that an
option names.
"""

import ast
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gansweep.config import ranges
from gansweep.config.kinds import (
    Anything,
    Flag,
    Inherited,
    Kind,
    ListOf,
    MappingOf,
    Nothing,
    Number,
    Object,
    OneOf,
    Record,
    Schedule,
    Text,
    either,
)

SOURCE = Path(__file__).parents[1]
PLAIN: dict[str, Kind] = {
    "int": Number(whole=True),
    "float": Number(whole=False),
    "bool": Flag(),
    "str": Text(),
    "Path": Text(),
    "None": Nothing(),
    "Any": Anything(),
    "object": Anything(),
}
LISTS = ("Sequence", "Iterable", "Collection", "list")
MAPPINGS = ("Mapping", "dict")
Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Parameter:
    name: str
    kind: Kind
    by_position: bool  # before the *; for a `_partial_` node the code that calls it gives it


@dataclass(frozen=True)
class Signature:
    """parameters: those that are known.   is_open: whether there may be others."""

    name: str
    parameters: Mapping[str, Parameter]
    is_open: bool = False


@dataclass(frozen=True, eq=False)  # hashed by identity: each is made once
class Module:
    """A file's imports (name -> dotted path), its classes and functions, and its type aliases."""

    imports: Mapping[str, str]
    definitions: Mapping[str, Definition]
    aliases: Mapping[str, ast.expr]


@dataclass(frozen=True)
class _Found:
    """A definition and the module that contains it."""

    module: Module
    node: Definition


def signature(target: str, node: Mapping[str, Any]) -> Signature | None:
    """The signature of `target`; None if it is not part of gansweep.

    node: the options of the target; the networks in them may add parameters.
    """
    found = _find(target)
    if found is None:
        return None
    parameters, is_open = _parameters(found, node)
    return Signature(target.rpartition(".")[2], parameters, is_open)


def declared(target: str, name: str) -> Any:
    """The value that a class of gansweep, or its nearest base, states for one of its attributes.

    None if no such class is known, or the value is not written out as a literal.
    """
    found = _stating(target, name)
    value = getattr(found[1], "value", None) if found else None
    try:
        return ast.literal_eval(value) if isinstance(value, ast.expr) else None
    except ValueError:
        return None


def owner(target: str, name: str) -> str | None:
    """The class, `target` or its nearest base, that states an attribute or defines a method."""
    found = _stating(target, name)
    return found[0] if found else None


def _stating(target: str, name: str) -> tuple[str, ast.stmt] | None:
    """The name of the class and the statement; bases are searched in turn, depth first."""
    found = _find(target)
    if found is None or not isinstance(found.node, ast.ClassDef):
        return None
    for line in found.node.body:
        names = [getattr(line, "name", None), getattr(getattr(line, "target", None), "id", None)]
        names += [getattr(one, "id", None) for one in getattr(line, "targets", ())]
        if name in names:
            return found.node.name, line
    for base in found.node.bases:
        word = ast.unparse(base)
        dotted = found.module.imports.get(word)
        inner = dotted or f"{target.rpartition('.')[0]}.{word}"
        if (below := _stating(inner, name)) is not None:
            return below
    return None


def names_in(module: str) -> list[str]:
    """The public names that a module of gansweep defines; [] if there is no such module."""
    found = _module(module)
    return [] if found is None else [n for n in found.definitions if not n.startswith("_")]


def fields(target: str) -> dict[str, Kind]:
    """The keys of a TypedDict and their kinds."""
    found = _find(target)
    assert found is not None, target
    return _keys(found)


def kind_of(annotation: ast.expr) -> Kind:
    """The kind of an annotation of another package: a class of its own counts as an Object."""
    return _kind(annotation, Module({}, {}, {}))


def _keys(found: _Found) -> dict[str, Kind]:
    return {
        line.target.id: _kind(line.annotation, found.module)
        for line in found.node.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    }


@functools.cache
def _find(dotted: str) -> _Found | None:
    """The class or function of that name; imports in its module are followed."""
    name, _, attribute = dotted.rpartition(".")
    module = _module(name)
    if module is None:
        return None
    if attribute in module.definitions:
        return _Found(module, module.definitions[attribute])
    return _find(module.imports[attribute]) if attribute in module.imports else None


@functools.cache
def _module(name: str) -> Module | None:
    package, *parts = name.split(".")
    path = SOURCE.joinpath(*parts)
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if package != "gansweep" or not path.is_file():
        return None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imports |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            imports |= {a.asname or a.name: a.name for a in node.names}
    aliases = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    definitions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    return Module(imports, definitions, aliases)


def _parameters(found: _Found, node: Mapping[str, Any]) -> tuple[dict[str, Parameter], bool]:
    """The parameters by name, and whether `**options` go to code that cannot be parsed."""
    made_by = _constructor(found)
    if made_by is None:
        return {}, False
    function, module = made_by.node, made_by.module
    assert isinstance(function, ast.FunctionDef)
    arguments = function.args
    own = {}
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if argument.arg != "self":
            kind = _kind(argument.annotation, module) if argument.annotation else Anything()
            by_position = argument not in arguments.kwonlyargs
            own[argument.arg] = Parameter(argument.arg, kind, by_position)
    if arguments.kwarg is None:
        return own, False
    passed_on: dict[str, Parameter] = {}
    is_open = True
    for call in _calls_with(function, arguments.kwarg.arg):
        callee = _callee(call.func, found, module, own, node)
        if callee is None:
            continue
        theirs, is_open = _parameters(callee, node)
        bound = {keyword.arg for keyword in call.keywords}
        bound |= set(list(theirs)[: len(call.args)])
        passed_on |= {name: one for name, one in theirs.items() if name not in bound}
    return own | {name: one for name, one in passed_on.items() if name not in own}, is_open


def _constructor(found: _Found) -> _Found | None:
    """The function itself, or the __init__ of the class or its nearest base."""
    if isinstance(found.node, ast.FunctionDef):
        return found
    for line in found.node.body:
        if isinstance(line, ast.FunctionDef) and line.name == "__init__":
            return _Found(found.module, line)
    return next(filter(None, map(_constructor, _bases(found))), None)


def _bases(found: _Found) -> Iterator[_Found]:
    assert isinstance(found.node, ast.ClassDef)
    return filter(None, (_resolve(base, found.module) for base in found.node.bases))


@functools.cache
def _resolve(expression: ast.expr, module: Module) -> _Found | None:
    """The definition of a name or of `module.name`."""
    dotted = ast.unparse(expression)
    if dotted in module.definitions:
        return _Found(module, module.definitions[dotted])
    first, _, rest = dotted.partition(".")
    home = module.imports.get(first)
    return None if home is None else _find(f"{home}.{rest}" if rest else home)


@functools.cache
def _calls_with(function: ast.FunctionDef, name: str) -> list[ast.Call]:
    """The calls that pass **name on."""
    return [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and any(one.arg is None and ast.unparse(one.value) == name for one in node.keywords)
    ]


def _callee(
    called: ast.expr,
    found: _Found,
    module: Module,
    own: Mapping[str, Parameter],
    node: Mapping[str, Any],
) -> _Found | None:
    """The callee of a call inside a constructor; None if it cannot be determined."""
    if isinstance(called, ast.Name) and called.id in own:
        given = node.get(called.id)
        target = given.get("_target_") if isinstance(given, Mapping) else None
        return _find(target) if isinstance(target, str) else None
    if ast.unparse(called) != "super().__init__":
        return _resolve(called, module)
    defining = _defining(found)
    return None if defining is None else next(_bases(defining), None)


def _defining(found: _Found) -> _Found | None:
    """The class or its nearest base that defines __init__."""
    assert isinstance(found.node, ast.ClassDef)
    if any(isinstance(n, ast.FunctionDef) and n.name == "__init__" for n in found.node.body):
        return found
    return next(filter(None, map(_defining, _bases(found))), None)


@functools.cache
def _kind(annotation: ast.expr, module: Module) -> Kind:
    """The kind of an annotation. A class that is not plain data is an Object."""
    if isinstance(annotation, ast.Constant):
        if isinstance(annotation.value, str):
            return _kind(ast.parse(annotation.value, mode="eval").body, module)
        return Nothing() if annotation.value is None else Anything()
    if isinstance(annotation, ast.BinOp):
        return either([_kind(annotation.left, module), _kind(annotation.right, module)])
    if isinstance(annotation, ast.Subscript):
        return _subscripted(ast.unparse(annotation.value), annotation.slice, module)
    if isinstance(annotation, ast.Call):  # a TypeVar
        return Inherited(whole=False)
    name = ast.unparse(annotation)
    if name in PLAIN:
        return PLAIN[name]
    if name in (*LISTS, *MAPPINGS):
        return ListOf(Anything()) if name in LISTS else MappingOf(Anything())
    if name in module.aliases:
        return _kind(module.aliases[name], module)
    return _imported_kind(name, module)


def _imported_kind(name: str, module: Module) -> Kind:
    """The kind of an imported name: a type alias, a TypedDict, or the class of an object."""
    home, _, attribute = module.imports.get(name, "").rpartition(".")
    there = _module(home)
    if there is not None and attribute in there.aliases:
        return _kind(there.aliases[attribute], there)
    found = _resolve(ast.Name(name), module)
    bases = found.node.bases if found and isinstance(found.node, ast.ClassDef) else ()
    if found and any(ast.unparse(base) == "TypedDict" for base in bases):
        return Record(_keys(found))
    return Object()


def _subscripted(name: str, inner: ast.expr, module: Module) -> Kind:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    name = name.rpartition(".")[2]
    if name == "Literal":
        return OneOf(tuple(ast.literal_eval(part) for part in parts))
    if name == "Annotated":
        return _ranged(_kind(parts[0], module), parts[1:])
    if name == "Scheduled":
        return Schedule(_kind(parts[0], module))
    if name in ("Optional", "Union"):
        kinds = [_kind(part, module) for part in parts]
        return either([*kinds, Nothing()] if name == "Optional" else kinds)
    if name == "tuple":
        endless = isinstance(parts[-1], ast.Constant) and parts[-1].value is ...
        return ListOf(_kind(parts[0], module), None if endless else len(parts))
    if name in LISTS:
        return ListOf(_kind(parts[0], module))
    if name in MAPPINGS:
        return MappingOf(_kind(parts[1], module))
    return Object()


def _ranged(kind: Kind, notes: list[ast.expr]) -> Kind:
    for note in notes:
        if isinstance(note, ast.Call) and ast.unparse(note.func).rpartition(".")[2] == "Range":
            given = [ast.literal_eval(value) for value in note.args]
            named = {k.arg: ast.literal_eval(k.value) for k in note.keywords if k.arg}
            assert isinstance(kind, Number), ast.unparse(note)
            return Number(kind.whole, ranges.Range(*given, **named))
    return kind
