"""The random matrices B that send the error back in FA and DFA (thesis, section 3.1).

They are drawn once and never change. With one hidden layer B replaces ``W2ᵀ``, so its shape is
``(1, hidden)``; its scale is ``a = 1/√hidden``, the bound of the initial ``W2``.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .networks import Parameters, uniform


def _normal(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


FEEDBACK: dict[str, Callable[[Sequence[int], float, torch.Generator], Tensor]] = {
    "uniform": lambda shape, a, generator: uniform(shape, -a, a, generator),
    "standard_uniform": lambda shape, a, generator: uniform(shape, 0.0, 1.0, generator),
    "gaussian": lambda shape, a, generator: a + a * _normal(shape, generator),
    "standard_gaussian": lambda shape, a, generator: _normal(shape, generator),
    "sign": lambda shape, a, generator: a * uniform(shape, -a, a, generator).sign(),
}
"""Functions of ``(shape, a, generator)`` that draw a float64 matrix: uniform on [-a, a], uniform on
[0, 1], normal with mean a and standard deviation a, standard normal, and ±a with the signs of the
uniform matrix of the same seed, so that the two differ in magnitudes only."""


def feedback_matrices(
    widths: Sequence[int], kind: str, generator: torch.Generator, *, direct: bool
) -> Parameters:
    """Draw ``B_l`` of a kind of ``FEEDBACK`` for every hidden layer of a network.

    ``widths`` are the units of each layer, from the inputs to the output. ``direct`` is True for DFA:
    ``B_l`` is ``(outputs, units of l)``; False for FA: ``B_l`` is ``(units of l+1, units of l)``. With
    one hidden layer the two are the same matrix.
    """
    return {
        f"B{layer}": FEEDBACK[kind](
            (widths[-1] if direct else widths[layer + 1], widths[layer]),
            widths[layer] ** -0.5,
            generator,
        )
        for layer in range(1, len(widths) - 1)
    }
