"""What a run will call its scores, known before it is trained."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig

from gansweep.config.compose import instantiate
from gansweep.errors import UserError
from gansweep.metrics.panel import Panel
from gansweep.metrics.scores.held_out import HeldOut, judged
from gansweep.run.build import build_data, build_model
from gansweep.run.devices import accelerator


def score_names(cfg: DictConfig) -> tuple[dict[str, dict[str, Any]], str | None]:
    """(full name of each score -> its protocol, the one that the run is judged by).

    It prepares what every run of `cfg` needs: the data, the scores' weights, the real side. All is
    kept, so that the runs find it.
    Raises: UserError where nothing is measured, or where data or weights cannot be had.
    """
    if cfg.metrics.get("_target_") is None:
        raise UserError("metrics=none measures no score. Leave it out, or use metrics=auto.")
    data = build_data(cfg)
    model = build_model(cfg, data)
    panel: Panel = instantiate(
        cfg.metrics,
        extra_packages=cfg.extra_packages,
        data=data,
        conditional=model.conditional,
        held_out="validation",
    )
    panel.prepare(accelerator(cfg.trainer.accelerator))
    model.to(panel.device)
    answered = HeldOut(data, panel.held_out, panel.n_held_out)
    held_out = answered.score(model.answers, panel.device, panel.backbone)
    protocols = panel.names() | {name: score.protocol for name, score in held_out.items()}
    return protocols, judged(held_out, model.judged_by) or panel.objective
