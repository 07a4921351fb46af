import itertools
import json
import math
import re
from html import unescape

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import same_color
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle

from dfa_book.panels import figure_html
from dfa_book.plots import (
    COLOURS,
    DIGIT_COLOURS,
    FEEDBACK_NAMES,
    METHOD_NAMES,
    OPTIMIZER_NAMES,
    PAPER,
    PARITY_COLOURS,
    TINT,
    Curve,
    accuracy_curves,
    converged_curves,
    curves_in,
    draw_curve,
    error_curves,
    error_transport,
    final_accuracies,
    label,
    legend_below,
    line_look,
    metric_curves,
    probe_accuracies,
    rate_curves,
    representation_diagram,
    representation_maps,
    row_of_panels,
    score_curves,
    weights_label,
)
from dfa_lib import InputError, Run
from dfa_lib.data.examples import Examples
from dfa_lib.data.images import Digits
from dfa_lib.experiments.results import to_table
from dfa_lib.experiments.statistics import mean_interval
from dfa_lib.methods import METHODS
from dfa_lib.optimizers import OPTIMIZERS
from dfa_lib.training import METRICS, History

SEED_LINE_OPACITY = 0.5  # fainter lines are single seeds


UNSTABLE_LOSS = 50.0  # nats


def made_up(method, accuracies, *, k=1, seed=0, optimizer="sgd", loss=0.4):
    """A run with these accuracies; nan is an epoch after the run has diverged."""
    run = Run(
        method=method, optimizer=optimizer, k=k, seed=seed, epochs=len(accuracies), learning_rate=0.1
    )
    history = History(run)
    for value in accuracies:
        history.append({} if math.isnan(value) else dict.fromkeys(METRICS, value) | {"train_loss": loss})
    return history


def curves(*histories, **keywords):
    figure = accuracy_curves(to_table(histories), **keywords)
    figure.canvas.draw()
    return figure


def panels(figure):
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title().startswith("k = ")}


def is_opaque(line):
    return line.get_alpha() is None or line.get_alpha() > SEED_LINE_OPACITY


def mean_lines(panel, method):
    lines = [line for line in panel.lines if same_color(line.get_color(), COLOURS[method])]
    return [line for line in lines if is_opaque(line)]


def seed_lines(panel, method):
    lines = [line for line in panel.lines if same_color(line.get_color(), COLOURS[method])]
    return [line for line in lines if not is_opaque(line)]


def band(panel, method):
    """Lower and upper edge of a method's band, by epoch."""
    (found,) = [c for c in panel.collections if same_color(c.get_facecolor()[0][:3], COLOURS[method])]
    points = np.concatenate([path.vertices for path in found.get_paths()])
    return {
        int(x): (points[points[:, 0] == x, 1].min(), points[points[:, 0] == x, 1].max())
        for x in np.unique(points[:, 0])
    }


def legend_texts(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


TWO_METHODS = [
    made_up("bp", [0.60, 0.90], k=1, seed=0),
    made_up("bp", [0.70, 0.96], k=1, seed=1),
    made_up("dfa", [0.55, 0.80], k=1, seed=0),
    made_up("dfa", [0.57, 0.86], k=1, seed=1),
    made_up("bp", [0.60, 0.74], k=3, seed=0),
    made_up("bp", [0.62, 0.76], k=3, seed=1),
    made_up("dfa", [0.50, 0.60], k=3, seed=0),
    made_up("dfa", [0.52, 0.64], k=3, seed=1),
]


# ---- names ----


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_colour_of_its_own_and_a_name(method):
    others = [COLOURS[other] for other in METHODS if other != method]
    assert not any(same_color(COLOURS[method], other) for other in others)
    assert METHOD_NAMES[method]


def test_every_optimizer_has_a_mark_of_its_own_and_a_name():
    assert OPTIMIZER_NAMES.keys() == OPTIMIZERS.keys()
    lines = [("bp", optimizer) for optimizer in OPTIMIZERS]
    assert len({line_look(lines, *line)["marker"] for line in lines}) == len(OPTIMIZERS)


@pytest.mark.parametrize(
    ("method", "optimizer", "expected"),
    [
        ("bp", "sgd", "BP, SGD"),
        ("fa", "adam", "FA, Adam"),
        ("dfa", "rmsprop", "DFA, RMSProp"),
        ("ntk", "sgd", "NTK (W₁, fixed gates)"),
        ("relu_features", "sgd", "ReLU features"),
    ],
)
def test_a_label_names_the_optimizer_of_methods_that_train_every_layer(method, optimizer, expected):
    assert label(method, optimizer) == expected


# ---- accuracy_curves ----


def test_each_k_has_a_panel():
    figure = curves(*TWO_METHODS)
    assert list(panels(figure)) == ["k = 1", "k = 3"]
    assert list(panels(curves(*TWO_METHODS[:4]))) == ["k = 1"]


@pytest.mark.parametrize(
    ("k", "method", "means"),
    [
        (1, "bp", [0.65, 0.93]),
        (1, "dfa", [0.56, 0.83]),
        (3, "bp", [0.61, 0.75]),
        (3, "dfa", [0.51, 0.62]),
    ],
)
def test_each_method_has_one_mean_line_in_its_colour(k, method, means):
    (line,) = mean_lines(panels(curves(*TWO_METHODS))[f"k = {k}"], method)
    assert list(line.get_xdata()) == [1, 2]
    assert list(line.get_ydata()) == pytest.approx(means)


def test_each_seed_has_a_faint_line():
    panel = panels(curves(*TWO_METHODS))["k = 3"]
    drawn = [list(line.get_ydata()) for line in seed_lines(panel, "dfa")]
    assert drawn == [pytest.approx([0.50, 0.60]), pytest.approx([0.52, 0.64])]


def test_the_band_is_the_interval_over_seeds():
    panel = panels(curves(*TWO_METHODS))["k = 3"]
    for epoch, values in ((1, [0.50, 0.52]), (2, [0.60, 0.64])):
        interval = mean_interval(values)
        assert band(panel, "dfa")[epoch] == pytest.approx((interval.low, interval.high))


def test_one_method_with_two_optimizers_has_two_marks_on_solid_lines_of_one_colour():
    figure = curves(
        made_up("bp", [0.6, 0.7]),
        made_up("bp", [0.8, 0.9], optimizer="adadelta"),
    )
    sgd, adadelta = mean_lines(panels(figure)["k = 1"], "bp")
    assert sgd.get_linestyle() == adadelta.get_linestyle() == "-"
    assert sgd.get_marker() != adadelta.get_marker()
    assert legend_texts(figure) == ["BP, SGD", "BP, Adadelta"]


def end_names(panel):
    """What is written at the ends of lines, from below, with how high it stands in points."""
    names = [(text.xyann[1] + panel.transData.transform(text.xy)[1] * 72 / panel.figure.dpi, text)
             for text in panel.texts if hasattr(text, "xyann")]  # fmt: skip
    return sorted((float(height), text.get_text()) for height, text in names)


def test_lines_are_named_at_their_ends_by_what_they_differ_in():
    for panel, low in (
        (panels(curves(*TWO_METHODS))["k = 1"], 0.83),
        (panels(curves(*TWO_METHODS))["k = 3"], 0.62),
    ):
        assert [name for _, name in end_names(panel)] == ["DFA", "BP"]
        (dfa,) = [text for text in panel.texts if text.get_text() == "DFA"]
        assert dfa.xy == pytest.approx((2, low))
        assert dfa.get_gid() == "line:DFA-SGD"
    panel = panels(curves(made_up("bp", [0.6, 0.7]), made_up("dfa", [0.6, 0.7], optimizer="adam")))[
        "k = 1"
    ]
    assert {name for _, name in end_names(panel)} == {"BP, SGD", "DFA, Adam"}


def test_names_of_lines_that_end_together_stand_apart():
    ends = [made_up(method, [0.6, 0.7]) for method in ("bp", "dfa", "fa")]
    heights = [height for height, _ in end_names(panels(curves(*ends))["k = 1"])]
    assert np.diff(heights) == pytest.approx([12, 12], abs=0.5)


@pytest.mark.parametrize("end", [0.0, 0.03, 0.5, 0.97, 1.0])
def test_names_of_many_lines_lie_within_their_panel(end):
    """Below it they would cover the labels of the horizontal axis."""
    figure, (panel,) = row_of_panels(1, 3.6)
    for place, name in enumerate(["one", "two", "three", "four, of two very long lines"]):
        draw_curve(
            panel, Curve(name, [1, 2], [0.5, end + place * 1e-4], color=COLOURS["dfa"], label=name)
        )
    panel.set_ylim(0, 1)
    legend_below(figure, curves_in(panel))
    figure.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in panel.texts), key=lambda box: box.y0)
    assert len(boxes) == 4
    assert all(above.y0 >= below.y1 - 0.5 for below, above in itertools.pairwise(boxes))
    bottom, top = (panel.transAxes.transform((0, y))[1] for y in (0, 1))
    assert boxes[0].y0 >= bottom - 8
    assert boxes[-1].y1 <= top + 10


def test_names_stand_between_the_lines_and_an_axis_on_the_right():
    rows = [made_up("dfa", [0.5, 0.7], optimizer=o) for o in ("sgd", "rmsprop")]
    table = to_table(rows).assign(weight_alignment=[0.1, 0.2] * 2)
    (panel,) = metric_curves(table, ["weight_alignment"]).axes
    panel.figure.draw_without_rendering()
    right = panel.get_window_extent().x1
    for text in panel.texts:
        assert panel.transData.transform(text.xy)[0] < text.get_window_extent().x0
        assert text.get_window_extent().x1 < right


def test_a_line_alone_needs_no_name_at_its_end():
    assert end_names(panels(curves(made_up("bp", [0.6, 0.7])))["k = 1"]) == []


def test_the_legend_names_each_line_once():
    assert legend_texts(curves(*TWO_METHODS)) == ["BP, SGD", "DFA, SGD", "single seeds"]


def test_a_single_seed_has_a_mean_line_and_no_band():
    panel = panels(curves(made_up("bp", [0.6, 0.7])))["k = 1"]
    (line,) = mean_lines(panel, "bp")
    assert list(line.get_ydata()) == pytest.approx([0.6, 0.7])
    assert all(len(path.vertices) == 0 for c in panel.collections for path in c.get_paths())


def test_a_run_that_is_not_finite_leaves_a_mean_of_the_others_and_is_counted_in_the_legend():
    figure = curves(
        made_up("bp", [0.6, 0.7, 0.8], seed=0),
        made_up("bp", [0.6, 0.7, 0.9], seed=1),
        made_up("dfa", [0.6, 0.7, 0.8], seed=0),
        made_up("dfa", [math.nan] * 3, seed=1),
        made_up("dfa", [math.nan] * 3, seed=2),
    )
    panel = panels(figure)["k = 1"]
    assert legend_texts(figure) == [
        "BP, SGD",
        "DFA, SGD (2 of 3 seeds not finite; mean of the others)",
        "single seeds",
        "unstable seeds",
    ]
    (line,) = mean_lines(panel, "dfa")
    assert list(line.get_ydata()) == [0.6, 0.7, 0.8]
    (line,) = mean_lines(panel, "bp")
    assert list(line.get_ydata()) == pytest.approx([0.6, 0.7, 0.85])


MIXED = [
    made_up("dfa", [0.50, 0.70], k=3, seed=0),
    made_up("dfa", [0.52, 0.74], k=3, seed=1),
    made_up("dfa", [0.60, 0.50], k=3, seed=2, loss=UNSTABLE_LOSS),
    made_up("bp", [0.60, 0.80], k=3, seed=0),
    made_up("bp", [0.60, 0.82], k=3, seed=1),
    made_up("bp", [0.60, 0.84], k=3, seed=2),
]


def crosses(panel, colour):
    lines = [line for line in panel.lines if line.get_marker() == "x"]
    return [line for line in lines if same_color(line.get_color(), colour)]


def test_an_unstable_seed_is_dashed_and_ends_in_a_cross():
    panel = panels(curves(*MIXED))["k = 3"]
    (cross,) = crosses(panel, COLOURS["dfa"])
    assert (list(cross.get_xdata()), list(cross.get_ydata())) == ([2], [0.50])
    (dashed,) = [line for line in panel.lines if list(line.get_ydata()) == [0.60, 0.50]]
    stable = [line for line in seed_lines(panel, "dfa") if list(line.get_ydata()) == [0.50, 0.70]]
    assert dashed._dash_pattern != stable[0]._dash_pattern
    assert crosses(panel, COLOURS["bp"]) == []


def test_the_band_and_the_thick_line_are_of_the_stable_seeds_and_a_thin_line_is_the_mean_of_all():
    panel = panels(curves(*MIXED))["k = 3"]
    every, others = sorted(mean_lines(panel, "dfa"), key=lambda line: line.get_linewidth())
    assert list(others.get_ydata()) == pytest.approx([0.51, 0.72])
    assert list(every.get_ydata()) == pytest.approx([1.62 / 3, 1.94 / 3])
    interval = mean_interval([0.70, 0.74])
    assert band(panel, "dfa")[2] == pytest.approx((interval.low, interval.high))
    (line,) = mean_lines(panel, "bp")  # a method without unstable seeds has one mean
    assert list(line.get_ydata()) == pytest.approx([0.60, 0.82])


def test_the_legend_counts_unstable_seeds_and_names_both_means():
    assert legend_texts(curves(*MIXED)) == [
        "DFA, SGD (1 of 3 seeds unstable; mean of the others)",
        "DFA, SGD, mean of all",
        "BP, SGD",
        "single seeds",
        "unstable seeds",
    ]
    assert legend_texts(curves(*MIXED[2:3])) == [
        "DFA, SGD, mean of all (1 of 1 seeds unstable)",
        "unstable seeds",
    ]


def test_the_site_shows_the_values_of_both_means():
    html = figure_html(curves(*MIXED), "alt", "name")
    (readings,) = [json.loads(unescape(text)) for text in re.findall(r'data-readings="([^"]*)"', html)]
    told = {line["name"]: line["told"][-1][0] for line in readings["lines"].values()}
    assert told == {"DFA, SGD": "0.720", "DFA, SGD, mean of all": "0.647", "BP, SGD": "0.820"}


def test_a_method_without_runs_for_a_k_is_left_out_of_its_panel():
    figure = curves(*TWO_METHODS[:6])
    assert len(mean_lines(panels(figure)["k = 1"], "dfa")) == 1
    assert mean_lines(panels(figure)["k = 3"], "dfa") == []


def test_a_run_that_is_lost_on_the_way_is_drawn_to_its_last_finite_epoch():
    panel = panels(
        curves(
            made_up("dfa", [0.60, 0.70, 0.80], seed=0),
            made_up("dfa", [0.62, 0.66, math.nan], seed=1),
        )
    )["k = 1"]
    (cross,) = crosses(panel, COLOURS["dfa"])
    assert (list(cross.get_xdata()), list(cross.get_ydata())) == ([2], [0.66])
    (line,) = mean_lines(panel, "dfa")
    assert list(line.get_ydata()) == pytest.approx([0.60, 0.70, 0.80])


@pytest.fixture
def sample_stacks():
    """Three stacks of one digit and three of three, of images that are all alike but for their label."""
    labels = torch.tensor([4, 7, 0, 9])
    digits = Digits(torch.arange(4.0)[:, None].expand(4, 64).contiguous(), labels)
    chosen = {1: [[0], [1], [2]], 3: [[0, 1, 2], [3, 1, 0], [2, 2, 2]]}
    stacks = {}
    for k, rows in chosen.items():
        index = torch.tensor(rows)
        parities = (labels[index].sum(dim=1, keepdim=True) % 2).float()
        stacks[k] = Examples(digits.images, index, parities)
    return stacks, digits


def stack_axes(figure):
    """A panel's sample stacks belong to it: where the panel goes, they go."""
    return [axes for panel in figure.axes for axes in panel.child_axes if axes.images]


def test_sample_stacks_say_their_digits_sum_and_label(sample_stacks):
    stacks, digits = sample_stacks
    figure = curves(*TWO_METHODS, stacks=stacks, digits=digits)
    titles = [" ".join(axes.get_title().split()) for axes in stack_axes(figure)]
    assert [title.replace(":", "") for title in titles] == [
        *("4 even", "7 odd", "0 even"),
        *("4+7+0 = 11 odd", "9+7+4 = 20 even", "0+0+0 = 0 even"),
    ]
    assert list(panels(figure)) == ["k = 1", "k = 3"]


def test_sample_stacks_show_their_digits_side_by_side(sample_stacks):
    stacks, digits = sample_stacks
    figure = curves(*TWO_METHODS, stacks=stacks, digits=digits)
    images = [axes.images[0].get_array() for axes in stack_axes(figure)]
    assert [image.shape for image in images] == [(8, 8)] * 3 + [(8, 24)] * 3
    # Each image of the fixture is its row's number throughout.
    assert [image[0, ::8].tolist() for image in images[3:]] == [[0, 1, 2], [3, 1, 0], [2, 2, 2]]


# ---- error_transport ----

CARRIERS = {
    "bp": {"W₃ᵀ", "W₂ᵀ"},
    "fa": {"B₂", "B₁"},
    "dfa": {"B₂", "B₁"},
}


def texts(panel):
    return {text.get_text() for text in panel.texts}


def backward_arrows(panel, method):
    arrows = [patch for patch in panel.patches if isinstance(patch, FancyArrowPatch)]
    return [arrow for arrow in arrows if same_color(arrow.get_edgecolor(), COLOURS[method])]


@pytest.mark.parametrize("method", CARRIERS)
def test_the_error_is_carried_by_the_methods_own_matrices(method):
    figure = error_transport([method])
    figure.canvas.draw()
    (panel,) = figure.axes
    assert CARRIERS[method] <= texts(panel)
    of_others = set().union(*CARRIERS.values()) - CARRIERS[method]
    assert not of_others & texts(panel)
    assert {"W₁", "W₂", "W₃", "X", "h₁", "h₂", "e"} <= texts(panel)


@pytest.mark.parametrize("method", CARRIERS)
def test_each_hidden_layer_is_reached_by_one_backward_arrow_in_the_methods_colour(method):
    (panel,) = error_transport([method]).axes
    assert len(backward_arrows(panel, method)) == 2


def test_in_dfa_both_arrows_leave_the_error_and_in_fa_only_one():
    starts = {}
    for method in ("fa", "dfa"):
        (panel,) = error_transport([method]).axes
        arrows = backward_arrows(panel, method)
        # The error stands furthest right of all layers.
        starts[method] = [round(float(arrow.get_path().vertices[:, 0].max())) for arrow in arrows]
    assert starts == {"fa": [4, 2], "dfa": [4, 4]}


def test_several_methods_have_a_titled_panel_each():
    figure = error_transport(["fa", "dfa"])
    assert [axes.get_title() for axes in figure.axes] == ["FA", "DFA"]


def test_only_methods_that_send_an_error_back_can_be_drawn():
    with pytest.raises(InputError, match=r"method cannot be 'ntk'.*; accepted are bp, fa, dfa"):
        error_transport(["ntk"])


# ---- error_curves ----

FEATURES = "relu_features"


def clusters_run(method, n, d, seed, test, train=1.0, optimizer="sgd", loss=0.0):
    """A run on n points of d inputs that ends with these accuracies."""
    run = Run(
        dataset="clusters", method=method, optimizer=optimizer, samples=n, dimensions=d, seed=seed,
        epochs=2, learning_rate=0.1,
    )  # fmt: skip
    history = History(run)
    for share in (0.5, 1.0):  # the first epoch is half as accurate, and must not be drawn
        accuracies = {"test_accuracy": share * test, "train_accuracy": share * train}
        values = dict.fromkeys(METRICS, 0.0) | {"train_loss": loss} | accuracies
        history.append({} if math.isnan(test) else values)
    return history


CLUSTER_RUNS = [
    clusters_run("bp", 64, 15, 0, 0.70, 0.98),
    clusters_run("bp", 64, 15, 1, 0.80, 1.00),
    clusters_run("bp", 32, 15, 0, 0.60, 0.96),
    clusters_run("bp", 32, 15, 1, 0.62, 0.98),
    clusters_run(FEATURES, 32, 15, 0, 0.55),
    clusters_run(FEATURES, 32, 15, 1, 0.57),
    clusters_run(FEATURES, 64, 15, 0, 0.58),
    clusters_run(FEATURES, 64, 15, 1, 0.60),
]


def errors(*histories, x="samples", judged=("test",), **keywords):
    table = to_table(histories)
    figure = error_curves([(table, x, each) for each in judged], **keywords)
    figure.canvas.draw()
    return figure


def test_the_error_is_one_minus_the_accuracy_of_the_last_epoch_by_rising_x():
    panel = errors(*CLUSTER_RUNS).axes[0]
    (line,) = mean_lines(panel, "bp")
    assert list(line.get_xdata()) == [32, 64]
    assert list(line.get_ydata()) == pytest.approx([0.39, 0.25])
    (line,) = mean_lines(panel, FEATURES)
    assert list(line.get_ydata()) == pytest.approx([0.44, 0.41])


def test_below_each_line_is_compared_with_bp_seed_by_seed_in_points():
    _, panel = errors(*CLUSTER_RUNS).axes
    assert panel.get_title() == "ReLU features minus BP, SGD"
    (dots,) = seed_lines(panel, FEATURES)
    pairs = [(32, 5), (32, 5), (64, 12), (64, 20)]  # of BP's accuracies less those of ReLU features
    assert sorted(zip(dots.get_xdata(), dots.get_ydata(), strict=True)) == [
        pytest.approx(pair) for pair in pairs
    ]
    (mean,) = mean_lines(panel, FEATURES)
    assert list(mean.get_ydata()) == pytest.approx([5, 16])
    interval = mean_interval([12, 20])
    assert band(panel, FEATURES)[64] == pytest.approx((interval.low, interval.high))


def test_a_difference_from_an_unstable_seed_is_a_cross_and_in_no_mean():
    figure = errors(
        clusters_run("bp", 32, 15, 0, 0.9), clusters_run("bp", 32, 15, 1, 0.9),
        clusters_run("dfa", 32, 15, 0, 0.8), clusters_run("dfa", 32, 15, 1, 0.5, loss=UNSTABLE_LOSS),
    )  # fmt: skip
    panel = figure.axes[1]
    (cross,) = crosses(panel, COLOURS["dfa"])
    assert (list(cross.get_xdata()), list(cross.get_ydata())) == ([32], [pytest.approx(40)])
    (mean,) = [line for line in panel.lines if isinstance(line, Curve)]
    assert list(mean.get_ydata()) == [pytest.approx(10)]


def test_the_errors_band_is_the_interval_over_seeds():
    panel = errors(*CLUSTER_RUNS).axes[0]
    for n, values in ((32, [0.40, 0.38]), (64, [0.30, 0.20])):
        interval = mean_interval(values)
        assert band(panel, "bp")[n] == pytest.approx((interval.low, interval.high))


def test_test_and_training_error_have_a_panel_each():
    test, train, *_ = errors(*CLUSTER_RUNS, judged=("test", "train")).axes
    assert (test.get_ylabel(), train.get_ylabel()) == ("test error", "training error")
    (line,) = mean_lines(train, "bp")
    assert list(line.get_ydata()) == pytest.approx([0.03, 0.01])


@pytest.mark.parametrize(
    ("x", "values", "name", "title"),
    [
        ("samples", [(32, 15), (128, 15)], "training points n", "d = 15"),
        ("dimensions", [(256, 5), (256, 25)], "inputs d", "n = 256"),
    ],
)
def test_the_axis_has_the_values_that_were_run_and_the_title_what_they_share(x, values, name, title):
    (panel,) = errors(*(clusters_run("bp", n, d, 0, 0.9) for n, d in values), x=x).axes
    varied = [n if x == "samples" else d for n, d in values]
    assert list(panel.get_xticks()) == varied
    assert [tick.get_text() for tick in panel.get_xticklabels()] == [str(value) for value in varied]
    assert (panel.get_xlabel(), panel.get_title()) == (name, title)


def solved_rows(method, n, d, accuracies, **fields):
    """Rows of a table of solved models, one for each seed."""
    return pd.DataFrame(
        {"method": method, "samples": n, "dimensions": str(d), "seed": range(len(accuracies))}
        | {"test_accuracy": accuracies, "train_accuracy": 1.0}
        | fields
    )


def test_solved_models_are_lines_of_their_own_where_the_runs_are():
    solved = pd.concat(
        [
            solved_rows(FEATURES, 32, 15, [0.70, 0.72]),
            solved_rows(FEATURES, 64, 15, [0.80, 0.82]),
            solved_rows(FEATURES, 64, 25, [0.10, 0.10]),  # other inputs than the panel's
            solved_rows("ntk", 64, 15, [0.90, 0.90]),
        ]
    )
    figure = errors(*CLUSTER_RUNS, solved=solved)
    trained, line = mean_lines(figure.axes[0], FEATURES)
    assert list(line.get_xdata()) == [32, 64]
    assert list(line.get_ydata()) == pytest.approx([0.29, 0.19])
    assert line.get_marker() != trained.get_marker()
    (line,) = mean_lines(figure.axes[0], "ntk")
    assert list(line.get_ydata()) == pytest.approx([0.10])
    assert legend_texts(figure) == [
        "BP, SGD",
        "ReLU features",
        "solved ReLU features",
        "solved NTK (W₁, fixed gates)",
        "single seeds",
    ]


def test_accuracy_of_solved_models_is_drawn_against_stacks_with_trained_runs_as_circles():
    table = pd.concat(
        solved_rows(method, n, "", [accuracy, accuracy + 0.02], k=k)
        for k in "12"
        for n, accuracy in ((100, 0.60), (1_000, 0.70))
        for method in (FEATURES, "relu_kernel")
    )
    trained = to_table([made_up("bp", [0.5, 0.9], k=1), made_up(FEATURES, [0.5, 0.8], k=1)])
    figure = converged_curves(table, trained)
    figure.canvas.draw()
    one, two, enlarged = panels(figure).values()
    assert enlarged.get_title() == "k = 2, enlarged"
    drawn = [len([line for line in panel.lines if isinstance(line, Curve)]) for panel in figure.axes]
    assert drawn == [2, 2, 2]
    assert enlarged.get_ylim() == pytest.approx((0.59, 0.73))  # means are 0.61 and 0.71
    finite, infinite = [line for line in mean_lines(one, FEATURES) if len(line.get_xdata()) == 2][:2]
    for line in (finite, infinite):
        assert list(line.get_xdata()) == [100, 1_000]
        assert list(line.get_ydata()) == pytest.approx([0.61, 0.71])
    assert finite.get_marker() != infinite.get_marker()
    circles = {
        line.get_markeredgecolor(): (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in one.lines
        if line.get_marker() == "o" and same_color(line.get_markerfacecolor(), PAPER)
    }
    seen = 2 * 18_000  # two epochs of the digits' default
    assert circles == {COLOURS["bp"]: (seen, 0.9), COLOURS[FEATURES]: (seen, 0.8)}
    assert not [
        line
        for line in two.lines
        if line.get_marker() == "o" and not line.get_alpha() and len(line.get_xdata()) == 1
    ]
    assert legend_texts(figure) == [
        "ReLU features",
        "infinitely wide ReLU features",
        "BP, SGD, trained",
        "single seeds",
    ]


def test_points_double_at_equal_steps():
    (panel,) = errors(*(clusters_run("bp", n, 15, 0, 0.9) for n in (32, 64, 128))).axes
    places = [panel.transData.transform((n, 0))[0] for n in (32, 64, 128)]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])


def test_the_dotted_line_is_the_error_of_the_likelier_answer():
    panel = errors(*CLUSTER_RUNS).axes[0]
    (line,) = [line for line in panel.lines if line.get_linestyle() == ":"]
    assert list(line.get_ydata()) == pytest.approx([4 / 9, 4 / 9])


def test_the_legend_of_errors_names_each_line_once_and_counts_lost_runs_once():
    figure = errors(
        clusters_run("dfa", 32, 15, 0, 0.6),
        clusters_run("dfa", 32, 15, 1, math.nan),
        clusters_run("dfa", 32, 15, 0, 0.7, optimizer="rmsprop"),
        clusters_run(FEATURES, 32, 15, 0, 0.55),
        judged=("test", "train"),
    )
    assert legend_texts(figure) == [
        "DFA, SGD (1 of 2 seeds not finite; mean of the others)",
        "DFA, RMSProp",
        "ReLU features",
        "single seeds",
        "unstable seeds",
    ]
    sgd, rmsprop = mean_lines(figure.axes[0], "dfa")
    assert sgd.get_marker() != rmsprop.get_marker()
    assert list(sgd.get_ydata()) == [pytest.approx(0.4)]


def test_errors_of_unstable_runs_are_crosses_and_in_one_mean_of_two():
    figure = errors(
        clusters_run("dfa", 32, 15, 0, 0.6),
        clusters_run("dfa", 32, 15, 1, 0.8),
        clusters_run("dfa", 64, 15, 0, 0.7),
        clusters_run("dfa", 64, 15, 1, 0.5, loss=UNSTABLE_LOSS),
    )
    (panel,) = figure.axes
    (cross,) = crosses(panel, COLOURS["dfa"])
    assert (list(cross.get_xdata()), list(cross.get_ydata())) == ([64], [0.5])
    every, others = [list(line.get_ydata()) for line in panel.lines if isinstance(line, Curve)]
    assert every == pytest.approx([0.3, 0.4])
    assert others == pytest.approx([0.3, 0.3])
    assert legend_texts(figure)[:2] == [
        "DFA, SGD (1 of 4 runs unstable; mean of the others)",
        "DFA, SGD, mean of all",
    ]


def test_points_are_shown_above_by_density_with_the_nine_clusters():
    items = torch.tensor([[1.0, 0.1, 0.2, 9.0], [1.0, -0.3, 0.4, 9.0], [1.0, 0.0, -0.4, 9.0]])
    shown = Examples(items, torch.arange(3).unsqueeze(1), torch.tensor([[1.0], [0.0], [0.0]]))
    figure = errors(*CLUSTER_RUNS, points={"centred": shown, "uniform": shown})
    squares = [axes for axes in figure.axes if axes.get_title().startswith("density")]
    assert [axes.get_title() for axes in squares] == ["density: centred", "density: uniform"]
    for square in squares:
        circles = [patch for patch in square.patches if isinstance(patch, Circle)]
        assert {circle.radius for circle in circles} == {1 / 8}
        assert len({tuple(circle.center) for circle in circles}) == 9
        drawn = {c.get_label(): c.get_offsets().tolist() for c in square.collections}
        assert drawn["label 1"] == [pytest.approx([0.1, 0.2])]
        assert drawn["label 0"] == [pytest.approx([-0.3, 0.4]), pytest.approx([0.0, -0.4])]


@pytest.mark.parametrize(
    ("x", "judged", "message"),
    [
        ("epoch", "test", r"x cannot be 'epoch'.*; accepted are samples, dimensions"),
        ("samples", "validation", r"judged cannot be 'validation'.*; accepted are test, train"),
    ],
)
def test_errors_are_drawn_against_points_or_inputs_only(x, judged, message):
    with pytest.raises(InputError, match=message):
        error_curves([(to_table(CLUSTER_RUNS), x, judged)])


# ---- hidden representations ----

WEIGHTS = ["pixels", "untrained", "bp-sgd", "dfa-sgd"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("pixels", "raw pixels"), ("untrained", "untrained"), ("bp-adadelta", "BP, Adadelta")],
)
def test_weights_are_called_by_their_run_or_by_what_they_are(name, expected):
    assert weights_label(name) == expected


@pytest.mark.parametrize("position", range(3))
def test_the_diagram_colours_the_chosen_digit_and_its_block_only(position):
    figure = representation_diagram(torch.rand(3, 64), position, hidden=512)
    figure.canvas.draw()
    (panel,) = figure.axes
    assert [image.get_alpha() == 1.0 for image in panel.images] == [i == position for i in range(3)]
    # Blocks stand at x = 2, the first digit's on top.
    blocks = {p.get_y(): p for p in panel.patches if isinstance(p, Rectangle) and p.get_x() == 2.0}
    plain = [same_color(blocks[2 - i].get_facecolor(), TINT) for i in range(3)]
    assert plain == [i != position for i in range(3)]
    written = " ".join(texts(panel))
    assert f"h⁽{'¹²³'[position]}⁾" in written
    assert "64 × 512" in written
    assert "192 × 512" in written


@pytest.fixture
def maps():
    """Two points of each digit, for each of the weights."""
    digits = list(range(10)) * 2
    return pd.concat(
        pd.DataFrame({"weights": name, "digit": digits, "x": digits, "y": np.arange(20.0) + shift})
        for shift, name in enumerate(WEIGHTS)
    )


def test_maps_have_a_column_for_each_of_the_weights(maps):
    figure = representation_maps(maps)
    figure.canvas.draw()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == 2 * ["raw pixels", "untrained", "BP, SGD", "DFA, SGD"]
    assert [axes.get_xlabel() for axes in figure.axes] == 4 * ["by digit"] + 4 * ["by parity"]


def test_maps_are_coloured_by_digit_above_and_by_parity_below(maps):
    figure = representation_maps(maps)
    for panels, colours in (
        (figure.axes[:4], dict(enumerate(DIGIT_COLOURS))),
        (figure.axes[4:], {0: PARITY_COLOURS["even"], 1: PARITY_COLOURS["odd"]}),
    ):
        for panel, name in zip(panels, WEIGHTS, strict=True):
            own = maps[maps["weights"] == name]
            drawn = {
                (float(x), float(y))
                for group, colour in zip(panel.collections, colours.values(), strict=True)
                for x, y in group.get_offsets()
                if same_color(group.get_facecolor()[0], colour)
                and int(x) % len(colours) in colours
                and same_color(colours[int(x) % len(colours)], colour)
            }
            assert drawn == set(zip(own["x"].astype(float), own["y"], strict=True))


def test_every_digit_is_named_on_the_upper_maps_and_the_legend_has_digits_and_parities(maps):
    figure = representation_maps(maps)
    for panel in figure.axes[:4]:
        assert sorted(text.get_text() for text in panel.texts) == [str(d) for d in range(10)]
    assert legend_texts(figure) == [*map(str, range(10)), "even", "odd"]
    assert all(group.get_rasterized() for panel in figure.axes for group in panel.collections)


def test_digits_have_a_colour_each():
    assert len(set(DIGIT_COLOURS)) == 10


@pytest.fixture
def probes():
    rows = [
        {"seed": seed, "weights": name, "probe": probe, "target": target}
        | {
            "accuracy": 0.8
            + 0.01 * i
            + 0.02 * seed
            + 0.05 * (probe == "linear")
            - 0.1 * (target == "parity")
        }
        for seed in (0, 1, 2)
        for i, name in enumerate(WEIGHTS)
        for probe in ("nearest neighbours", "linear")
        for target in ("digit", "parity")
    ]
    return pd.DataFrame(rows)


def test_probe_panels_mark_the_mean_of_each_probe_and_weights_with_its_interval(probes):
    figure = probe_accuracies(probes)
    figure.canvas.draw()
    assert [axes.get_title() for axes in figure.axes] == ["which digit it is", "whether it is odd"]
    assert legend_texts(figure) == ["nearest neighbours", "linear"]
    for panel, target in zip(figure.axes, ("digit", "parity"), strict=True):
        names = [tick.get_text() for tick in panel.get_xticklabels()]
        assert names == ["raw pixels", "untrained", "BP, SGD", "DFA, SGD"]
        intervals = [line for line in panel.lines if line.get_linestyle() == "-"]
        dots = [line for line in panel.lines if line.get_linestyle() != "-" and is_opaque(line)]
        means = [line for line in dots if len(line.get_xdata()) == 1]
        assert len(intervals) == len(means) == 8
        groups = probes[probes["target"] == target].groupby(["weights", "probe"])["accuracy"]
        expected = [mean_interval(values) for _, values in groups]
        assert sorted(float(line.get_ydata()[0]) for line in means) == pytest.approx(
            sorted(interval.mean for interval in expected)
        )
        assert sorted(tuple(line.get_ydata()) for line in intervals) == [
            pytest.approx(pair) for pair in sorted((i.low, i.high) for i in expected)
        ]


def test_probe_marks_have_the_methods_colours(probes):
    panel = probe_accuracies(probes).axes[0]
    for x, method in ((2, "bp"), (3, "dfa")):
        drawn = [line for line in panel.lines if not isinstance(line, Curve)]
        marks = [line for line in drawn if abs(float(np.mean(line.get_xdata())) - x) < 0.4]
        assert marks
        assert all(same_color(line.get_color(), COLOURS[method]) for line in marks)


def test_the_probe_axis_ends_at_one_even_where_an_interval_does_not(probes):
    high = probes.assign(accuracy=[0.9, 0.99] * (len(probes) // 2))
    figure = probe_accuracies(high)
    assert figure.axes[0].get_ylim()[1] <= 1.005
    assert figure.axes[0].get_ylim()[0] > 0.5


def test_probes_of_one_seed_have_marks_and_no_interval(probes):
    figure = probe_accuracies(probes[probes["seed"] == 0])
    figure.canvas.draw()
    intervals = [line for line in figure.axes[0].lines if line.get_linestyle() == "-"]
    assert all(np.isnan(line.get_ydata()).all() for line in intervals)


# ---- metrics, endings and rates ----


def circles(panel):
    """Points of published values: open circles."""
    return [
        line for line in panel.lines if line.get_marker() == "o" and line.get_markerfacecolor() == PAPER
    ]


def test_published_values_are_open_circles_in_the_methods_colour_and_named_in_the_legend():
    rows = [
        {"k": k, "method": m, "epoch": e, "test_accuracy": 0.5 + k / 10 + e / 100}
        for k in (1, 3) for m in ("bp", "dfa") for e in (1, 2)
    ]  # fmt: skip
    published = pd.DataFrame(rows)
    figure = curves(*TWO_METHODS, published=published)
    for k, panel in ((1, panels(figure)["k = 1"]), (3, panels(figure)["k = 3"])):
        found = circles(panel)
        assert [
            same_color(c.get_markeredgecolor(), COLOURS[m])
            for c, m in zip(found, ("bp", "dfa"), strict=True)
        ]
        for circle in found:
            assert circle.get_ydata() == pytest.approx([0.5 + k / 10 + e / 100 for e in (1, 2)])
    assert legend_texts(figure)[-2:] == ["published", "single seeds"]
    assert "published" not in legend_texts(curves(*TWO_METHODS))


def test_each_metric_has_a_panel_and_an_alignment_its_angle():
    table = to_table([made_up("dfa", [0.5, 0.7], k=3, seed=seed) for seed in range(2)])
    figure = metric_curves(table, ["test_accuracy", "weight_alignment"])
    figure.canvas.draw()
    accuracy, alignment = figure.axes
    assert (accuracy.get_ylabel(), alignment.get_ylabel()) == ("test accuracy", "cos(B, W₂ᵀ)")
    assert accuracy.child_axes == []
    (angle,) = alignment.child_axes
    assert angle.get_ylabel() == "angle, degrees"
    # 60 degrees stand where the cosine is one half.
    FigureCanvasAgg(figure).draw()
    (sixty,) = [text for text in angle.get_yticklabels() if text.get_text() == "60"]
    box = sixty.get_window_extent()
    half = alignment.transData.transform((0, 0.5))[1]
    assert (box.y0 + box.y1) / 2 == pytest.approx(half, abs=3)


def test_a_metric_that_is_not_measured_for_a_method_has_no_line_of_it():
    table = to_table([made_up("dfa", [0.5, 0.7], k=3), made_up("bp", [0.5, 0.8], k=3)])
    table.loc[table["method"] == "bp", "weight_alignment"] = math.nan
    accuracy, alignment = metric_curves(table, ["test_accuracy", "weight_alignment"]).axes
    assert len(mean_lines(accuracy, "bp")) == 1
    assert mean_lines(alignment, "bp") == []


def test_a_metric_of_the_published_values_that_is_not_drawn_is_left_out():
    table = to_table([made_up("dfa", [0.5, 0.7], k=3, seed=seed) for seed in range(2)])
    published = pd.DataFrame([{"method": "dfa", "epoch": 2, "test_accuracy": 0.6}])
    accuracy, alignment = metric_curves(
        table, ["test_accuracy", "weight_alignment"], published=published
    ).axes
    assert (len(circles(accuracy)), len(circles(alignment))) == (1, 0)


def test_endings_show_every_seed_the_mean_and_the_interval():
    values = {("sgd", "bp"): [0.8, 0.9], ("sgd", "dfa"): [0.6, 0.62], ("adam", "bp"): [0.7, 0.9]}
    table = to_table(
        [
            made_up(method, [0.5, value], k=3, seed=seed, optimizer=optimizer)
            for (optimizer, method), both in values.items()
            for seed, value in enumerate(both)
        ]
    )
    figure = final_accuracies(table, "optimizer")
    (panel,) = figure.axes
    assert [text.get_text() for text in panel.get_yticklabels()] == ["SGD", "Adam"]
    assert legend_texts(figure) == ["BP", "DFA"]
    dots = {tuple(line.get_xdata()) for line in panel.lines if line.get_marker() == "o"}
    means = [x for line in panel.lines if isinstance(line, Curve) for x in line.get_xdata()]
    bars = {tuple(line.get_xdata()) for line in panel.lines if len(line.get_xdata()) == 2}
    for both in values.values():
        interval = mean_interval(np.array(both))
        assert tuple(both) in dots
        assert any(mean == pytest.approx(interval.mean) for mean in means)
        assert any(bar == pytest.approx((interval.low, interval.high)) for bar in bars)


def test_rows_of_endings_are_sorted_by_the_gap_between_the_methods_or_by_the_mean():
    gaps = {"sgd": 0.1, "adam": 0.3, "rmsprop": 0.2}
    both = [
        made_up(method, [0.5, 0.9 - gap * (method == "dfa")], optimizer=optimizer, seed=seed)
        for optimizer, gap in gaps.items() for method in ("bp", "dfa") for seed in (0, 1)
    ]  # fmt: skip
    for table, order in (
        (to_table(both), ["Adam", "RMSProp", "SGD"]),
        (to_table([run for run in both if run.run.method == "dfa"]), ["SGD", "RMSProp", "Adam"]),
    ):
        (panel,) = final_accuracies(table, "optimizer").axes
        assert [text.get_text() for text in panel.get_yticklabels()] == order


def test_an_ending_with_a_lost_run_says_how_many_and_has_the_mean_of_the_others():
    table = to_table(
        [made_up("dfa", [0.5, value], k=3, seed=s) for s, value in enumerate((0.7, math.nan))]
    )
    (panel,) = final_accuracies(table, "feedback").axes
    assert texts(panel) == {"1 of 2 seeds not finite"}
    (mean,) = [line for line in panel.lines if line.get_marker() == "|"]
    assert list(mean.get_xdata()) == [0.7]


def test_an_ending_with_an_unstable_seed_has_its_cross_both_means_and_the_others_interval():
    figure = final_accuracies(to_table(MIXED), "optimizer")
    (panel,) = figure.axes
    assert texts(panel) == {"1 of 3 seeds unstable"}
    (cross,) = crosses(panel, COLOURS["dfa"])
    assert list(cross.get_xdata()) == [0.50]
    interval = mean_interval([0.70, 0.74])
    bars = [tuple(line.get_xdata()) for line in panel.lines if line.get_marker() == "None"]
    assert pytest.approx((interval.low, interval.high)) in bars
    means = {
        line.get_markersize(): line.get_xdata()[0] for line in panel.lines if line.get_marker() == "d"
    }
    assert list(means.values()) == [pytest.approx(1.94 / 3)]
    assert legend_texts(figure) == ["DFA", "BP", "mean of all seeds", "unstable seeds"]


# Of each rate the accuracies of its tuning seeds at the end, and how many of them are unsound.
RATES = {0.1: ([0.60], 0), 0.14: ([0.78, 0.80, 0.82], 0), 0.2: ([0.84, 0.50, 0.82], 1)}


def tuning_runs():
    """Half-step rates of each of two optimizers, with several seeds; the middle one is chosen."""
    histories, scores = [], []
    for optimizer in ("sgd", "adam"):
        for learning_rate, (accuracies, unsound) in RATES.items():
            for seed, accuracy in enumerate(accuracies):
                run = Run(
                    method="dfa", optimizer=optimizer, learning_rate=learning_rate, epochs=2,
                    seed=1000 + seed,
                )  # fmt: skip
                history = History(run)
                for value in (0.5, accuracy):
                    history.append(dict.fromkeys(METRICS, value))
                histories.append(history)
            scores.append(
                {
                    "method": "dfa", "feedback": "uniform", "optimizer": optimizer,
                    "learning_rate": learning_rate, "score": np.mean(accuracies),
                    "seeds": len(accuracies), "unsound": unsound, "chosen": learning_rate == 0.14,
                }
            )  # fmt: skip
    return to_table(histories), pd.DataFrame(scores)


def test_every_rate_has_a_mean_curve_and_the_chosen_one_the_methods_colour_and_its_seeds():
    table, scores = tuning_runs()
    figure = rate_curves(table, scores, "optimizer")
    shown = [panel for panel in figure.axes if panel.get_title()]
    assert [panel.get_title() for panel in shown] == ["SGD", "Adam"]
    for panel in shown:
        lines = {line.entry: line for line in panel.lines if isinstance(line, Curve)}
        assert list(lines) == ["0.1", "0.14", "0.2"]
        assert list(lines["0.2"].get_ydata()) == pytest.approx([0.5, 0.72])
        assert same_color(lines["0.14"].get_color(), COLOURS["dfa"])
        assert not same_color(lines["0.2"].get_color(), COLOURS["dfa"])
        assert len(seed_lines(panel, "dfa")) == 3
        told = [text.get_text() for text in panel.get_legend().get_texts()]
        assert told == ["0.1: 0 of 1", "0.14: 0 of 3", "0.2: 1 of 3"]


def test_unsound_rates_are_drawn_as_unstable_runs_are():
    table, scores = tuning_runs()
    for panel in rate_curves(table, scores, "optimizer").axes[:2]:
        lines = {line.entry: line for line in panel.lines if isinstance(line, Curve)}
        assert {name: line.get_linestyle() for name, line in lines.items()} == {
            "0.1": "-", "0.14": "-", "0.2": "--",
        }  # fmt: skip
        (cross,) = [line for line in panel.lines if line.get_marker() == "x"]
        assert (list(cross.get_xdata()), list(cross.get_ydata())) == ([2], [pytest.approx(0.72)])
    for panel in score_curves(scores, "optimizer").axes[:2]:
        (cross,) = [line for line in panel.lines if line.get_marker() == "x"]
        assert (list(cross.get_xdata()), list(cross.get_ydata())) == ([0.2], [pytest.approx(0.72)])


def test_scores_are_drawn_against_the_rate_with_a_ring_around_the_chosen_one():
    _, scores = tuning_runs()
    figure = score_curves(scores, "optimizer")
    panels = figure.axes[:2]
    assert [panel.get_title() for panel in panels] == ["SGD", "Adam"]
    assert legend_texts(figure) == ["DFA", "a tuning run is unsound"]
    for panel in panels:
        assert panel.get_xscale() == "log"
        (ring,) = [line for line in panel.lines
                   if line.get_marker() == "o" and line.get_markerfacecolor() == "none"]  # fmt: skip
        assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([0.14], [pytest.approx(0.8)])


def test_every_random_matrix_has_a_name():
    from dfa_lib.feedback import FEEDBACK

    assert FEEDBACK_NAMES.keys() == FEEDBACK.keys()
    assert len(set(FEEDBACK_NAMES.values())) == len(FEEDBACK)
