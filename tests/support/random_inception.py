"""torch-fidelity's Inception-v3 without its download: random weights in place of the real ones."""

from unittest.mock import patch

import torch
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3


def random_inception(spread_statistics: bool = False) -> FeatureExtractorInceptionV3:
    """The same network each time, whose weights let an image through to the last layer.

    spread_statistics: the batch normalisations differ from the identity, as trained ones do.
    """
    with (
        torch.random.fork_rng(),
        patch("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url"),
        patch.object(FeatureExtractorInceptionV3, "load_state_dict"),
        torch.no_grad(),
    ):
        torch.manual_seed(0)
        network = FeatureExtractorInceptionV3("random", ["2048", "logits_unbiased"])
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.BatchNorm2d) and spread_statistics:
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return network
