"""The balance of the game, worked out by hand."""

import pytest
import torch

from gansweep.metrics.equilibrium import balance

LOG_3 = 1.0986123  # sigmoid(log 3) = 3/4


def test_logits_give_probabilities_and_accuracies() -> None:
    found = balance(torch.tensor([LOG_3, -LOG_3, LOG_3]), torch.tensor([-LOG_3, LOG_3]), "logit")
    assert {name: value.item() for name, value in found.items()} == pytest.approx(
        {
            "balance/real_mean": (0.75 + 0.25 + 0.75) / 3,
            "balance/fake_mean": 0.5,
            "balance/real_accuracy": 2 / 3,
            "balance/fake_accuracy": 0.5,
            "balance/distance": 0.25,
        }
    )


def test_a_discriminator_that_cannot_tell_stands_at_distance_zero() -> None:
    found = balance(torch.zeros(4), torch.zeros(4), "logit")
    assert found["balance/distance"] == 0
    assert found["balance/real_mean"] == found["balance/fake_mean"] == 0.5


@pytest.mark.parametrize("kind", ["critic", "energy", "paired_logit"])
def test_other_scores_are_never_squashed(kind: str) -> None:
    found = balance(torch.tensor([[40.0, 60.0]]), torch.tensor([[-10.0, 20.0]]), kind)
    values = {name: value.item() for name, value in found.items()}
    assert values == {"critic/real_mean": 50, "critic/fake_mean": 5, "critic/gap": 45}


def test_without_a_discriminator_there_is_no_balance() -> None:
    assert balance(torch.zeros(0), torch.zeros(0), None) == {}


def test_half_precision_scores_are_averaged_in_float32() -> None:
    found = balance(torch.ones(4096, dtype=torch.bfloat16), torch.ones(3), "critic")
    assert found["critic/real_mean"].dtype == torch.float32
    assert found["critic/gap"].shape == ()
    assert not found["critic/gap"].requires_grad
