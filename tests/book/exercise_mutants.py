"""Wrong answers to exercises: a solution with a slip that people make, one at a time."""

import ast
import copy

SWAPPED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE, ast.Eq: ast.NotEq,
}  # fmt: skip
NAMES = {"max": "min", "min": "max", "mean": "sum", "sum": "mean", "sigmoid": "tanh", "argmax": "argmin"}

_RANK = "int(torch.linalg.matrix_rank(errors @ torch.randn(outputs, units, dtype=torch.float64)))"

# For solutions of which few slips run to the end: what stands there, and what does in a wrong answer.
BY_HAND = {
    "ex-extension-uphill": [
        ('METHODS["uphill"].rule', 'METHODS["bp"].rule'),
        ('("bp", "uphill", "relu_features")', '("bp", "relu_features")'),
    ],
    "ex-extension-target": [("X.float()).logits", "X[:5].float()).logits")],
    "ex-representations-shuffled": [("judged.images, judged.labels)", "X, meaningless)")],
    "ex-depth-rank": [
        ("errors @ torch.randn(outputs, units, dtype=torch.float64)", "errors"),
        (_RANK, "min(outputs, units)"),
        (_RANK, "outputs"),
    ],
    "ex-foundations-scale": [
        ("(1.0, 100.0)", "(1.0, 1.0)"),
        ("ends[0] - ends[1]", "ends[0] - ends[0]"),
        ('ends.append(parameters["W1"])', 'ends.append(network["W1"])'),
    ],
    "ex-experiments-transport": [
        ('copied_B = copy_net["W2"].mT', 'copied_B = 2 * copy_net["W2"].mT'),
        ('copy_net | {"B1": copied_B}, *first', 'copy_net | {"B1": random_B}, *first'),
        ('{"B1": copied_B}, *first_batch))', '{"B1": copied_B}, *copy_stacks.batch(64, 64)))'),
    ],
}


def slips(node):
    """Yield what may be written in the place of a node: a wrong sign, factor, name, or transposition."""
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPPED:
        yield ast.BinOp(node.left, SWAPPED[type(node.op)](), node.right)
        yield node.left  # the other term or factor forgotten
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPPED:
        yield ast.Compare(node.left, [SWAPPED[type(node.ops[0])](), *node.ops[1:]], node.comparators)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield ast.Constant(2 * node.value or 1)
        yield ast.Constant(node.value + 1)
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        yield ast.Constant(not node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield node.operand
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield ast.Attribute(node.value, NAMES[node.attr], node.ctx)
    if isinstance(node, ast.Attribute) and node.attr == "mT":
        yield node.value
    if isinstance(node, ast.Call) and node.args:
        yield node.args[0]  # the function forgotten
    if isinstance(node, ast.Call) and len(node.args) > 1:
        yield ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        yield node.value  # nothing picked
    if isinstance(node, ast.Call) and node.keywords:
        yield ast.Call(node.func, node.args, [])
    if isinstance(node, ast.Name) and node.id in NAMES:
        yield ast.Name(NAMES[node.id], node.ctx)
    if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and len(node.elts) == 2:
        yield ast.Tuple(node.elts[::-1], node.ctx)


class _Replace(ast.NodeTransformer):
    def __init__(self, place, new):
        self.place, self.new, self.count = place, new, -1

    def visit(self, node):
        self.count += 1
        if self.count == self.place:
            return self.new
        return super().generic_visit(node)


def _in_order(tree):
    """Return nodes in the order in which ``_Replace`` visits them."""
    found = [tree]
    for child in ast.iter_child_nodes(tree):
        found += _in_order(child)
    return found


def wrong_answers(label, solution):
    """Yield answers as code, each with one slip; the last lines, where the answer is, come first."""
    for right, wrong in BY_HAND.get(label, []):
        assert right in solution
        yield solution_without_assertions(solution.replace(right, wrong, 1))
    tree = ast.parse(solution_without_assertions(solution))
    places = [(i, new) for i, node in enumerate(_in_order(tree)) for new in slips(node)]
    for place, new in reversed(places):
        wrong = ast.unparse(ast.fix_missing_locations(_Replace(place, new).visit(copy.deepcopy(tree))))
        if wrong != ast.unparse(tree):
            yield wrong


def solution_without_assertions(solution):
    """Return a solution as a student would write it."""
    tree = ast.parse(solution)
    tree.body = [node for node in tree.body if not isinstance(node, ast.Assert)]
    return ast.unparse(tree)
