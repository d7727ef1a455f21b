"""`gansweep doctor`: say in words what is wrong with runs, and what to try next."""

from __future__ import annotations

from pathlib import Path

from gansweep.diagnosis.evidence import Evidence, Points
from gansweep.report.read import Run


def evidence_of(run: Run) -> Evidence:
    """A run's record as the rules read it: `diagnose(evidence_of(run))`."""
    curves: dict[str, Points] = {}
    counts: list[tuple[float, list[float]]] = []
    for name, curve in run.curves.items():
        pairs = list(zip(curve.kimg, curve.values, strict=True))
        if any(isinstance(value, list) for value in curve.values):
            if run.protocols.get(name, {}).get("score") == "mode_counts":
                counts = [(kimg, value) for kimg, value in pairs if isinstance(value, list)]
            continue
        curves[name] = [(kimg, float("nan") if v is None else float(v)) for kimg, v in pairs]
    objective = run.result.get("objective")
    return Evidence(
        curves=curves,
        protocols=run.protocols,
        objective=objective if objective in curves else None,
        counts=counts,
        config=run.config,
        status=run.status,
        reason=run.reason,
        command=str(run.result.get("command") or f"gansweep train model={run.model}"),
        directory=str(Path(run.directory)),
    )
