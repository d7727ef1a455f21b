"""Tensors of all processes, and of one alone."""

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from gansweep.terms.collectives import alone, average, gathered, own_rows


def test_a_process_that_works_alone_waits_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the duality gap, which the main process measures, would hang the run."""

    def all_reduce(tensor: Tensor) -> None:
        raise TimeoutError("the other processes never came")

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    given = torch.arange(4.0)
    with alone():
        for collective in (average, gathered, own_rows):
            assert torch.equal(collective(given), given)
    with pytest.raises(TimeoutError):
        average(given)
