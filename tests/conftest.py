"""What several test files share.

``dfa_lib`` is imported inside the fixtures: jaxtyping's hook, which checks shapes while tests run, has
to be in place before the first import.
"""

import os
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import jaxtyping
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
ATTACKS = "attacks"

hypothesis.settings.register_profile(
    "suite", derandomize=True, database=None, deadline=None, max_examples=30
)
hypothesis.settings.load_profile("suite")
# Test processes run side by side.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def the_main_module_stays():
    """IPython puts its own module in the place of this one, and no process starts from that."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


def pytest_addoption(parser):
    parser.addoption(
        "--site",
        type=Path,
        metavar="FOLDER",
        help="the built site that make test-site looks at",
    )


def pytest_collection_modifyitems(items):
    if os.name == "nt":
        for item in items:
            if item.get_closest_marker("posix"):
                item.add_marker(pytest.mark.skip(reason="Windows has no such signals, forks or files"))


def pytest_terminal_summary(terminalreporter):
    """Print what tests have measured, and how often they attacked, whichever process they ran in."""
    attacks = Counter()
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for title, told in report.user_properties:
            if title == ATTACKS:
                attacks.update(told)
            else:
                terminalreporter.section(title)
                terminalreporter.write_line(told)
    if attacks:
        terminalreporter.section(ATTACKS)
        for kind, count in sorted(attacks.items()):
            terminalreporter.write_line(f"{count:7,} {kind}")


@pytest.fixture
def attacks(record_property):
    """Count what a test tries on purpose, by kind; the summary adds it up."""
    counts = {}  # which xdist can send
    record_property(ATTACKS, counts)

    def count(kind, number=1):
        counts[kind] = counts.get(kind, 0) + number

    return count


@pytest.fixture(params=["sample", pytest.param("all", marks=pytest.mark.long)])
def portion(request):
    """Let a test try some of its cases, evenly spread; `make test-long` tries all."""

    def some(cases, sample):
        cases = list(cases)
        return cases if request.param == "all" else cases[:: max(1, len(cases) // sample)]

    return some


@pytest.fixture(scope="session")
def open_chromium():
    """Start Chromium, driven by Playwright; a thread has to have its own. Skip where there is none."""
    from playwright.sync_api import sync_playwright

    from dfa_book.site.pdf import browser as find_browser
    from dfa_lib import InputError

    try:
        program = find_browser()
    except InputError as problem:
        pytest.skip(f"pages are not looked at in a browser; {problem}")
    # Names of other hosts lead nowhere, so that a page shows only what the site has.
    options = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-gpu"]

    @contextmanager
    def start():
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=options)
            yield browser
            browser.close()

    return start


@pytest.fixture(scope="module")
def chromium(open_chromium):
    """One browser for a file's tests."""
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def open_page(chromium):
    """Open addresses in tabs of their own; errors of scripts, or on the console, fail the test."""
    contexts, wrong = [], []

    def opened(address, **options):
        context = chromium.new_context(**options)
        context.set_default_timeout(120_000)  # the machine may have other work
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def visit(open_page, address):
    """Open the test file's page, whose fixture ``address`` it has, at an anchor."""
    return lambda anchor="", **options: open_page(address + anchor, **options)


@pytest.fixture(scope="session")
def relative_error():
    """``|actual - expected| / |expected|`` in the Euclidean norm; of a dictionary, the largest."""

    def error(actual, expected):
        if isinstance(expected, dict):
            assert actual.keys() == expected.keys()
            return max((error(actual[name], expected[name]) for name in expected), key=_nan_last)
        assert actual.shape == expected.shape
        difference = torch.linalg.vector_norm(actual.double() - expected.double())
        return float(difference / torch.linalg.vector_norm(expected.double()))

    return error


def _nan_last(x):
    return (x != x, x)


@pytest.fixture(scope="session")
def random_network():
    """Draw parameters in float64, by other means than the library's.

    Of a size that keeps logits small: where the output is sure and right, hardly a digit of the error
    ``σ(z) - y`` is left, and results would differ from one processor to the next.
    """

    def draw(widths, *, biases=True, runs=(), feedback=None, seed=0):
        source = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return torch.randn(*runs, *shape, generator=source, dtype=torch.float64)

        parameters = {}
        layers = len(widths) - 1
        for layer in range(1, layers + 1):
            parameters[f"W{layer}"] = normal(widths[layer - 1], widths[layer]) / widths[layer - 1] ** 0.5
            if biases:
                parameters[f"b{layer}"] = normal(1, widths[layer])
            if feedback is not None and layer < layers:
                above = widths[-1] if feedback == "dfa" else widths[layer + 1]
                parameters[f"B{layer}"] = normal(above, widths[layer])
        return parameters

    return draw


@pytest.fixture(scope="session")
def random_batch():
    """Draw inputs ``(…, n, inputs)`` and labels ``(…, n, 1)`` in float64."""

    def draw(n, inputs, *, runs=(), seed=1):
        source = torch.Generator().manual_seed(seed)
        X = torch.randn(*runs, n, inputs, generator=source, dtype=torch.float64)
        y = torch.randint(2, (*runs, n, 1), generator=source).double()
        return X, y

    return draw


@pytest.fixture(scope="session")
def small_run():
    """Make a ``Run`` that trains in milliseconds."""
    from dfa_lib import Run

    def make(**fields):
        small = {"samples": 256, "test_samples": 128, "hidden": 16, "epochs": 2, "learning_rate": 0.1}
        return Run(**(small | fields))

    return make


@pytest.fixture
def registrations_end():
    """What a test registers is gone after it."""
    from dfa_lib.experiments import extension, names

    named = (names.COLOURS, names.FEEDBACK_NAMES, names.METHOD_NAMES)
    tables = (*extension.TABLES.values(), extension.REGISTERED, *named, names.OPTIMIZER_NAMES)
    before = [dict(table) for table in tables]
    yield
    for table, saved in zip(tables, before, strict=True):
        table.clear()
        table.update(saved)


@pytest.fixture
def unchecked(monkeypatch):
    """Let a test pass what annotations forbid, as a person may: the library has to say so itself."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def mnist_folder(monkeypatch):
    """The folder with the four files of MNIST; a test that needs them is skipped where there is none."""
    candidates = [os.environ.get("DFA_DATA_DIR"), ROOT.parent / "shared" / "data"]
    for folder in (Path(c) for c in candidates if c):
        if (folder / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
            monkeypatch.setenv("DFA_DATA_DIR", str(folder))
            return folder
    pytest.skip("MNIST is not here: set DFA_DATA_DIR to a folder with MNIST/raw")
