"""The controller against naive encoding, against Eq. 4 by hand, and on targets that can be learned."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from memnas_core.controller.encoding import cell_major, prefix_tree
from memnas_core.controller.examples import Example, robust_scale
from memnas_core.controller.interface import (
    Controller,
    examples_for,
    predicted_scores,
)
from memnas_core.controller.rank_metrics import kendall_tau
from memnas_core.errors import ArchitectureError, InputError
from memnas_core.memory.figures import MemoryFigures
from memnas_core.objective.score import Performance
from memnas_core.settings.schema import ControllerSettings
from memnas_core.space import operations as ops
from memnas_core.space.architecture import Architecture, Block, Branch, Cell, Combiner
from memnas_core.space.operations import Operation
from tests.core.objective.plain_objective import OBJECTIVE
from tests.core.random_architectures import distinct_walks

SETTINGS = ControllerSettings("paper", "accuracy", embedding_size=32, hidden_size=32, epochs=60, learning_rate=0.01)
QUICK = replace(SETTINGS, epochs=3)
BASE = Performance(accuracy=0.8, activation_bytes=1000, param_bytes=2000)

# What an operation adds to the made-up accuracy.
WORTH = {
    ops.CONV_3X3: 1.0,
    ops.DEPTHWISE_3X3: 0.5,
    ops.DEPTHWISE_5X5: 0.7,
    ops.FACTORIZED_7X7: 0.8,
    ops.AVERAGE_POOL_3X3: -0.5,
    ops.MAX_POOL_3X3: -0.2,
    ops.DILATED_3X3: 0.9,
    ops.IDENTITY: -1.0,
}


def made_up_accuracy(architecture: Architecture) -> float:
    cells = [cell for block in architecture.blocks for cell in block.cells]
    worth = sum(WORTH[branch.operation] for cell in cells for branch in cell.branches)
    return float(0.86 - 0.08 * np.exp(-(worth + 5) / 10))


ARCHITECTURES = distinct_walks(300, seed=1, most_cells=3)
TRUE = np.array([made_up_accuracy(architecture) for architecture in ARCHITECTURES])
NOISY = TRUE + np.random.default_rng(0).normal(0, 0.003, len(TRUE))
TRAINED, HELD_OUT = slice(0, 100), slice(100, 300)


def examples(targets: npt.NDArray[np.float64]) -> list[Example]:
    """Pair the first architectures with targets."""
    return [Example(a, float(t)) for a, t in zip(ARCHITECTURES, targets, strict=False)]


@pytest.fixture(scope="module")
def controller() -> Controller:
    return Controller.train(SETTINGS, examples(NOISY[TRAINED]), seed=0)


def one_block(*cells: Cell) -> Architecture:
    return Architecture((Block(cells, 1),), 4)


def cell(first: tuple[int, Operation], second: tuple[int, Operation]) -> Cell:
    return Cell(Branch(*first), Branch(*second), Combiner.SUM, included=True)


def naive_feature(controller: Controller, architecture: Architecture, columns: list[int] | None = None) -> Tensor:
    """Encode one architecture by itself, cell after cell, with the bits of each token in an order of columns."""
    network = controller.model.network
    (encoder,) = network.encoder
    state = torch.zeros(1, encoder.hidden_size)
    for token in cell_major(architecture):
        bits = torch.from_numpy(token.ordered().bits(controller.model.layout))
        bits = bits if columns is None else bits[columns]
        state = encoder(network.embedding(bits)[None], state)
    return state[0]


def test_features_and_scores_equal_naive_encoding(controller: Controller) -> None:
    by_id = sorted(ARCHITECTURES, key=lambda architecture: architecture.arch_id)
    # The ranking GRU by hand: one step a candidate, the state carried on.
    ranker = nn.GRUCell(SETTINGS.hidden_size, SETTINGS.hidden_size)
    weights = controller.model.network.ranker.state_dict()
    ranker.load_state_dict({name.removesuffix("_l0"): weight for name, weight in weights.items()})
    state, scores = torch.zeros(1, SETTINGS.hidden_size), []
    with torch.no_grad():
        for architecture in by_id:
            state = ranker(naive_feature(controller, architecture)[None], state)
            scores.append(controller.model.network.head(state).item())
    expected = controller.model.centre + controller.model.spread * np.array(scores)
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(controller.predict(by_id), expected, rtol=0, atol=1e-6)


def test_each_distinct_prefix_is_encoded_once(controller: Controller) -> None:
    architectures = ARCHITECTURES[:100]
    tree = prefix_tree(architectures, controller.model.layout)
    rows: list[int] = []
    hook = controller.model.network.encoder[0].register_forward_hook(
        lambda _module, _inputs, out: rows.append(len(out))
    )
    try:
        controller.predict(architectures)
        assert sum(rows) == tree.nodes
        assert len(rows) == len(tree.levels)  # one batched call a length
        rows.clear()
        controller.predict(architectures * 5)
        assert sum(rows) == tree.nodes
    finally:
        hook.remove()


def test_it_learns_to_rank(controller: Controller) -> None:
    assert kendall_tau(TRUE[HELD_OUT], controller.predict(ARCHITECTURES[HELD_OUT])) > 0.5


def test_targets_that_mean_nothing_teach_nothing() -> None:
    taus = []
    for seed in range(2):
        shuffled = np.random.default_rng(seed).permutation(NOISY[TRAINED])
        misled = Controller.train(SETTINGS, examples(shuffled), seed)
        taus.append(kendall_tau(TRUE[HELD_OUT], misled.predict(ARCHITECTURES[HELD_OUT])))
    assert abs(np.mean(taus)) < 0.25  # one seed spreads by about 0.12


def test_networks_at_chance_do_not_set_the_scale() -> None:
    # With mean and standard deviation, or without the cut-off, tau falls to 0.1 to 0.26.
    targets = NOISY[TRAINED].copy()
    targets[[3, 30, 50, 70]] = 0.1
    controller = Controller.train(SETTINGS, examples(targets), seed=0)
    assert kendall_tau(TRUE[HELD_OUT], controller.predict(ARCHITECTURES[HELD_OUT])) > 0.5


def test_more_examples_than_one_sequence_holds() -> None:
    controller = Controller.train(SETTINGS, examples(NOISY[:205]), seed=0)
    assert kendall_tau(TRUE[205:], controller.predict(ARCHITECTURES[205:])) > 0.5


def test_no_order_of_the_examples_is_learned() -> None:
    # All examples are one network, so only their order could tell their targets apart.
    same = [ARCHITECTURES[0]] * 30
    controller = Controller.train(
        SETTINGS, [Example(architecture, i / 30) for i, architecture in enumerate(same)], seed=0
    )
    assert np.ptp(controller.predict(same)) < 0.1  # without shuffling it is 0.9


def test_equal_arguments_give_equal_controllers() -> None:
    trained = examples(NOISY[:30])
    first, backwards = (
        Controller.train(QUICK, trained, seed=0),
        Controller.train(QUICK, trained[::-1], seed=0),
    )
    other_seed = Controller.train(QUICK, trained, seed=1)
    predictions = first.predict(ARCHITECTURES)
    np.testing.assert_array_equal(backwards.predict(ARCHITECTURES), predictions)
    assert not np.array_equal(other_seed.predict(ARCHITECTURES), predictions)


def test_predictions_do_not_depend_on_the_order_given(controller: Controller) -> None:
    predictions = controller.predict(ARCHITECTURES)
    order = np.random.default_rng(2).permutation(len(ARCHITECTURES))
    shuffled = controller.predict([ARCHITECTURES[i] for i in order])
    np.testing.assert_array_equal(shuffled, predictions[order])
    assert predictions.dtype == np.float64


def test_predictions_are_relative_to_the_other_candidates(controller: Controller) -> None:
    """That is what tells the SCC from controllers that score each candidate alone."""
    together, first_half = controller.predict(ARCHITECTURES[:40]), controller.predict(ARCHITECTURES[:20])
    assert not np.allclose(together[:20], first_half, rtol=0, atol=1e-5)


def test_the_global_state_of_torch_is_left_alone() -> None:
    random_state = torch.get_rng_state()
    trained = Controller.train(QUICK, examples(NOISY[:8]), seed=0)
    trained.predict(ARCHITECTURES[:5])
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.is_grad_enabled()
    torch.rand(7)  # what others draw does not matter either
    first = Controller.train(QUICK, examples(NOISY[:8]), seed=0).predict(ARCHITECTURES[:5])
    torch.rand(7)
    second = Controller.train(QUICK, examples(NOISY[:8]), seed=0).predict(ARCHITECTURES[:5])
    np.testing.assert_array_equal(first, second)


def test_one_torch_thread_is_used_and_the_number_put_back() -> None:
    threads, during = torch.get_num_threads(), list[int]()
    controller = Controller.train(QUICK, examples(NOISY[:4]), seed=0)
    controller.model.network.head.register_forward_hook(lambda *_: during.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        controller.predict(ARCHITECTURES[:5])
        assert during == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_bits_that_no_example_had_say_nothing() -> None:
    conv, pool = (0, ops.CONV_3X3), (0, ops.MAX_POOL_3X3)
    dilated, identity = (0, ops.DILATED_3X3), (0, ops.IDENTITY)
    known = [one_block(cell(conv, conv)), one_block(cell(conv, pool)), one_block(cell(pool, pool))]
    targets = zip(known, (0.9, 0.8, 0.7), strict=True)
    controller = Controller.train(SETTINGS, [Example(a, t) for a, t in targets], seed=0)

    def alone(*cells: Cell) -> float:
        return float(controller.predict([one_block(*cells)])[0])

    assert alone(cell(conv, dilated)) == alone(cell(conv, identity))
    assert alone(cell(conv, conv)) > alone(cell(pool, pool))
    # Inputs 1 and 2 exist in no example, which all have one cell.
    start = cell(conv, conv), cell(conv, pool)
    by_input = [alone(*start, cell((1, ops.CONV_3X3), (n, ops.MAX_POOL_3X3))) for n in (0, 1, 2)]
    assert by_input[1] == by_input[2] != by_input[0]


def test_branch_order_hardly_matters_to_what_was_learned(controller: Controller) -> None:
    # Canonical order never shows the network a swapped cell, but swapping it would be the same cell.
    columns = controller.model.layout.swapped_columns

    def score_alone(architecture: Architecture, swap: bool) -> float:
        feature = naive_feature(controller, architecture, columns if swap else None)
        return float(controller.model.network.scores(feature[None, None]))

    held_out = ARCHITECTURES[100:160]
    plain, swapped = ([score_alone(a, swap) for a in held_out] for swap in (False, True))
    assert kendall_tau(plain, swapped) > 0.8  # 0.90 here; 0.70 without swaps in training


def test_few_and_equal_examples() -> None:
    one = Controller.train(QUICK, [Example(ARCHITECTURES[0], 0.7)], seed=0)
    np.testing.assert_array_equal(one.predict(ARCHITECTURES[:9]), np.full(9, 0.7))
    eight = Controller.train(SETTINGS, examples(NOISY[:8]), seed=0)
    assert kendall_tau(NOISY[:8], eight.predict(ARCHITECTURES[:8])) > 0.7
    assert eight.predict([]).shape == (0,)


def test_examples_that_cannot_be_learned_from_are_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        Controller.train(QUICK, [], seed=0)
    with pytest.raises(InputError, match=f"{ARCHITECTURES[1].arch_id}: expected a finite target, found nan"):
        Controller.train(QUICK, examples(np.array([0.5, float("nan")])), seed=0)
    controller = Controller.train(QUICK, examples(NOISY[:4]), seed=0)
    with pytest.raises(ArchitectureError, match="expected 3 blocks, found 1"):
        controller.predict([one_block(cell((0, ops.CONV_3X3), (0, ops.CONV_3X3)))])


def test_robust_scale_by_hand() -> None:
    # Median 0.84; deviations 0.74, 0.02, 0, 0.01, 0.02 have the median 0.02.
    assert robust_scale(np.array([0.1, 0.82, 0.84, 0.85, 0.86])) == pytest.approx((0.84, 1.4826 * 0.02))
    # Three of four are equal: the standard deviation of 1, 1, 1, 5 is sqrt(3).
    assert robust_scale(np.array([1.0, 1.0, 1.0, 5.0])) == pytest.approx((1.0, 3**0.5))
    assert robust_scale(np.array([0.3, 0.3])) == (0.3, 0.0)


def test_examples_for_either_target() -> None:
    better_and_larger = Performance(accuracy=0.88, activation_bytes=1500, param_bytes=2200)
    trained = [(ARCHITECTURES[0], BASE), (ARCHITECTURES[1], better_and_larger)]
    assert examples_for("accuracy", trained, BASE, 0.5) == (
        Example(ARCHITECTURES[0], 0.8),
        Example(ARCHITECTURES[1], 0.88),
    )
    on_base = [example.target for example in examples_for("metric", trained, BASE, 0.8)]
    # 0.8 * 0.08 / 0.8 - 0.2 * (500 / 1000 + 200 / 2000)
    assert on_base == pytest.approx([0.0, 0.8 * 0.1 - 0.2 * (0.5 + 0.1)])
    # Another base, another scale: the same two networks the other way round.
    on_other = [example.target for example in examples_for("metric", trained, better_and_larger, 0.8)]
    assert on_other == pytest.approx([-0.8 * 0.08 / 0.88 + 0.2 * (500 / 1500 + 200 / 2200), 0.0])


def test_predicted_scores_with_exact_memory_terms(controller: Controller) -> None:
    memory = [MemoryFigures(1000 + 10 * i, 7, 8, 900 + 3 * i) for i in range(40)]
    predicted = predicted_scores(controller, ARCHITECTURES[:40], memory, BASE, OBJECTIVE)
    accuracy = controller.predict(ARCHITECTURES[:40])
    params, peaks = 1000 + 10 * np.arange(40), 900 + 3 * np.arange(40)
    by_hand = 0.5 * (accuracy - 0.8) / 0.8 - 0.5 * ((peaks - 1000) / 1000 + (params - 2000) / 2000)
    np.testing.assert_allclose(predicted.score, by_hand, rtol=1e-12)
    assert predicted.accuracy is not None
    np.testing.assert_array_equal(predicted.accuracy, accuracy)
    memory_only = predicted_scores(
        controller, ARCHITECTURES[:40], memory, BASE, replace(OBJECTIVE, accuracy_weight=0.0)
    )
    np.testing.assert_array_equal(np.argsort(-memory_only.score), np.arange(40))
    with pytest.raises(InputError, match="memory figures of 40 candidates, found 39"):
        predicted_scores(controller, ARCHITECTURES[:40], memory[:39], BASE, OBJECTIVE)


def test_predicted_scores_of_the_papers_target() -> None:
    controller = Controller.train(replace(QUICK, target="metric"), examples(NOISY[:8]), seed=0)
    memory = [MemoryFigures(1000, 7, 8, 900)] * 20
    predicted = predicted_scores(controller, ARCHITECTURES[:20], memory, BASE, OBJECTIVE)
    np.testing.assert_array_equal(predicted.score, controller.predict(ARCHITECTURES[:20]))
    assert predicted.accuracy is None
