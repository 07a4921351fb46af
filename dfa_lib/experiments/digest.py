"""A digest of a function's code, which changes when the function is edited."""

import ast
import dis
import hashlib
import inspect
import textwrap
from contextlib import suppress
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle
from torch import Tensor, dtype, strided


def code_digest(value: Any) -> str:
    """Return 8 hexadecimal digits of SHA-256 over a function's code and the values that it uses.

    Functions of its own module are followed; those of other modules count by name. Comments, docstrings
    and layout do not count.
    """
    return hashlib.sha256(_described(value, None, []).encode()).hexdigest()[:8]


def _described(value: Any, home: str | None, seen: list[Any]) -> str:
    """Describe a value, identically in every process; functions of the module ``home`` by their code."""
    describe = partial(_described, home=home, seen=seen)
    if isinstance(value, FunctionType) and home in (None, value.__module__):
        if any(value is other for other in seen):
            return "again"
        seen.append(value)
        describe = partial(_described, home=value.__module__, seen=seen)
        used = {
            name: value.__globals__[name]
            for name in _globals(value.__code__)
            if name in value.__globals__
        }
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        values = (value.__defaults__, value.__kwdefaults__, cells, used)
        return f"{_source(value)} with {', '.join(map(describe, values))}"
    if isinstance(value, ModuleType):
        return value.__name__
    if isinstance(value, (FunctionType, BuiltinFunctionType, type)):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, partial):
        return f"partial({describe(value.func)}, {describe(value.args)}, {describe(value.keywords)})"
    if isinstance(value, Tensor) and value.layout == strided and not value.is_meta:
        return f"{value.dtype} {value.tolist()}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{describe(key)}: {describe(value[key])}' for key in value)}}}"
    if isinstance(value, (list, tuple)):
        return f"({', '.join(map(describe, value))})"
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, dtype)):
        with suppress(ValueError):  # Python's limit on converting an integer to text
            return repr(value)
    return hashlib.sha256(cloudpickle.dumps(value)).hexdigest()


def _globals(code: CodeType) -> list[str]:
    """Return the global names that code looks up, including nested functions."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return sorted(names.union(*map(_globals, inner)))


def _source(function: FunctionType) -> str:
    """Return a function's code as a syntax tree, or its bytecode where there is no source."""
    try:
        return _bare(ast.parse(textwrap.dedent(inspect.getsource(function))))
    except (OSError, TypeError, SyntaxError):
        return _compiled(function.__code__)


def _bare(node: Any) -> str:
    """Describe a syntax tree without positions, docstrings and empty fields, which vary by version."""
    if isinstance(node, list):
        return f"[{', '.join(_bare(item) for item in node if not _is_docstring(item))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
    return f"{type(node).__name__}({', '.join(f'{name}={_bare(value)}' for name, value in fields)})"


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _compiled(code: CodeType) -> str:
    constants = [_compiled(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"
