"""The key for Weights & Biases is found without the network."""

from pathlib import Path

import pytest

from gansweep.config.wandb_login import logged_in_to_wandb


@pytest.mark.parametrize(
    ("lines", "host", "known"),
    [
        ("machine api.wandb.ai login user password secret", None, True),
        ("machine example.org login user password secret", None, False),
        ("machine wandb.example.org login user password x", "https://wandb.example.org", True),
        ("machine api.wandb.ai login user password x", "https://wandb.example.org", False),
        ("machine machine machine", None, False),
        (None, None, False),
    ],
)
def test_login_is_found_in_the_netrc_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: str | None,
    host: str | None,
    known: bool,
) -> None:
    path = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(path))
    if lines is not None:
        path.write_text(lines + "\n")
    if host is not None:
        monkeypatch.setenv("WANDB_BASE_URL", host)
    assert logged_in_to_wandb() == known
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    assert logged_in_to_wandb()
