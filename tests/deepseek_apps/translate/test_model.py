"""One model in three forms: whole, step by step and in CTranslate2 gives the same tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from deepseek_apps.translate.decoding import greedy, greedy_in_batches
from deepseek_apps.translate.exporting import check_alike
from deepseek_apps.translate.feeding import padded, tensors
from deepseek_apps.translate.loss import SmoothedLoss, loss_of
from deepseek_apps.translate.model import Translator, sinusoids
from deepseek_apps.translate.search import beam_search, log_softmax
from deepseek_apps.translate.shape import Shape
from deepseek_apps.translate.special import BEGIN, END, NAMES
from deepseek_apps.translate.to_ctranslate2 import convert
from deepseek_core import errors

SHAPE = Shape(vocabulary=50, width=32, inner=48, heads=4, encoder_layers=2, decoder_layers=2)
PIECES = [*NAMES, *(f"piece{number}" for number in range(44))]
MOST = 20


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model() -> Translator:
    """With weights of some size, so that texts differ and some end."""
    torch.manual_seed(8)
    made = Translator(SHAPE).eval()
    with torch.no_grad():
        for param in made.parameters():
            param.add_(torch.randn_like(param) * 0.4)
        made.decoded.bias.zero_()
    return made


@pytest.fixture(scope="module")
def sources() -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [[6, *rng.integers(7, 50, rng.integers(1, 15)).tolist(), END] for _ in range(60)]


def test_step_by_step_equals_the_whole(model: Translator) -> None:
    source, target = torch.tensor([[6, 9, 12, END]]), torch.tensor([[BEGIN, 10, 20, 30, 40]])
    with torch.no_grad():
        whole = model(source, target)
        memory, mask = model.encode(source)
        keys, past, states = model.keys(memory), None, []
        for place in range(target.shape[1]):
            state, past = model.step(target[:, place : place + 1], keys, mask, past)
            states.append(state)
    assert torch.allclose(torch.cat(states, 1), whole, atol=1e-5)


def test_a_target_does_not_see_what_comes_after(model: Translator) -> None:
    source = torch.tensor([[6, 9, END]])
    with torch.no_grad():
        one = model(source, torch.tensor([[BEGIN, 10, 20]]))
        other = model(source, torch.tensor([[BEGIN, 10, 33]]))
    assert torch.allclose(one[:, :2], other[:, :2], atol=1e-6)
    assert not torch.allclose(one[:, 2], other[:, 2], atol=1e-3)


def test_padding_changes_nothing(model: Translator, sources: list[list[int]]) -> None:
    alone = [greedy(model, [row], MOST)[0] for row in sources]
    assert greedy_in_batches(model, sources, MOST, batch=16) == alone
    assert {len(row) for row in alone} - {MOST}, "some of them have to end"


def test_ctranslate2_makes_the_same_tokens(
    tmp_path: Path, model: Translator, sources: list[list[int]]
) -> None:
    import ctranslate2

    convert(model, PIECES, tmp_path)
    translator = ctranslate2.Translator(str(tmp_path), intra_threads=1, compute_type="float32")
    given = [[PIECES[number] for number in row] for row in sources]
    found = translator.translate_batch(given, beam_size=1, max_decoding_length=MOST)
    rows = [[PIECES.index(piece) for piece in one.hypotheses[0]] for one in found]
    assert rows == greedy_in_batches(model, sources, MOST)


def test_an_export_that_translates_otherwise_is_refused_with_the_text() -> None:
    check_alike(["a text"], [[1, 2]], [[1, 2]], "model")
    with pytest.raises(errors.InputError, match="'two' otherwise than the training, from token 2"):
        check_alike(["one", "two"], [[1], [1, 2]], [[1], [1, 3]], "model")
    with pytest.raises(errors.InputError, match="from token 3"):
        check_alike(["one"], [[1, 2]], [[1, 2, 4]], "model")


def test_a_beam_finds_what_greedy_search_misses() -> None:
    """The likelier first token leads to unlikely ones; 9 ends nothing, END is likely after 8."""

    def step(tokens: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chances = np.full((len(tokens), 10), 1e-9)
        for place, token in enumerate(tokens[:, 0]):
            if token == BEGIN:
                chances[place, [8, 9]] = 0.45, 0.55
            elif token == 8:
                chances[place, END] = 0.99
            else:
                chances[place, [5, 6, END]] = 0.34, 0.33, 0.33
        return np.log(chances), state

    def found(beam: int) -> list[int]:
        return beam_search(step, lambda state, _: state, np.zeros(1), 3, beam)

    assert found(1)[0] == 9
    assert found(4) == [8]


def test_a_translation_has_a_token_at_least() -> None:
    def step(tokens: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.eye(10)[[END] * len(tokens)] * 9, state

    assert len(beam_search(step, lambda state, _: state, None, 5, 1)) == 1


def test_log_probabilities_sum_to_one_even_of_large_logits() -> None:
    found = log_softmax(np.asarray([[1e4, 0.0, -1e4], [1.0, 1.0, 1.0]], np.float32))
    assert np.exp(found).sum(-1) == pytest.approx([1, 1])


def test_the_loss_is_a_sum_over_tokens_without_padding(model: Translator) -> None:
    loss = SmoothedLoss(model, 0.1).eval()
    rows = [([6, 9, END], [10, 11, 12]), ([6, 20, 30, END], [13])]
    together, count = loss_of(loss, tensors([r[0] for r in rows], [r[1] for r in rows]))
    alone = [loss_of(loss, tensors([row[0]], [row[1]])) for row in rows]
    assert count == sum(each[1] for each in alone) == 6
    assert together.item() == pytest.approx(sum(each[0].item() for each in alone), rel=1e-5)
    assert loss.train()(tensors([rows[0][0]], [rows[0][1]])).item() > 0


def test_positions_are_sines_before_cosines() -> None:
    table = sinusoids(4, 6)
    assert table[0].tolist() == [0, 0, 0, 1, 1, 1]
    assert table[2, 0] == pytest.approx(np.sin(2))
    assert padded([[1], [1, 2]]).shape == (2, 2)
