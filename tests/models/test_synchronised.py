"""Batch normalisation over several processes, here as threads that average in turn."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from gansweep.models.synchronised import synchronise
from gansweep.terms.collectives import alone

WORLD, N = 2, 6


@pytest.fixture
def on_each_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], Tensor]], Tensor]:
    """Calls a function with each rank and returns the rows of all; `all_reduce` sums over them."""
    given: list[Tensor | None] = [None] * WORLD
    barrier, rank_of = threading.Barrier(WORLD, timeout=20), threading.local()

    def all_reduce(tensor: Tensor) -> None:
        given[rank_of.rank] = tensor.clone()
        barrier.wait()
        total = torch.stack([part for part in given if part is not None]).sum(0)
        barrier.wait()
        tensor.copy_(total)

    def run(work: Callable[[int], Tensor]) -> Tensor:
        found: list[Tensor | None] = [None] * WORLD

        def process(rank: int) -> None:
            rank_of.rank = rank
            found[rank] = work(rank)

        threads = [threading.Thread(target=process, args=(rank,)) for rank in range(WORLD)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return torch.cat([part for part in found if part is not None])

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: WORLD)
    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    return run


def layer_of(kind: type[nn.Module], *, momentum: float | None = 0.1) -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(kind(3, momentum=momentum)).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    return network


def stepped(network: nn.Module, samples: Tensor, weight: Tensor) -> Tensor:
    """The outputs (N, ...), after the gradients of a loss that holds a gradient itself."""
    samples = samples.clone().requires_grad_()
    made = network(samples)
    scores = made.tanh() * weight
    (slope,) = torch.autograd.grad(scores.sum(), samples, create_graph=True)
    (scores.mean() + slope.square().mean()).backward()
    return made.detach()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("kind", "shape", "momentum"),
    [(nn.BatchNorm1d, (3,), 0.1), (nn.BatchNorm2d, (3, 2, 2), None)],
)
def test_two_processes_normalise_as_one(
    on_each_process: Callable[[Callable[[int], Tensor]], Tensor],
    kind: type[nn.Module],
    shape: tuple[int, ...],
    momentum: float | None,
) -> None:
    """Outputs, running averages, and gradients, of which one is a gradient's."""
    samples = torch.randn(2, WORLD * N, *shape, dtype=torch.float64) + 2
    weight = torch.randn(WORLD * N, *shape, dtype=torch.float64)
    whole = layer_of(kind, momentum=momentum)
    parts = [layer_of(kind, momentum=momentum) for _ in range(WORLD)]
    for part in parts:
        synchronise(part)
    for batch in samples:

        def rows(rank: int, batch: Tensor = batch) -> Tensor:
            own = slice(rank * N, (rank + 1) * N)
            return stepped(parts[rank], batch[own], weight[own])

        made = on_each_process(rows)
        torch.testing.assert_close(made, stepped(whole, batch, weight), rtol=0, atol=1e-12)
    for name, buffer in whole.named_buffers():
        for part in parts:
            torch.testing.assert_close(part.get_buffer(name), buffer, rtol=0, atol=1e-12)
    for name, parameter in whole.named_parameters():
        gradients = [part.get_parameter(name).grad for part in parts]
        mean = torch.stack([g for g in gradients if g is not None]).mean(0)
        torch.testing.assert_close(mean, parameter.grad, rtol=0, atol=1e-12)


def test_a_process_alone_and_an_evaluation_wait_for_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def all_reduce(tensor: Tensor) -> None:
        raise TimeoutError("the other processes never came")

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    plain, synchronised = (layer_of(nn.BatchNorm1d) for _ in "ps")
    synchronise(synchronised)
    samples = torch.randn(N, 3, dtype=torch.float64)
    with alone():
        assert torch.equal(plain(samples), synchronised(samples))
    with pytest.raises(TimeoutError):
        synchronised(samples)
    assert torch.equal(plain.eval()(samples), synchronised.eval()(samples))
    assert plain.state_dict().keys() == synchronised.state_dict().keys()


def test_sixteen_bits_are_normalised_in_thirty_two(
    on_each_process: Callable[[Callable[[int], Tensor]], Tensor],
) -> None:
    network = layer_of(nn.BatchNorm1d).float()
    synchronise(network)
    samples = torch.randn(WORLD * N, 3) * 0.01 + 3
    made = on_each_process(lambda rank: network(samples[rank * N : (rank + 1) * N].bfloat16()))
    assert made.dtype == torch.bfloat16
    exact = layer_of(nn.BatchNorm1d).float()(samples.bfloat16().float())
    torch.testing.assert_close(made.float(), exact, rtol=0.01, atol=0.01)
