"""Sequence to sequence: the plain equations, forms of encoder and decoder, feeding back, generation."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from seq2seq_forms import DOUBLE, FORMS, SOURCE, SPECIAL, TARGET, attentive, both_ways, make
from torch import Tensor, nn

from recurra.cells import GRU, Elman
from recurra.errors import UsageError
from recurra.nn.attention import AttentionDecoder
from recurra.nn.recurrent import Recurrent
from recurra.nn.seq2seq import Bridge, CellStack, Sampler, Seq2Seq, TargetDecoder, greedy
from recurra.unroll import unroll

every_form = pytest.mark.parametrize("form", FORMS)


def elman(w: dict[str, np.ndarray], x: np.ndarray, h: np.ndarray) -> np.ndarray:
    return np.tanh(w["weight_ih"] @ x + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"])


@pytest.mark.parametrize("learned", [False, True])
def test_the_loss_is_that_of_the_plain_equations(learned: bool) -> None:
    torch.manual_seed(0)
    encoder = Recurrent("elman", 2, 4, dtype=DOUBLE)
    model = Seq2Seq(
        encoder,
        Elman(3, 4, dtype=DOUBLE),
        6,
        source_vocabulary=7,
        bridge="learned" if learned else "auto",
        **SPECIAL,
    )
    w = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    one = {name: weight.detach().numpy() for name, weight in encoder.cells[0].named_parameters()}
    two = {name.rpartition(".")[2]: w[name] for name in w if name.startswith("target.decoder.")}
    total, count = np.zeros(4), 0
    for b in range(4):
        h = np.zeros(4)
        for token in [int(token) for token in SOURCE[:, b] if token != 0]:
            h = elman(one, w["source.embed.weight"][token], h)
        if learned:
            h = np.tanh(w["source.bridge.linear.weight"] @ h + w["source.bridge.linear.bias"])
        last = SPECIAL["begin"]
        for token in [int(token) for token in TARGET[:, b] if token != 0]:
            h = elman(two, w["target.embed.weight"][last], h)
            scores = w["target.read_out.weight"] @ h + w["target.read_out.bias"]
            total[b] += np.log(np.exp(scores).sum()) - scores[token]
            last, count = token, count + 1
    assert float(model.loss(SOURCE, TARGET).detach()) == pytest.approx(total.sum() / count, rel=1e-12)
    np.testing.assert_allclose(model.loss(SOURCE, TARGET, reduction="sequence").detach(), total, rtol=1e-12)
    assert isinstance(model.source.bridge, Bridge) == learned


@every_form
def test_unrolled_with_true_tokens_is_step_by_step_with_the_same(form: str) -> None:
    model = make(form)
    found = model(SOURCE, TARGET).logits
    beginning = model.encode(SOURCE)
    step, state = model.target.step(beginning), beginning.state
    tokens = torch.ones(4, dtype=torch.long)
    for t in range(4):
        log_probs, state = step(tokens, state)
        wanted = torch.log_softmax(found[t], -1)
        for b in range(4):
            if TARGET[t, b] != 0:
                torch.testing.assert_close(log_probs[b, 2:], wanted[b, 2:], rtol=1e-11, atol=1e-12)
        assert bool((log_probs[:, :2] == -torch.inf).all())  # padding and begin
        tokens = TARGET[t]


@every_form
def test_greedy_generation_is_the_argmax_of_its_own_tokens(form: str) -> None:
    model = make(form)
    found = model.generate(SOURCE, max_steps=5)
    assert found.tokens.shape[1] == 4 and found.tokens.shape[0] <= 5
    logits = model(SOURCE, found.tokens, target_lengths=found.lengths).logits
    logits[..., :2] = -torch.inf
    for b in range(4):
        n = int(found.lengths[b])
        assert torch.equal(logits[:n, b].argmax(-1), found.tokens[:n, b])
        assert bool((found.tokens[n:, b] == 0).all())
        assert n == 5 or int(found.tokens[n - 1, b]) == 2
    scores = -model.loss(SOURCE, found.tokens, target_lengths=found.lengths, reduction="sequence").detach()
    torch.testing.assert_close(found.log_probs, scores, rtol=1e-11, atol=1e-12)


@every_form
def test_the_beams_have_the_scores_of_the_loss(form: str) -> None:
    model = make(form)
    beams = model.beam_search(SOURCE, width=4, max_steps=5, n_best=4)
    for k in range(4):
        loss = model.loss(SOURCE, beams.tokens[:, k].T, target_lengths=beams.lengths[:, k], reduction="sequence")
        torch.testing.assert_close(beams.log_probs[:, k], -loss.detach(), rtol=1e-11, atol=1e-12)
    one, greedily = model.beam_search(SOURCE, width=1, max_steps=5), model.generate(SOURCE, max_steps=5)
    assert torch.equal(one.tokens[:, 0].T, greedily.tokens)


@every_form
def test_padding_and_neighbours_do_not_matter(form: str) -> None:
    model = make(form)
    whole = model.loss(SOURCE, TARGET, reduction="sequence")
    logits = model(SOURCE, TARGET).logits
    for b in range(4):
        n, m = int((SOURCE[:, b] != 0).sum()), int((TARGET[:, b] != 0).sum())
        alone = model.loss(SOURCE[:n, b : b + 1], TARGET[:m, b : b + 1], reduction="sequence")
        torch.testing.assert_close(alone[0], whole[b], rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(model(SOURCE[:n, b : b + 1], TARGET[:m, b : b + 1]).logits[:, 0], logits[:m, b])
    # With lengths the padding may hold anything.
    source, target = SOURCE.clone(), TARGET.clone()
    source[SOURCE == 0], target[TARGET == 0] = 99, -100
    lengths = {"source_lengths": (SOURCE != 0).sum(0), "target_lengths": (TARGET != 0).sum(0)}
    torch.testing.assert_close(model.loss(source, target, **lengths), model.loss(SOURCE, TARGET), rtol=1e-12, atol=0)


def test_numbers_as_source_and_nan_in_their_padding() -> None:
    torch.manual_seed(0)
    model = Seq2Seq(both_ways(), attentive(), 6, **SPECIAL)
    source = torch.randn(5, 4, 2, dtype=DOUBLE)
    clean = model.loss(source, TARGET, source_lengths=[5, 3, 0, 1])
    source[3:, 1], source[:, 2] = torch.nan, torch.nan
    source.requires_grad_()
    loss = model.loss(source, TARGET, source_lengths=[5, 3, 0, 1])
    torch.testing.assert_close(loss, clean, rtol=0, atol=0)
    loss.backward()
    assert source.grad is not None and bool((source.grad[3:, 1] == 0).all()) and bool((source.grad[:, 2] == 0).all())
    assert all(bool(weight.grad.isfinite().all()) for weight in model.parameters() if weight.grad is not None)
    assert all(weight.grad is not None for weight in model.parameters())


@pytest.mark.parametrize("form", ["luong", "plain, handed on", "summary fed", "location"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_scheduled_sampling_feeds_its_own_tokens(form: str, share: float) -> None:
    model = make(form)
    torch.manual_seed(7)
    found = model(SOURCE, TARGET, teacher_forcing=share, choose=greedy)
    torch.manual_seed(7)
    own = torch.rand(4, 4) >= share
    assert share or bool(own.all())
    beginning = model.encode(SOURCE)
    cell = model.target.decoder
    cell = cell.bind(beginning.memory) if isinstance(cell, AttentionDecoder) else cell
    state, last = beginning.state, torch.ones(4, dtype=torch.long)
    for t in range(4):
        true = TARGET[t - 1] if t else torch.ones(4, dtype=torch.long)
        x = model.target.embed(torch.where(own[t], last, true))
        x = x if beginning.summary is None else torch.cat([x, beginning.summary], -1)
        y, state = cell(x, state)
        logits = model.target.read_out(y)
        last = logits.argmax(-1)
        for b in range(4):
            if TARGET[t, b] != 0:
                torch.testing.assert_close(found.logits[t, b], logits[b], rtol=1e-11, atol=1e-12)


def test_scheduled_sampling_draws_unless_told_otherwise() -> None:
    model = make("luong")
    torch.manual_seed(0)
    many = [model(SOURCE, TARGET, teacher_forcing=0.0).logits[1] for _ in range(8)]
    assert any(not torch.equal(many[0], each) for each in many[1:])
    model.loss(SOURCE, TARGET, teacher_forcing=0.3).backward()
    assert all(weight.grad is not None and bool(weight.grad.isfinite().all()) for weight in model.parameters())


@pytest.mark.parametrize("form", ["bahdanau", "location", "pyramid"])
def test_alignments_are_returned_on_request(form: str) -> None:
    model = make(form)
    assert model(SOURCE, TARGET).alignments is None
    found = model(SOURCE, TARGET, alignments=True)
    torch.testing.assert_close(found.logits, model(SOURCE, TARGET).logits)
    sums = found.alignments.sum(-1)
    torch.testing.assert_close(sums, (TARGET != 0).to(DOUBLE), rtol=1e-12, atol=1e-13)
    if form != "pyramid":
        assert bool((found.alignments[:, :, :][:, (SOURCE.T == 0)] == 0).all())
    own = model.generate(SOURCE, max_steps=4, alignments=True)
    forced = model(SOURCE, own.tokens, target_lengths=own.lengths, alignments=True, teacher_forcing=1.0)
    torch.testing.assert_close(own.alignments, forced.alignments[: len(own.tokens)], rtol=1e-11, atol=1e-13)
    sampled = model(SOURCE, own.tokens, target_lengths=own.lengths, alignments=True, teacher_forcing=0.999999)
    torch.testing.assert_close(sampled.alignments, forced.alignments, rtol=1e-11, atol=1e-13)
    beams = model.beam_search(SOURCE, width=1, max_steps=4, alignments=True)
    torch.testing.assert_close(beams.alignments[:, 0].transpose(0, 1), own.alignments, rtol=1e-11, atol=1e-13)
    covered = model.beam_search(SOURCE, width=3, max_steps=4, alpha=0.5, beta=5.0)
    assert bool(covered.scores.isfinite().all())


def test_batch_first_turns_everything() -> None:
    one, other = make("bahdanau"), make("bahdanau", batch_first=True)
    wanted = one(SOURCE, TARGET, alignments=True)
    found = other(SOURCE.T, TARGET.T, alignments=True)
    torch.testing.assert_close(found.logits, wanted.logits.transpose(0, 1))
    torch.testing.assert_close(found.alignments, wanted.alignments.transpose(0, 1))
    assert torch.equal(other.generate(SOURCE.T, max_steps=5).tokens, one.generate(SOURCE, max_steps=5).tokens.T)
    options: dict[str, Any] = {"width": 3, "max_steps": 5, "n_best": 2}
    assert torch.equal(other.beam_search(SOURCE.T, **options).tokens, one.beam_search(SOURCE, **options).tokens)
    torch.manual_seed(0)
    encoder = Recurrent("gru", 2, 3, bidirectional=True, batch_first=True, dtype=DOUBLE)
    third = Seq2Seq(encoder, attentive(), 6, source_vocabulary=7, **SPECIAL)
    third.load_state_dict(one.state_dict())
    torch.testing.assert_close(third(SOURCE, TARGET).logits, wanted.logits)


def test_bridges() -> None:
    handed = make("plain, handed on")
    _, states = handed.source.encoder(handed.source.embed(SOURCE), lengths=(SOURCE != 0).sum(0))
    torch.testing.assert_close(handed.encode(SOURCE).state.c, states[0].c)
    torch.testing.assert_close(make("plain, two layers").encode(SOURCE).state[1].h.shape, torch.Size([4, 4]))
    none = make("plain, bridged", bridge="none")
    assert none.source.bridge is None and bool((none.encode(SOURCE).state.h == 0).all())

    class Last(nn.Module):
        def forward(self, states: Any) -> Any:
            assert len(states) == 2
            both = torch.cat([states[0].h, states[1].h[:, :1]], -1)
            return (both,)

    own = make("plain, bridged", bridge=Last())
    assert own.encode(SOURCE).state.h.shape == (4, 4)
    assert own.loss(SOURCE, TARGET).isfinite()


def test_a_bridge_leaves_clocks_alone_and_fills_complex_parts() -> None:
    class Ticking(NamedTuple):
        h: Tensor
        wave: Tensor
        step: Tensor

    class Clocked(Elman):
        clocks = ("step",)

        def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> Any:
            h = super().initial_state(batch_size, dtype=dtype, device=device).h
            return Ticking(h, torch.zeros(batch_size, 2, 3, dtype=torch.complex128), torch.full_like(h[:, :1], 7.0))

    torch.manual_seed(0)
    cell = CellStack([GRU(3, 4, dtype=DOUBLE), Clocked(4, 4, dtype=DOUBLE)])
    bridge = Bridge(5, cell, dtype=DOUBLE)
    z = torch.randn(2, 5, dtype=DOUBLE)
    first, second = bridge(z, cell.initial_state(2))
    numbers = torch.tanh(bridge.linear(z))
    assert numbers.shape == (2, 4 + 4 + 12)
    torch.testing.assert_close(torch.cat([first.h, second.h], -1), numbers[:, :8])
    torch.testing.assert_close(torch.view_as_real(second.wave).flatten(1), numbers[:, 8:])
    assert second.step.tolist() == [[7.0], [7.0]]


def test_dropout_acts_in_training_only() -> None:
    model = make("bahdanau", dropout=0.5)
    torch.manual_seed(0)
    assert not torch.equal(model(SOURCE, TARGET).logits, model(SOURCE, TARGET).logits)
    torch.testing.assert_close(model.eval()(SOURCE, TARGET).logits, make("bahdanau")(SOURCE, TARGET).logits)


def test_label_smoothing_and_empty_targets() -> None:
    model = make("bahdanau")
    logits = model(SOURCE, TARGET).logits
    within = TARGET != 0
    log_probs = torch.log_softmax(logits, -1)
    each = -0.9 * log_probs.gather(-1, TARGET.unsqueeze(-1)).squeeze(-1) - 0.1 * log_probs.mean(-1)
    torch.testing.assert_close(model.loss(SOURCE, TARGET, label_smoothing=0.1), each[within].mean())
    assert float(model.loss(SOURCE, torch.zeros_like(TARGET)).detach()) == 0.0
    assert model(SOURCE, TARGET[:0]).logits.shape == (0, 4, 6)


@every_form
def test_state_dict_round_trip(form: str) -> None:
    one, other = make(form), make(form, seed=1)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(one(SOURCE, TARGET).logits, other(SOURCE, TARGET).logits, rtol=0, atol=0)


def test_sampling_is_reproducible_and_never_gives_special_tokens() -> None:
    model = make("luong")
    sampler = [Sampler(generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    source = SOURCE.repeat(1, 20)
    one, other = (model.generate(source, max_steps=6, choose=each) for each in sampler)
    assert torch.equal(one.tokens, other.tokens)
    for b in range(80):
        assert not set(one.tokens[: one.lengths[b], b].tolist()) & {0, 1}


def test_begin_may_be_end() -> None:
    torch.manual_seed(0)
    model = Seq2Seq(both_ways(), attentive(), 6, source_vocabulary=7, begin=2, end=2, padding=0)
    model.target.read_out.bias.data[2] += 50
    assert model.generate(SOURCE, max_steps=5).tokens.tolist() == [[2, 2, 2, 2]]


def test_the_target_side_alone_reads_any_memory() -> None:
    torch.manual_seed(0)
    image = torch.randn(9, 2, 6, dtype=DOUBLE)
    captions = TargetDecoder(attentive(), 6, **SPECIAL)
    beginning = captions.begin_with(image)
    output = captions(beginning, TARGET[:, :2], torch.tensor([4, 2]), alignments=True)
    assert output.logits.shape == (4, 2, 6) and output.alignments.shape == (4, 2, 9)
    language = TargetDecoder(GRU(3, 4, dtype=DOUBLE), 6, **SPECIAL)
    assert language(language.begin_with(batch=2), TARGET[:, :2], torch.tensor([4, 2])).logits.shape == (4, 2, 6)
    for begin, message in [
        (lambda: captions.begin_with(), "no memory was given. Needed: what the decoder attends to"),
        (lambda: language.begin_with(), "batch is None. Needed: how many targets there are"),
        (
            lambda: captions.begin_with(image, summary=image[0]),
            "a summary was given. Needed: none, as summary_size is 0",
        ),
    ]:
        with pytest.raises(UsageError, match=message):
            begin()


def test_a_stack_of_cells_is_the_layer() -> None:
    torch.manual_seed(0)
    layer = Recurrent("lstm", 3, 4, 2, dtype=DOUBLE)
    cell = CellStack(list(layer.cells))
    x = torch.randn(5, 2, 3, dtype=DOUBLE)
    y, state = unroll(cell, x, lengths=[5, 2])
    wanted, states = layer(x, lengths=[5, 2])
    torch.testing.assert_close(y, wanted)
    torch.testing.assert_close(state[1].c, states[1].c)
    noisy = CellStack(list(layer.cells), dropout=1.0)
    torch.testing.assert_close(noisy(x[0], noisy.initial_state(2))[1][0].h, cell(x[0], cell.initial_state(2))[1][0].h)
    assert not torch.allclose(noisy(x[0], noisy.initial_state(2))[0], cell(x[0], cell.initial_state(2))[0])
    before = layer.cells[1].weight_hh.clone()
    cell.reset_parameters()
    assert not torch.equal(before, layer.cells[1].weight_hh)
    for build, message in [
        (lambda: CellStack([]), r"CellStack: cells is \[\]. Needed: at least one Cell"),
        (lambda: CellStack([GRU(2, 3), GRU(4, 3)]), "cell 1 has input_size 4. Needed: 3, the output_size of cell 0"),
        (lambda: CellStack([GRU(2, 3)], dropout=-1), "CellStack: dropout is -1. Needed: a number from 0 to 1"),
    ]:
        with pytest.raises(UsageError, match=message):
            build()
