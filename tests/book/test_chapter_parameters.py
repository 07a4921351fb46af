from pathlib import Path

import joblib
import pytest
from IPython.display import Markdown
from matplotlib.figure import Figure
from papermill.translators import PythonTranslator

from dfa_book import chapter
from dfa_book.chapter import (
    PARAMETERS,
    PROFILES,
    check_parameters,
    read_parameters,
    starting_rate,
)
from dfa_book.panels import figure_html
from dfa_lib import InputError
from dfa_lib.optimizers import OPTIMIZERS

ACCEPTED_NAMES = "accepted are profile, seeds, epochs, jobs, device, results."


def injected_cell(**given):
    """The cell that papermill puts below a chapter's parameters cell."""
    return PythonTranslator.codify(given, "Parameters")


def notebook(*cells, **names):
    """The globals of a notebook that has executed the parameters cell, ``cells``, and set ``names``."""
    first = "\n".join(f"{name} = {value!r}" for name, value in PARAMETERS.items())
    namespace = {"In": ["", first, *cells], "Out": {}, "__name__": "__main__"}
    for cell in (first, *cells):
        exec(cell, namespace)
    return namespace | names


@pytest.fixture
def displayed(monkeypatch):
    """What a chapter displays: pairs of what was shown and its keywords."""
    shown = []
    monkeypatch.setattr(chapter, "display", lambda what, **keywords: shown.append((what, keywords)))
    return shown


# ---- check_parameters ----


def test_without_parameters_the_profile_is_digits_on_every_core_and_nothing_is_kept():
    settings = check_parameters({})
    assert settings == check_parameters(PARAMETERS)
    assert (settings.profile, settings.device, settings.results) == ("digits", "cpu", None)
    assert settings.jobs == joblib.cpu_count()


@pytest.mark.parametrize("name", PROFILES)
def test_seeds_and_epochs_are_the_profiles_where_none_are_given(name):
    settings = check_parameters({"profile": name})
    assert (settings.seeds, settings.epochs) == (PROFILES[name].seeds, PROFILES[name].epochs)


@pytest.mark.parametrize("name", PROFILES)
def test_what_is_given_comes_before_the_profile(name):
    settings = check_parameters({"profile": name, "seeds": 7, "epochs": 11, "jobs": 3})
    assert (settings.seeds, settings.epochs, settings.jobs) == (7, 11, 3)


def test_an_interval_can_be_drawn_in_every_profile():
    assert min(profile.seeds for profile in PROFILES.values()) >= 2
    assert min(profile.labellings for profile in PROFILES.values()) >= 2


@pytest.mark.parametrize(("name", "seeds", "expected"), [("digits", 2, 20), ("mnist", 70, 70)])
def test_the_published_clusters_have_at_least_twenty_labellings(name, seeds, expected):
    assert check_parameters({"profile": name, "seeds": seeds}).labellings == expected


@pytest.mark.parametrize("name", PROFILES)
def test_lazy_methods_are_solved_on_samples_of_rising_size(name):
    stacks = check_parameters({"profile": name}).stacks
    assert len(stacks) >= 3
    assert list(stacks) == sorted(set(stacks))


@pytest.mark.parametrize("value", ["mnst", "Digits", "", None, 1, ["digits"]])
def test_an_unknown_profile_is_named_and_the_known_ones_are_listed(value):
    with pytest.raises(InputError) as caught:
        check_parameters({"profile": value})
    assert str(caught.value).startswith(f"profile cannot be {value!r}")
    assert str(caught.value).endswith("accepted are digits, mnist, class, smoke.")


@pytest.mark.parametrize("value", ["gpu", "CPU", None, 0])
def test_an_unknown_device_is_named_and_the_known_ones_are_listed(value):
    with pytest.raises(InputError) as caught:
        check_parameters({"device": value})
    assert str(caught.value).startswith(f"device cannot be {value!r}")
    assert str(caught.value).endswith("accepted are cpu, cuda.")


@pytest.mark.parametrize("name", ["seeds", "epochs", "jobs"])
@pytest.mark.parametrize("value", [0, -1, 2.0, 1.5, "5", True, [1]])
def test_seeds_epochs_and_jobs_must_be_whole_numbers_of_at_least_1(name, value):
    with pytest.raises(InputError) as caught:
        check_parameters({name: value})
    assert str(caught.value) == f"{name} must be a whole number of at least 1, not {value!r}."


@pytest.mark.parametrize("value", [1, True, ["results"], 0])
def test_results_must_be_a_folder(value):
    with pytest.raises(InputError) as caught:
        check_parameters({"results": value})
    assert str(caught.value) == f"results must be the path of a folder, or None, not {value!r}."


@pytest.mark.parametrize("name", ["epoch", "Epochs", "learning_rate", "x"])
def test_an_unknown_parameter_is_named_and_the_known_ones_are_listed(name):
    with pytest.raises(InputError) as caught:
        check_parameters({"seeds": 2, name: 5})
    assert str(caught.value).startswith(f"{name} is not a parameter of this book's chapters")
    assert str(caught.value).endswith(ACCEPTED_NAMES)


# ---- read_parameters ----


def test_a_chapter_without_injected_parameters_has_the_defaults():
    assert read_parameters(notebook()) == check_parameters({})


def test_injected_parameters_are_read():
    given = {"profile": "smoke", "seeds": 4, "epochs": 5, "jobs": 1, "results": "somewhere"}
    assert read_parameters(notebook(injected_cell(**given))) == check_parameters(given)


def test_an_injected_name_that_no_chapter_has_is_refused_and_epochs_is_suggested():
    with pytest.raises(InputError) as caught:
        read_parameters(notebook(injected_cell(epoch=5)))
    assert str(caught.value) == (
        "epoch is not a parameter of this book's chapters (did you mean epochs?); " + ACCEPTED_NAMES
    )


@pytest.mark.parametrize(
    "given",
    [{"profile": "mnst"}, {"seeds": 0}, {"epochs": 1.5}, {"jobs": "two"}, {"device": "gpu"}],
    ids=lambda given: next(iter(given)),
)
def test_an_injected_value_that_is_not_accepted_is_named(given):
    ((name, value),) = given.items()
    with pytest.raises(InputError, match=f"^{name} .*{value!r}"):
        read_parameters(notebook(injected_cell(**given)))


def test_a_value_typed_into_the_parameters_cell_is_checked_too():
    with pytest.raises(InputError, match="seeds must be a whole number of at least 1, not 0"):
        read_parameters(notebook(seeds=0))


def test_running_the_cell_again_later_is_no_error():
    cell = injected_cell(epochs=5)
    later = notebook(cell, "epoch = 3", "seed, table = 1, None", epoch=3, figure=None, k=3)
    assert read_parameters(later) == read_parameters(notebook(cell))


def test_a_corrected_cell_counts_without_a_restart():
    assert read_parameters(notebook(injected_cell(epoch=5), injected_cell(epochs=5))).epochs == 5


def test_a_persons_own_cell_about_parameters_is_not_papermills():
    assert read_parameters(notebook("# Parameters of my network\nwidth = 3")) == check_parameters({})


def test_the_library_reads_a_plain_scripts_globals():
    assert read_parameters({"epochs": 5, "epoch": 1}).epochs == 5


# ---- Settings ----


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_has_the_chapters_scale_and_its_optimizers_starting_rate(name, optimizer):
    settings = check_parameters({"profile": name, "epochs": 4})
    profile, run = PROFILES[name], settings.run(method="dfa", optimizer=optimizer)
    assert (run.method, run.optimizer, run.epochs, run.device) == ("dfa", optimizer, 4, "cpu")
    assert (run.dataset, run.hidden) == (profile.dataset, profile.hidden)
    assert run.learning_rate == starting_rate(profile.dataset, "dfa", optimizer)
    if profile.samples is not None:
        assert (run.samples, run.test_samples) == (profile.samples, profile.test_samples)


def test_tuning_starts_lower_for_mnist_and_for_feedback_alignment_with_sgd():
    assert starting_rate("digits", "bp", "sgd") == chapter.STARTING_RATES["sgd"]
    assert starting_rate("mnist", "bp", "sgd") == starting_rate("digits", "bp", "sgd") / 4
    assert starting_rate("digits", "dfa", "sgd") == starting_rate("digits", "bp", "sgd") / 4
    assert starting_rate("digits", "dfa", "adam") == starting_rate("digits", "bp", "adam")
    usual = starting_rate("digits", "dfa", "sgd", "uniform")
    assert starting_rate("digits", "dfa", "sgd", "standard_uniform") == usual / 8


def test_a_runs_other_fields_come_before_the_chapters():
    settings = check_parameters({"profile": "smoke"})
    run = settings.run(method="fa", k=1, learning_rate=0.3, hidden=8, epochs=1, seed=2)
    assert (run.k, run.learning_rate, run.hidden, run.epochs, run.seed) == (1, 0.3, 8, 1, 2)


def test_an_unknown_optimizer_is_named_and_the_known_ones_are_listed():
    with pytest.raises(InputError, match=r"optimizer cannot be 'rmsporp' .*accepted are sgd"):
        check_parameters({}).run(method="bp", optimizer="rmsporp")


def test_a_run_goes_to_the_device_that_was_asked_for():
    assert check_parameters({"device": "cuda"}).run(method="bp").device == "cuda"


def test_an_experiment_has_a_csv_in_the_results_folder():
    settings = check_parameters({"results": "results/mnist"})
    assert settings.csv("sgd") == Path("results", "mnist", "sgd.csv")
    assert check_parameters({"results": Path("here")}).csv("sgd") == Path("here", "sgd.csv")


@pytest.mark.parametrize("results", [None, ""])
def test_without_a_results_folder_there_is_no_csv(results):
    assert check_parameters({"results": results}).csv("sgd") is None


# ---- show_figure ----


def test_a_figure_is_shown_as_svg_that_carries_its_name_caption_and_alt_text(displayed):
    figure = Figure()
    figure.subplots().plot([1, 2])
    chapter.show_figure(
        figure, name="fig-line", caption="A *line*.", alt="A rising line.", results=("sgd",)
    )
    (image, image_keywords), (caption, caption_keywords) = displayed

    assert image.keys() == {"image/svg+xml", chapter.FOR_THE_SITE, "text/plain"}
    assert "<svg" in image["image/svg+xml"]
    assert image[chapter.FOR_THE_SITE] == figure_html(figure, "A rising line.", "fig-line")
    assert image["text/plain"] == "A rising line."
    assert image_keywords["raw"] is True
    assert image_keywords["metadata"] == {
        "dfa_figure": {
            "name": "fig-line",
            "caption": "A *line*.",
            "alt": "A rising line.",
            "results": ["sgd"],
        }
    }

    assert isinstance(caption, Markdown)
    assert "A *line*." in caption.data
    assert caption_keywords["metadata"] == {"dfa_caption": "fig-line"}


def test_a_figure_holds_no_date_so_that_unchanged_figures_stay_unchanged(displayed):
    chapter.show_figure(Figure(), name="fig-empty", caption="Nothing.", alt="Nothing.")
    assert "<dc:date>" not in displayed[0][0]["image/svg+xml"]


def test_the_same_figure_is_the_same_file(displayed):
    for _ in range(2):
        figure = Figure()
        figure.subplots().fill_between([0, 1], [0, 0], [1, 2])
        chapter.show_figure(figure, name="fig-area", caption="An area.", alt="An area.")
    assert displayed[0][0]["image/svg+xml"] == displayed[2][0]["image/svg+xml"]
