"""The checker of types for ``pytest --jaxtyping-packages=…,type_checker.checked``."""

from beartype import BeartypeConf, beartype

# An int is a float, as mypy has it (PEP 484).
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
