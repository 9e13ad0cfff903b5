"""Finds the definitions of source trees that nothing in these trees uses.

A definition is a function, class or constant of a module, or a method, property, field or member
of a class. What stands in a module is followed exactly, through imports and strings such as
`"package.module:Name"`; members go by their names. A definition is used when code that is used
names it, so that functions that only name each other are found.
"""

import ast
import re
from collections import defaultdict
from functools import cache
from importlib import import_module
from operator import attrgetter
from pathlib import Path

import attrs

# These decorators hand what they decorate to nobody; every other one may.
PASSIVE = {
    *("property", "cached_property", "setter", "staticmethod", "classmethod", "abstractmethod"),
    *("override", "overload", "final", "cache", "lru_cache", "contextmanager"),
    *("asynccontextmanager", "frozen", "define", "dataclass", "total_ordering"),
    "runtime_checkable",
}
ASKING = frozenset(("getattr", "hasattr", "setattr", "attrgetter", "methodcaller"))
LOCATOR = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*)[:.]([A-Za-z_]\w*)")
DUNDER = re.compile(r"__\w+__|_")


@attrs.frozen(kw_only=True)
class Definition:
    """What a module defines; `name` is `Class.member` in a class.

    `bases` are the keys of a class's bases. `is_rooted` is true when something else than a name
    leads to it: Python itself, or a decorator that registers it.
    """

    module: str
    name: str
    line: int
    is_rooted: bool
    bases: tuple[str, ...] = ()

    @property
    def key(self):
        return f"{self.module}:{self.name}"

    @property
    def owner(self):
        """The key of the class that it stands in; nothing in a module."""
        outer = self.name.rpartition(".")[0]
        return outer and f"{self.module}:{outer}"

    @property
    def last(self):
        """Its name without its class."""
        return self.name.rpartition(".")[2]


class Tree:
    """The modules of some `src` folders, but for those whose names begin with `without`.

    `loaded` are modules whose names stand elsewhere, as those of entry points.
    """

    def __init__(self, folders, without=(), loaded=()):
        self._modules = {}
        for folder in folders:
            for file in sorted(Path(folder).rglob("*.py")):
                name = _module_name(file.relative_to(folder))
                if not name.startswith(tuple(without)):
                    self._modules[name] = _Module(name, ast.parse(file.read_bytes()))
        found = (d for module in self._modules.values() for d in module.definitions.values())
        self.definitions = {definition.key: definition for definition in found}
        self._loaded = set(loaded) | set(filter(self._is_loaded_by_name, self._modules))

    def unused(self, roots=()):
        """The definitions to which neither these keys nor lines outside of definitions lead.

        Members of an unused class are not told, nor what overrides an unused member.
        """
        used = self._used(roots)
        unused = [d for key, d in self.definitions.items() if key not in used]
        return [d for d in unused if not d.owner or (d.owner in used and not self._overrides(d))]

    def resolved(self, key):
        """The key where it is defined, of what a module imports from another one."""
        seen = set()
        while key not in self.definitions and key not in seen:
            seen.add(key)
            module, _, name = key.partition(":")
            key = f"{self._module(module)}:{name}"
            if module in self._modules:
                key = self._modules[module].imports.get(name, key)
        return key

    def _module(self, name):
        """The module behind a name under which a package hands it on."""
        package, _, last = name.rpartition(".")
        if name in self._modules or package not in self._modules:
            return name
        return self._modules[package].imports.get(last, name).replace(":", ".")

    def _is_loaded_by_name(self, name):
        """Whether a module stands in a string: whole, or shortened by a module beside it."""
        package, _, last = name.rpartition(".")
        beside = (m for m in self._modules.values() if m.name.rpartition(".")[0] == package)
        return any(last in module.texts for module in beside) or any(
            name in module.texts for module in self._modules.values()
        )

    def _used(self, roots):
        used, new = set(), []
        names = {self.resolved(root) for root in roots}
        for module in self._modules.values():
            names |= self._named_in(module, "")
        while new := [
            d
            for k, d in self.definitions.items()
            if k not in used and self._is_named(d, names, used)
        ]:
            used.update(definition.key for definition in new)
            for definition in new:
                names |= self._named_in(self._modules[definition.module], definition.name)
        return used

    def _named_in(self, module, scope):
        return {name if name[0] == "." else self.resolved(name) for name in module.named[scope]}

    def _is_named(self, definition, names, used):
        if definition.owner and definition.owner not in used:
            return False
        found = {definition.key}
        if definition.owner or definition.module in self._loaded:
            found.add(f".{definition.last}")
        return (
            definition.is_rooted
            or not found.isdisjoint(names)
            or bool(definition.owner and self._is_called_by_library(definition))
        )

    def _overrides(self, definition):
        """Whether a class that this member's class is made of has a member of the same name."""
        bases = self._bases(definition.owner)
        return any(f"{base}.{definition.last}" in self.definitions for base in bases)

    def _is_called_by_library(self, definition):
        """Whether it overrides a member of another library's class, which calls it."""
        strangers = self._bases(definition.owner) - self.definitions.keys()
        return any(
            _has(base, definition.last)
            for base in strangers
            if base.partition(":")[0] not in self._modules
        )

    def _bases(self, key):
        """The keys of all classes that a class is made of."""
        todo, found = [key], set()
        while todo:
            bases = map(self.resolved, self.definitions[todo.pop()].bases)
            new = set(bases) - found
            found |= new
            todo += new & self.definitions.keys()
        return found


class _Module(ast.NodeVisitor):
    """What one module defines, imports and names.

    `named` has what the lines of each definition name: the keys of what stands in modules,
    `.name` for members. Setting a field does not name it. `texts` are the strings.
    """

    def __init__(self, name, tree):
        self.name, self.definitions, self.imports = name, {}, {}
        self.named, self.texts = defaultdict(set), set()
        self._scope, self._body = "", tree
        self.visit(tree)

    def visit_Import(self, node):
        for alias in node.names:
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            self.imports[alias.asname or name] = name

    def visit_ImportFrom(self, node):
        for alias in node.names:
            self.imports[alias.asname or alias.name] = f"{node.module}:{alias.name}"

    def visit_FunctionDef(self, node):
        self._define(node, [node.name])

    visit_AsyncFunctionDef = visit_FunctionDef
    visit_ClassDef = visit_FunctionDef

    def visit_Assign(self, node):
        self._define(node, [name for target in node.targets for name in _stored(target)])

    def visit_AnnAssign(self, node):
        self._define(node, _stored(node.target))

    def visit_TypeAlias(self, node):
        self._define(node, [node.name.id])

    def _define(self, node, names):
        """Go through a definition, in its own scope where it stands in a module or a class."""
        scope, body = self._scope, self._body
        if isinstance(body, (ast.Module, ast.ClassDef)):
            for name in names:
                self._scope = f"{scope}.{name}" if scope else name
                self._note(node, name)
        if not isinstance(node, (ast.Assign, ast.AnnAssign)):
            self._body = node
        self.generic_visit(node)
        self._scope, self._body = scope, body

    def _note(self, node, name):
        decorators = {_last(decorator) for decorator in getattr(node, "decorator_list", ())}
        bases = tuple(map(self._resolved, getattr(node, "bases", ())))
        self.definitions.setdefault(
            self._scope,
            Definition(
                module=self.name,
                name=self._scope,
                line=node.lineno,
                is_rooted=bool(DUNDER.fullmatch(name)) or not decorators <= PASSIVE,
                bases=bases,
            ),
        )

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load):
            self._add(self._resolved(node), f".{node.id}")

    def visit_Attribute(self, node):
        if not isinstance(node.ctx, ast.Store):
            self._add(self._resolved(node), f".{node.attr}")
        self.generic_visit(node)

    def visit_Call(self, node):
        if _last(node.func) in ASKING:
            texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
            self._add(*(f".{text}" for text in texts if isinstance(text, str)))
        self.generic_visit(node)

    def visit_MatchClass(self, node):
        self._add(*(f".{name}" for name in node.kwd_attrs))
        self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, str):
            self.texts.add(node.value)
            if found := LOCATOR.fullmatch(node.value):
                self._add(":".join(found.groups()))

    def _add(self, *names):
        self.named[self._scope].update(names)

    def _resolved(self, node):
        """The key that a name or a dotted name stands for, as far as this module tells."""
        match node:
            case ast.Name():
                return self.imports.get(node.id, f"{self.name}:{node.id}")
            case ast.Attribute():
                return f"{self._resolved(node.value).replace(':', '.')}:{node.attr}"
            case ast.Subscript():
                return self._resolved(node.value)
        return "?"


@cache
def _has(key, name):
    """Whether a class of an installed library has this member."""
    module, _, path = key.partition(":")
    return hasattr(attrgetter(path)(import_module(module)), name)


def _module_name(file):
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _stored(target):
    """The names that an assignment stores."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return [name for element in target.elts for name in _stored(element)]
    return [target.id] if isinstance(target, ast.Name) else []


def _last(node):
    """The last name of what is called or decorates."""
    node = node.func if isinstance(node, ast.Call) else node
    return getattr(node, "attr", getattr(node, "id", ""))
