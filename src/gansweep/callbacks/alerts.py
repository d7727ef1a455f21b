"""Reports findings about the run's health while it trains."""

from typing import Any

import pytorch_lightning as pl
import yaml

from gansweep.callbacks.watcher import GameCallback
from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Finding
from gansweep.diagnosis.rules import diagnose
from gansweep.errors import tell
from gansweep.metrics.protocol import scores_called
from gansweep.models.adversarial import Adversarial

FORGOTTEN_AFTER = 2  # evaluations without a finding; then it is reported again


class Alerts(GameCallback):
    """Applies the rules of `gansweep doctor` to the run after each evaluation.

    A finding is reported when it is new, when a warning becomes a failure, and when it comes back
    after two evaluations without it: on stderr, in the history and as an alert of the tracker.
    """

    def __init__(self) -> None:
        self._scores_seen = 0
        self._config: dict[str, Any] = {}
        # rule -> its severity, and evaluations since it was last seen
        self._known: dict[str, tuple[str, int]] = {}

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        if trainer.is_global_zero and self.journal.score_counter > self._scores_seen:
            self._judge(module, "running")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Apply the rules once more, since the last scores and the verdict come after training.

        A run that was interrupted, or pauses, is judged by new scores alone, as if it had gone on.
        """
        assert isinstance(pl_module, Adversarial)
        spent = pl_module.images_seen >= pl_module.budget_kimg * 1000
        verdict = self.journal.verdict
        ended = spent if verdict is None else verdict[0] != "interrupted"
        is_new = self.journal.score_counter > self._scores_seen
        if trainer.is_global_zero and (ended or is_new):
            self._judge(pl_module, "finished" if spent else "running")

    def _judge(self, module: Adversarial, status: str) -> None:
        is_new = self.journal.score_counter > self._scores_seen
        self._scores_seen = self.journal.score_counter
        with self.journal.outside_training():
            findings = diagnose(self._evidence(module, status))
        found = {finding.rule: finding for finding in findings}
        for rule, finding in found.items():
            severity, _ = self._known.get(rule, ("", 0))
            if severity not in ("failure", finding.severity):
                self._report(module.images_seen, finding)
            self._known[rule] = (severity if severity == "failure" else finding.severity, 0)
        for rule in self._known.keys() - found.keys():
            severity, gone = self._known.pop(rule)
            gone += is_new
            if gone < FORGOTTEN_AFTER:
                self._known[rule] = (severity, gone)

    def _report(self, images_seen: int, finding: Finding) -> None:
        clock = f"{images_seen / 1000:.4g} kimg"
        tell(f"gansweep: {finding.severity} at {clock}: {finding.title}. {finding.text}")
        self.journal.find(images_seen, finding)

    def _evidence(self, module: Adversarial, status: str) -> Evidence:
        journal = self.journal
        if not self._config:
            assert journal.record is not None
            self._config = yaml.safe_load(journal.record.config_path.read_text(encoding="utf-8"))
        status, reason = journal.verdict or (status, "")
        # after a takeover the protocols are the source's, and the run has no score of its own yet
        known = (n for n in scores_called(journal.protocols, "mode_counts") if n in journal.last)
        counted = [journal.last[name] for name in known]
        counts = [(one["kimg"], one["value"]) for one in counted if isinstance(one["value"], list)]
        return Evidence(
            curves=journal.curves,
            protocols=journal.protocols,
            objective=journal.objective if journal.objective in journal.curves else None,
            counts=counts[:1],
            config=self._config,
            game=module.declared(),
            status=status,
            reason=reason,
        )

    def state_dict(self) -> dict[str, list[Any]]:
        return {rule: list(known) for rule, known in self._known.items()}

    def load_state_dict(self, state_dict: dict[str, list[Any]]) -> None:
        self._known = {rule: (severity, gone) for rule, (severity, gone) in state_dict.items()}
