"""Check whether the user is logged in to Weights & Biases, without network or prompt."""

import netrc
import os
from urllib.parse import urlparse


def logged_in_to_wandb() -> bool:
    """Whether there is an API key. (wandb would take a second to import, and ask for a key.)"""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
