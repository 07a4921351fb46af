"""Parameters and profiles of chapters, and figures with caption and alt text.

The second code cell of a chapter is tagged ``parameters`` and sets the names of ``PARAMETERS``;
papermill adds a cell with the given values below it. The next cell calls ``read_parameters(globals())``.
"""

import ast
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import joblib
import matplotlib as mpl
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from dfa_lib.experiments.kept_table import Columns, KeptTable
from dfa_lib.methods import METHODS
from dfa_lib.training import Run
from dfa_lib.validation import InputError, choice, nearest, shown, whole_number

from .panels import SVG, figure_html
from .site.markdown import plain

PARAMETERS: dict[str, Any] = {
    "profile": "digits",
    "seeds": None,
    "epochs": None,
    "jobs": None,
    "device": "cpu",
    "results": None,
}
"""The parameters of every chapter and their defaults."""

# First rate of the tuning grid by optimizer, for BP on the digits. The grid grows until the best rate is
# inside. A low start costs a step or two; from a start at which nothing is learned no grid grows.
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
"""Experiments that share runs, by the stems of their results files."""


@dataclass(frozen=True)
class Profile:
    """Size of the book's experiments; None stands for the default of the dataset."""

    dataset: str
    seeds: int
    epochs: int
    samples: int | None = None
    test_samples: int | None = None
    hidden: int = 512
    tuning_seeds: int | None = None
    labellings: int = 20
    """Least number of repeats on the clusters, each with its own labelling."""
    stacks: tuple[int, ...] = (300, 1_000, 3_000, 10_000)
    """Sizes of the samples that lazy methods are solved on; the last for random features only."""


PROFILES = {
    # Half the width of the thesis's network, whose images have 12 times as many pixels: DFA learns from
    # fewer stacks, and all training and tuning takes minutes.
    "digits": Profile("digits", seeds=5, epochs=20, samples=15_360, test_samples=2_000, hidden=256),
    "mnist": Profile(
        "mnist", seeds=5, epochs=20, labellings=60, stacks=(700, 2_000, 6_000, 18_000)
    ),
    # For a lesson: a chapter takes at most a minute with its tuning, and DFA still lags behind BP.
    "class": Profile(
        "digits", seeds=3, epochs=20, samples=9_216, test_samples=1_000, hidden=48, labellings=10,
        stacks=(300, 1_000, 3_000),
    ),
    # For tests of the notebooks; its numbers mean nothing.
    "smoke": Profile(
        "digits", seeds=2, epochs=2, samples=512, test_samples=256, hidden=16, labellings=2,
        stacks=(50, 100, 200), tuning_seeds=1,
    ),
}  # fmt: skip


def starting_rate(dataset: str, method: str, optimizer: str, feedback: str | None = None) -> float:
    """Return the first rate of a method's tuning grid."""
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
    """The checked parameters of a chapter, with the profile's values as defaults."""

    profile: str
    seeds: int
    epochs: int
    jobs: int
    device: str
    results: Path | None

    def run(self, *, method: str, optimizer: str = "sgd", **fields: Any) -> Run:
        """Return a run at this chapter's scale, by default at the first rate of its tuning grid."""
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
        """Return the results file of an experiment in the repository's ``results/<profile>``, if any.

        The list is empty, too, if this chapter writes that very file.
        """
        here, own = Path.cwd(), self.csv(experiment)
        for folder in (here, *here.parents):
            path = folder / "results" / self.profile / f"{experiment}.csv"
            if path.is_file():
                return [] if own is not None and own.resolve() == path.resolve() else [path]
        return []

    @property
    def labellings(self) -> int:
        """Number of repeats on the clusters, each with its own labelling."""
        return max(self.seeds, PROFILES[self.profile].labellings)

    @property
    def stacks(self) -> tuple[int, ...]:
        """Sizes of the samples that lazy methods are solved on; the last for random features only."""
        return PROFILES[self.profile].stacks

    @property
    def on_digits(self) -> "Settings":
        """Settings of experiments that the MNIST edition, too, has on the bundled digits."""
        return replace(self, profile="digits") if self.profile == "mnist" else self

    def stored_seeds(self, experiment: str, columns: Columns, least: int) -> int:
        """Return how many seeds a kept table of these columns has, or ``least`` if that is more."""
        path = self.csv(experiment)
        if path is None or not path.exists():
            return least
        return max(least, int(KeptTable(path, columns).frame()["seed"].max()) + 1)

    def finished(self) -> list[Path]:
        """Return the results files of all experiments so far, whose runs are reused."""
        if self.results is None:
            return []
        return sorted(p for p in self.results.glob("*.csv") if p.stem in EXPERIMENTS)

    def csv(self, experiment: str) -> Path | None:
        """Return the results file of an experiment, or None if results are not kept."""
        return None if self.results is None else self.results / f"{experiment}.csv"


def check_parameters(given: dict[str, Any]) -> Settings:
    """Return the settings for these parameters, or raise ``InputError``."""
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
    """Return the settings of the notebook that calls this with ``globals()``.

    Raises ``InputError`` for an unknown name or value, of which papermill only warns.
    """
    # The last cell counts: it may have been corrected and run again in the same kernel.
    injected = [cell for cell in namespace.get("In", []) if cell.startswith("# Parameters\n")][-1:]
    names = {name for cell in injected for name in _assigned(cell)} | set(PARAMETERS)
    return check_parameters({name: namespace[name] for name in names if name in namespace})


def _assigned(source: str) -> list[str]:
    targets = [
        t for node in ast.parse(source).body if isinstance(node, ast.Assign) for t in node.targets
    ]
    return [target.id for target in targets if isinstance(target, ast.Name)]


class Answer(NamedTuple):
    """Output of a cell: Markdown, and values to glue, by name."""

    text: str
    values: Mapping[str, Any] = MappingProxyType({})


def show(answer: Answer | str) -> None:
    """Display MyST or an answer, and glue the answer's values."""
    from myst_nb import glue  # slow to import, and used by notebooks only

    answer = Answer(answer) if isinstance(answer, str) else answer
    if answer.text:
        shown = {"text/markdown": plain(answer.text), MYST: answer.text}
        display(shown, raw=True)
    for name, value in answer.values.items():
        glue(name, value, display=False)


# MIME type that Jupyter ignores.
FOR_THE_SITE = "application/vnd.dfa.figure+html"
MYST = "application/vnd.dfa.myst"


def show_figure(
    figure: Figure, *, name: str, caption: str, alt: str, results: Sequence[str] = ()
) -> None:
    """Show a figure with its caption.

    Jupyter shows the caption below the figure. On the site, ``dfa-book`` makes a numbered figure of
    both, drawn by ``panels.figure_html``, with the provenance of ``results`` below.

    Parameters
    ----------
    name
        The figure's label, for example ``"fig-sgd"``.
    caption
        MyST Markdown that can be understood alone; it begins with the finding. Where it names panels,
        as (a), (b), they have these letters.
    alt
        Alternative text.
    results
        Experiments that the figure is drawn from, ``"tuning"`` included; empty if nothing was trained.
    """
    for letter, panel in zip("abcdefgh", figure.axes, strict=False):
        if f"({letter})" in caption:
            panel.title.set_text(f"({letter}) {panel.get_title()}".rstrip())
    html = figure_html(figure, alt, name)  # first, because it computes the layout
    svg = StringIO()
    with mpl.rc_context(SVG):
        figure.savefig(svg, format="svg", bbox_inches="tight", metadata={"Date": None})
    drawn_from = [results] if isinstance(results, str) else list(results)
    about = {"name": name, "caption": caption, "alt": alt, "results": drawn_from}
    shown = {"image/svg+xml": svg.getvalue(), FOR_THE_SITE: html, "text/plain": alt}
    display(shown, raw=True, metadata={"dfa_figure": about})
    display(Markdown(f"*{plain(caption)}*"), metadata={"dfa_caption": name})
