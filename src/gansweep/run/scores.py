"""The panel of a run, and the names of its scores before it is trained."""

from typing import Any

from omegaconf import DictConfig

from gansweep.config.compose import instantiate
from gansweep.data.source import DataSource
from gansweep.errors import UserError
from gansweep.metrics.panel import Panel
from gansweep.metrics.scores.held_out import HeldOut, first_measured
from gansweep.run.build import build_data, build_model
from gansweep.run.devices import accelerator


def build_panel(cfg: DictConfig, data: DataSource, conditional: bool) -> Panel | None:
    """The panel that measures a run while it trains; None for metrics=none.

    conditional: the model follows labels.   Raises: UserError for options that do not fit.
    """
    if cfg.metrics.get("_target_") is None:
        return None
    panel: Panel = instantiate(
        cfg.metrics,
        extra_packages=cfg.extra_packages,
        data=data,
        conditional=conditional,
        held_out="validation",
    )
    return panel


def score_names(cfg: DictConfig) -> tuple[dict[str, dict[str, Any]], str | None]:
    """The scores that a run of `cfg` will have (full name -> protocol), and its objective.

    It caches what every run of `cfg` needs: the data, the weights of the scores, the real side.
    Raises: UserError for metrics=none, or if data or weights are not available.
    """
    data = build_data(cfg)
    model = build_model(cfg, data)
    panel = build_panel(cfg, data, model.conditional)
    if panel is None:
        raise UserError("metrics=none measures no score. Leave it out, or use metrics=auto.")
    panel.prepare(accelerator(cfg.trainer.accelerator))
    model.to(panel.device)
    answered = HeldOut(data, panel.held_out, panel.n_held_out)
    held_out = answered.score(model.answers, panel.device, panel.backbone)
    protocols = panel.names() | {name: score.protocol for name, score in held_out.items()}
    return protocols, first_measured(held_out, model.judged_by) or panel.objective
