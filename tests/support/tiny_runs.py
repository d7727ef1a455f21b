"""Runs of every sort of model, trained for a moment when a test first asks for them."""

from pathlib import Path

from gansweep.config.compose import compose
from gansweep.run.train import train

TINY = ["tracker=none", "trainer=cpu", "metrics=none", "budget_kimg=0.5", "callbacks=none"]
KEEPER = [
    "+callbacks.checkpoint._target_=gansweep.callbacks.checkpoint.Checkpoint",
    "+callbacks.checkpoint.every_seconds=1000",
]
NARROW = ["model.generator.width=4", "model.discriminator.width=4"]
GROWING = ["model=progan", *NARROW, "model.latent_dim=8", "model.discriminator.group=1"]
KINDS = {
    "cgan": ["model=cgan", *NARROW],
    "infogan": ["model=infogan", *NARROW],
    "gan": ["model=gan", *NARROW],
    "dcgan": ["model=dcgan", *NARROW],
    "grown": GROWING,  # to 4x4 of 8x8
    "fading": [*GROWING, "model.stable_kimg=0.2", "model.fade_kimg=1"],
    "styled": ["model=stylegan2", *NARROW],
    "biggan": ["model=biggan", *NARROW, "model.standing_statistics=1"],
    "sgan": ["model=sgan", *NARROW],
    "ring": ["model=cgan", "data=ring"],
    "coded_ring": ["model=autoencoder", "data=ring"],
    "vae": ["model=vae"],
    "autoencoder": ["model=autoencoder"],
    "cyclegan": ["experiment=digits_cyclegan", *NARROW, "model.generator.blocks=1"],
    "pix2pix": ["experiment=digits_pix2pix_tint", *NARROW],
    "hole": ["experiment=digits_context_encoder", *NARROW],
    "anomaly": ["experiment=digits_anomaly"],
    "colour": ["experiment=digits_colourisation"],
    "denoising": ["experiment=digits_denoising"],
}


class TinyRuns:
    """`runs / "cgan"`: the directory of a run, trained once; of another name only its path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, name: str) -> Path:
        place = self.folder / name
        if name in KINDS and not place.exists():
            train(compose([*KINDS[name], *TINY, *KEEPER]), run_dir=place, progress=False)
        return place
