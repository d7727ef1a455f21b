"""The stream of a run's random numbers, continued from a checkpoint."""

import torch

from gansweep.models.draws import Draws

CPU = torch.device("cpu")


def test_a_restored_stream_goes_on_where_it_was() -> None:
    whole, continued = Draws(1, CPU), Draws(1, CPU)
    whole.normal(5)
    continued.restore(whole.generator.get_state(), images_seen=5)
    assert torch.equal(whole.normal(3), continued.normal(3))


def test_stream_of_another_kind_of_device_is_followed_by_a_new_one() -> None:
    """A CUDA generator's state has 16 bytes, that of the CPU 5056."""
    state = torch.zeros(16, dtype=torch.uint8)
    made = []
    for seed, images in [(1, 64), (1, 64), (1, 128), (2, 64)]:
        draws = Draws(seed, CPU)
        draws.restore(state, images)
        made.append(draws.normal(3))
    assert torch.equal(made[0], made[1])
    assert not any(torch.equal(made[0], other) for other in (*made[2:], Draws(1, CPU).normal(3)))
