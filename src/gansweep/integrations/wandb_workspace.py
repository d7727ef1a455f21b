"""A prepared workspace of W&B for a project of gansweep's runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gansweep.errors import UserError
from gansweep.judging.labels import settings_of, varied
from gansweep.judging.leaderboard import leaderboard
from gansweep.judging.objective import COSTS
from gansweep.records.read import Run

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Section, Workspace

MOST_RUNS = 100  # a panel draws 10 runs if nothing is said
MOST_AXES = 8  # of the parallel coordinates: more than these cannot be told apart
CURVES = {
    "Losses": ("loss/.*",),
    "Game": ("balance/.*", "gradient_norm/.*", "duality_gap.*", "critic.*"),
}


def workspace(project: str, entity: str, runs: Sequence[Run], name: str = "gansweep") -> Workspace:
    """The workspace, not yet saved: scores, samples, losses and game, sweeps, differences.

    runs: those whose scores and settings get panels of their own; if there are none, one panel
        shows every score.
    Raises: UserError if the package wandb-workspaces is missing.
    """
    try:
        from wandb_workspaces import workspaces as ws
    except ModuleNotFoundError as error:
        raise UserError(
            "'gansweep wandb-workspace' needs another package: pip install 'gansweep[workspace]'."
        ) from error
    board = leaderboard(list(runs)) if runs else None
    logged = [score for score in board.scores if score not in COSTS] if board else []
    scores = [f"scores/{score}" for score in logged]
    best = f"scores/{board.metric}" if board and board.metric in logged else None
    settings = varied([settings_of(run) for run in runs])[:MOST_AXES]
    return ws.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[
            _scores(scores),
            _samples(),
            *(_curves(title, patterns) for title, patterns in CURVES.items()),
            *([_sweep(settings, best)] if best and settings else []),
            _differences(),
        ],
        settings=ws.WorkspaceSettings(x_axis="kimg", max_runs=MOST_RUNS),
        runset_settings=ws.RunsetSettings(groupby=[ws.Config("label")]),
    )


def _line(**options: Any) -> Any:
    """The mean over the seeds of a configuration, with its standard error."""
    from wandb_workspaces.reports import v2 as wr

    return wr.LinePlot(
        x="kimg",
        groupby=wr.Config("label"),
        groupby_aggfunc="mean",
        groupby_rangefunc="stderr",
        max_runs_to_show=MOST_RUNS,
        **options,
    )


def _scores(scores: Sequence[str]) -> Section:
    from wandb_workspaces import workspaces as ws

    panels = [_line(title=score.removeprefix("scores/"), y=[score]) for score in scores]
    panels = panels or [_line(title="scores", metric_regex="scores/.*")]
    return ws.Section(name="Scores", panels=panels, is_open=True, pinned=True)


def _samples() -> Section:
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports import v2 as wr

    sheets = wr.MediaBrowser(
        title="samples",
        media_keys=["samples", "neighbours"],
        mode="gallery",
        gallery_axis="step",
        num_columns=3,
        layout=wr.Layout(w=24, h=12),
    )
    return ws.Section(name="Samples", panels=[sheets], is_open=True)


def _curves(title: str, patterns: Sequence[str]) -> Section:
    from wandb_workspaces import workspaces as ws

    return ws.Section(name=title, panels=[_line(title=p, metric_regex=p) for p in patterns])


def _sweep(settings: Sequence[str], score: str) -> Section:
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports import v2 as wr

    metric = wr.SummaryMetric(score)
    columns = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(key)) for key in settings]
    columns.append(wr.ParallelCoordinatesPlotColumn(metric=metric))
    wide = wr.Layout(w=24, h=10)
    return ws.Section(
        name="Sweep",
        panels=[
            wr.ParallelCoordinatesPlot(columns=columns, layout=wide),
            wr.ParameterImportancePlot(with_respect_to=score),
            *(wr.ScatterPlot(x=wr.Config(key), y=metric, title=key) for key in settings),
        ],
    )


def _differences() -> Section:
    from wandb_workspaces import workspaces as ws
    from wandb_workspaces.reports import v2 as wr

    return ws.Section(
        name="Configurations",
        panels=[wr.RunComparer(diff_only="split", layout=wr.Layout(w=24, h=12))],
    )
