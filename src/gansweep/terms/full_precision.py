"""Numbers that leave the 16 bits of autocast, before they are averaged or compared."""

import torch
from torch import Tensor


def in_full(numbers: Tensor) -> Tensor:
    """In 32 bits at least: 64-bit numbers stay as they are.

    A network's last layer gives 16-bit numbers under autocast. Means and differences of these would
    be rounded to 8 binary digits: of scores around 50 to steps of 1/4.
    """
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))
