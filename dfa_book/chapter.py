"""What every chapter shares: its parameters, and figures that carry their caption and alt text.

A chapter's second code cell is tagged ``parameters`` and sets the names of ``PARAMETERS``; papermill
puts the values that a person passes into a cell of its own below it. The next cell calls
``read_parameters(globals())``.
"""

import ast
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import joblib
import matplotlib as mpl
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from dfa_lib.methods import METHODS
from dfa_lib.training import Run
from dfa_lib.validation import (
    InputError,
    choice,
    nearest,
    shown,
    whole_number,
)

from .panels import SVG, figure_html

PARAMETERS: dict[str, Any] = {
    "profile": "digits",
    "seeds": None,
    "epochs": None,
    "jobs": None,
    "device": "cpu",
    "results": None,
}
"""The parameters of every chapter and their values in its parameters cell."""

# Where an optimizer's tuning grid starts, for BP on the digits. The grid grows until the best rate lies
# inside. A start on the low side costs a step or two; too high a one may lie where nothing is learned,
# and a grid that is all chance has no reason to grow.
STARTING_RATES = {
    "sgd": 0.5,
    "momentum": 0.1,
    "nesterov": 0.1,
    "adagrad": 0.05,
    "adadelta": 1.0,
    "rmsprop": 0.001,
    "adam": 0.001,
}


EXPERIMENTS = (
    "reproduction",
    "sgd",
    "alignment",
    "random_matrices",
    "adaptive_methods",
    "clusters_samples",
    "clusters_dimensions",
    "clusters_optimizers",
)
"""Experiments, which have runs in common: the stems of their results files."""


@dataclass(frozen=True)
class Profile:
    """How large the book's experiments are; what is None takes the dataset's default."""

    dataset: str
    seeds: int
    epochs: int
    samples: int | None = None
    test_samples: int | None = None
    hidden: int = 512
    tuning_seeds: int | None = None
    labellings: int = 20
    """Repeats on the clusters, each with a labelling of its own: at least so many."""
    stacks: tuple[int, ...] = (300, 1_000, 3_000, 10_000)
    """Sizes of the samples that lazy methods are solved on; the last for random features only."""


PROFILES = {
    # Half as wide as the thesis's network, whose pictures have 12 times as many pixels: DFA then learns
    # from fewer stacks, and everything is trained and tuned within minutes.
    "digits": Profile("digits", seeds=5, epochs=20, samples=15_360, test_samples=2_000, hidden=256),
    "mnist": Profile("mnist", seeds=5, epochs=20, stacks=(700, 2_000, 6_000, 18_000)),
    # For a lesson: each chapter within a minute, its tuning included, and DFA's lag still to be seen.
    "class": Profile(
        "digits",
        seeds=3,
        epochs=20,
        samples=9_216,
        test_samples=1_000,
        hidden=48,
        labellings=10,
        stacks=(300, 1_000, 3_000),
    ),
    # Quick enough for a test of the notebooks; its numbers mean nothing.
    "smoke": Profile(
        "digits",
        seeds=2,
        epochs=2,
        samples=512,
        test_samples=256,
        hidden=16,
        labellings=2,
        stacks=(50, 100, 200),
        tuning_seeds=1,
    ),
}


def starting_rate(dataset: str, method: str, optimizer: str, feedback: str | None = None) -> float:
    """Return where the tuning of a method's learning rate starts."""
    rate = STARTING_RATES[choice("optimizer", optimizer, STARTING_RATES)]
    if dataset == "mnist":  # 12 times as many inputs
        rate /= 4
    if METHODS[method].direct_feedback is not None and optimizer in ("sgd", "momentum", "nesterov"):
        rate /= 4
    if feedback is not None and feedback.startswith("standard"):  # √hidden times as large
        rate /= 8
    return rate


@dataclass(frozen=True)
class Settings:
    """A chapter's parameters, checked, with the profile's values where none were given."""

    profile: str
    seeds: int
    epochs: int
    jobs: int
    device: str
    results: Path | None

    def run(self, *, method: str, optimizer: str = "sgd", **fields: Any) -> Run:
        """Return a run at this chapter's scale, at the rate that its tuning starts from."""
        profile = PROFILES[self.profile]
        defaults: dict[str, Any] = {
            "dataset": profile.dataset,
            "samples": profile.samples,
            "test_samples": profile.test_samples,
            "hidden": profile.hidden,
            "epochs": self.epochs,
            "device": self.device,
        } | fields
        if "learning_rate" not in defaults:
            feedback = defaults.get("feedback")
            defaults["learning_rate"] = starting_rate(defaults["dataset"], method, optimizer, feedback)
        return Run(method=method, optimizer=optimizer, **defaults)

    @property
    def tuning_seeds(self) -> int | None:
        """Seeds of the fine pass of tuning; None for the defaults of ``tune``."""
        return PROFILES[self.profile].tuning_seeds

    def kept(self, experiment: str) -> list[Path]:
        """Return the results file of an experiment that the book's repository keeps for this profile.

        It lies in ``results/<profile>`` of this folder or one above it; the list is empty where there is
        none, or where it is the very file that this chapter writes.
        """
        here, own = Path.cwd(), self.csv(experiment)
        for folder in (here, *here.parents):
            path = folder / "results" / self.profile / f"{experiment}.csv"
            if path.is_file():
                return [] if own is not None and own.resolve() == path.resolve() else [path]
        return []

    @property
    def labellings(self) -> int:
        """How often an experiment on the clusters is repeated, each time with a labelling of its own."""
        return max(self.seeds, PROFILES[self.profile].labellings)

    @property
    def stacks(self) -> tuple[int, ...]:
        """Sizes of the samples that lazy methods are solved on; the last for random features only."""
        return PROFILES[self.profile].stacks

    def finished(self) -> list[Path]:
        """Return the results files of all experiments so far, whose runs need not be trained again."""
        if self.results is None:
            return []
        return sorted(p for p in self.results.glob("*.csv") if p.stem in EXPERIMENTS)

    def csv(self, experiment: str) -> Path | None:
        """Return the results file of an experiment, or None where nothing is to be kept."""
        return None if self.results is None else self.results / f"{experiment}.csv"


def check_parameters(given: dict[str, Any]) -> Settings:
    """Return the settings for these parameters, and the defaults of those that are not given.

    Raises
    ------
    InputError
        If a name is not a parameter, or a value is not accepted.
    """
    for name in given:
        if name not in PARAMETERS:
            raise InputError(
                f"{name} is not a parameter of this book's chapters{nearest(name, PARAMETERS)}; "
                f"accepted are {', '.join(PARAMETERS)}."
            )
    values = PARAMETERS | given
    profile = PROFILES[choice("profile", values["profile"], PROFILES)]

    def number(name: str, default: int) -> int:
        return default if values[name] is None else whole_number(name, values[name])

    results = values["results"]
    if not (results is None or isinstance(results, (str, os.PathLike))):
        raise InputError(f"results must be the path of a folder, or None, not {shown(results)}.")
    return Settings(
        profile=values["profile"],
        seeds=number("seeds", profile.seeds),
        epochs=number("epochs", profile.epochs),
        jobs=number("jobs", joblib.cpu_count()),
        device=choice("device", values["device"], ("cpu", "cuda")),
        results=Path(results) if results else None,
    )


def read_parameters(namespace: dict[str, Any]) -> Settings:
    """Return the settings of the notebook that this is called from with ``globals()``.

    A parameter that papermill was given and the chapter does not have would otherwise be a warning
    that scrolls by, and a run with the wrong numbers.

    Raises
    ------
    InputError
        If a name is not a parameter, or a value is not accepted.
    """
    # The last one: a person who has corrected the cell and run it again need not restart the kernel.
    injected = [cell for cell in namespace.get("In", []) if cell.startswith("# Parameters\n")][-1:]
    names = {name for cell in injected for name in _assigned(cell)} | set(PARAMETERS)
    return check_parameters({name: namespace[name] for name in names if name in namespace})


def _assigned(source: str) -> list[str]:
    targets = [
        t for node in ast.parse(source).body if isinstance(node, ast.Assign) for t in node.targets
    ]
    return [target.id for target in targets if isinstance(target, ast.Name)]


class Answer(NamedTuple):
    """What a cell says: Markdown, and values that other pages show, by name."""

    text: str
    values: Mapping[str, Any] = MappingProxyType({})


def show(answer: Answer | str) -> None:
    """Display an answer, or other Markdown, if there is any, and glue the answer's values."""
    from myst_nb import glue  # heavy, and needed by notebooks only

    answer = Answer(answer) if isinstance(answer, str) else answer
    if answer.text:
        display(Markdown(answer.text))
    for name, value in answer.values.items():
        glue(name, value, display=False)


# What Jupyter does not know and leaves alone.
FOR_THE_SITE = "application/vnd.dfa.figure+html"


def show_figure(
    figure: Figure, *, name: str, caption: str, alt: str, results: Sequence[str] = ()
) -> None:
    """Show a figure with its caption.

    In Jupyter the caption stands below the figure. On the site, ``dfa-book`` makes a numbered figure of
    the two, which other pages can refer to by ``name``, drawn for the page as in ``panels.figure_html``,
    and tells below it what ``results`` were made with.

    Parameters
    ----------
    name
        The figure's label, for example ``"fig-sgd"``.
    caption
        MyST Markdown that can be understood without the text around it.
    alt
        What is seen, for those who cannot see it.
    results
        The experiments that the figure is drawn from, as ``Settings.csv`` names them, those that its
        learning rates were chosen by among them: ``("sgd", "tuning")``. None, if nothing was trained.
    """
    html = figure_html(figure, alt, name)  # first: it lays the figure out, which takes longest, for good
    svg = StringIO()
    with mpl.rc_context(SVG):
        figure.savefig(svg, format="svg", bbox_inches="tight", metadata={"Date": None})
    drawn_from = [results] if isinstance(results, str) else list(results)
    about = {"name": name, "caption": caption, "alt": alt, "results": drawn_from}
    shown = {
        "image/svg+xml": svg.getvalue(),
        FOR_THE_SITE: html,
        "text/plain": alt,
    }
    display(shown, raw=True, metadata={"dfa_figure": about})
    display(Markdown(f"*{caption}*"), metadata={"dfa_caption": name})
