"""What a table costs on this machine: seconds a step and a scoring of each cell, and its disk."""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from gansweep import __version__
from gansweep.config.cache_place import cache_dir
from gansweep.engine.launch.local import cores
from gansweep.errors import UserError
from gansweep.records.notation import duration, plural
from gansweep.records.plain_values import DamagedError, parsed_mapping
from gansweep.records.record import content_of, replace_atomically
from gansweep.reproduce.plan import PlannedCell, PlannedRun

if TYPE_CHECKING:
    import torch

    from gansweep.data.source import DataSource
    from gansweep.models.adversarial import Adversarial

WARM_UP_STEPS = 3
LEAST_SECONDS = 0.5  # of the measurement, or as many steps as below
MOST_STEPS = 50
SCORED = 500  # samples and answers by which a scoring is measured
CHECKPOINTS = 3  # last, previous, best


@dataclass(frozen=True)
class Cost:
    """Of a cell, in seconds.

    step_seconds: of one step.   state_bytes: of one checkpoint.   score_seconds: of one scoring;
    None if it could not be measured, for want of weights.   noisy: whether its scores depend on
    noise.   crowded: whether others kept the cores busy while it was measured. Two threads that
    wait for each other then take up to 60 times as long.
    """

    step_seconds: float
    state_bytes: int
    score_seconds: float | None
    noisy: bool
    crowded: bool = False

    def training(self, planned: PlannedCell) -> float:
        """Seconds of one run's steps."""
        return self.step_seconds * planned.steps

    def scoring(self, planned: PlannedCell, seeds: int) -> float:
        """Seconds of one run's scorings: while it trains, then of two checkpoints by `seeds` seeds
        of the noise."""
        final = 2 * (seeds if self.noisy else min(seeds, 1))
        return (self.score_seconds or 0.0) * (planned.evaluations + final)


@dataclass(frozen=True)
class Estimate:
    """Of a list of runs, in seconds of one worker.   complete: whether all scorings are in it."""

    runs: int
    training: float
    scoring: float
    disk_bytes: int
    complete: bool


def measured(
    cells: Sequence[PlannedCell], threads: int, note: Callable[[str], None]
) -> dict[str, Cost]:
    """Cell's name -> its cost, measured once on each machine and kept; once more if others kept
    the cores busy, and do so no longer.

    threads: of each run.   note: called with the name of a cell that is measured.
    Raises: UserError if a cell cannot be trained, as for want of its data.
    """
    found, crowded = {}, _is_crowded(threads)
    for one in cells:
        path = _place(one, threads)
        known = _known(path)
        if known is None or (known.crowded and not crowded):
            note(one.cell.name)
            known = replace(_measure(one.cfg, threads), crowded=crowded)
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_atomically(path, json.dumps(asdict(known)).encode())
        found[one.cell.name] = known
    return found


def estimate(runs: Sequence[PlannedRun], costs: dict[str, Cost], seeds: int) -> Estimate:
    """The sum over runs.   seeds: of the noise of evaluation, of the table."""
    each = [(costs[run.planned.cell.name], run.planned) for run in runs]
    return Estimate(
        len(runs),
        sum(cost.training(planned) for cost, planned in each),
        sum(cost.scoring(planned, seeds) for cost, planned in each),
        sum(cost.state_bytes * CHECKPOINTS for cost, _ in each),
        all(cost.score_seconds is not None for cost, _ in each),
    )


def busy(workers: int, seconds: Iterable[float]) -> float:
    """Seconds until the last of the workers is free, which take the runs one after the other."""
    ends = [0.0] * workers
    for one in seconds:
        heapq.heapreplace(ends, ends[0] + one)
    return max(ends)


def share_within(
    minutes: float,
    workers: int,
    runs: Sequence[PlannedRun],
    costs: dict[str, Cost],
    seeds: int,
) -> float:
    """The largest share of these runs' steps that ends within so many minutes: 1, or a power of a
    half. What scoring takes is the same for every share.

    Raises: UserError if scoring alone takes longer.
    """
    each = [estimate([run], costs, seeds) for run in runs]

    def takes(share: float) -> float:
        return busy(workers, [one.training * share + one.scoring for one in each])

    if takes(0) >= 60 * minutes:
        raise UserError(
            f"To score {plural(len(runs), 'run')} takes {duration(takes(0))}, which is longer than "
            "--minutes allows. Give more minutes, or fewer runs with --seeds N or --only NAME."
        )
    share = 1.0
    while takes(share) > 60 * minutes:
        share /= 2
    return share


def _place(one: PlannedCell, threads: int) -> Path:
    accelerator, threads = str(one.cfg.trainer.accelerator), one.cfg.trainer.threads or threads
    machine = f"{os.uname().nodename}-{accelerator}-{threads}-{__version__}"
    return cache_dir() / "step_seconds" / f"{one.step}-{machine}.json"


def _is_crowded(threads: int) -> bool:
    """Whether the processes of the last minute leave too few of the machine's cores for so many
    threads."""
    return os.getloadavg()[0] + min(threads, cores()) > (os.cpu_count() or 1) + 0.5


def _known(path: Path) -> Cost | None:
    try:
        content = parsed_mapping(content_of(path))
        score = content["score_seconds"]
        return Cost(
            float(content["step_seconds"]),
            int(content["state_bytes"]),
            None if score is None else float(score),
            bool(content["noisy"]),
            bool(content["crowded"]),
        )
    except (OSError, DamagedError, KeyError, TypeError, ValueError):
        return None


def _measure(cfg: DictConfig, threads: int) -> Cost:
    import torch

    from gansweep.models.draws import Draws
    from gansweep.run.build import build_data, build_model
    from gansweep.run.devices import accelerator, check_precision
    from gansweep.run.memory import keep_freed_memory

    keep_freed_memory()  # as the runs do
    before = torch.get_num_threads()
    torch.set_num_threads(cfg.trainer.threads or threads)
    try:
        device = torch.device(accelerator(cfg.trainer.accelerator))
        check_precision(cfg.trainer.precision, device.type)
        data = build_data(cfg)
        module = build_model(cfg, data).to(device)
        if cfg.trainer.precision == "64-true":
            module.double()
        module.configure_optimizers()
        module.draws = Draws(0, device)
        step = _step_seconds(cfg, data, module, device)
        return Cost(step, _bytes(module.game_state()), *_scoring(cfg, data, module, device))
    except ValueError as error:
        raise error if isinstance(error, UserError) else UserError(str(error)) from error
    finally:
        torch.set_num_threads(before)


def _step_seconds(
    cfg: DictConfig, data: DataSource, module: Adversarial, device: torch.device
) -> float:
    from gansweep.models.feed import Feed
    from gansweep.run.devices import step_precision

    precision = step_precision(cfg.trainer.precision, device.type)
    clock, done = _Clock(device), 0
    for number, batch in enumerate(Feed(data, module, cfg).batches()):
        if number == WARM_UP_STEPS:
            clock, done = _Clock(device), 0
        part = precision.convert_input(batch)
        with precision.train_step_context():
            module.step(part)
        done += 1
        spent = clock.seconds()
        if number > WARM_UP_STEPS and (spent > LEAST_SECONDS or done == MOST_STEPS):
            break
    return clock.seconds() / max(1, done)


def _scoring(
    cfg: DictConfig, data: DataSource, module: Adversarial, device: torch.device
) -> tuple[float | None, bool]:
    """(seconds of one scoring, whether noise is in it), by a batch of its samples and answers.

    Samples, their features and answers are what takes time; what is done once, such as the real
    side, and the arithmetic of the scores are left out. (None, True) where weights are missing.
    """
    import torch

    from gansweep.config.compose import instantiate
    from gansweep.data.conditions import Conditions
    from gansweep.metrics.features.backbones import load_backbone
    from gansweep.metrics.panel import Panel, to_uint8
    from gansweep.metrics.scores.held_out import HeldOut

    if cfg.metrics.get("_target_") is None:
        return 0.0, False
    panel: Panel = instantiate(cfg.metrics, data=data, conditional=module.conditional)
    choice, seconds, backbone = panel.backbone_choice, 0.0, None
    if panel.measures:
        if choice is not None:
            weights, accuracy = panel.weights_path, panel.min_test_accuracy
            try:
                backbone = load_backbone(choice, data, device, weights, accuracy)
            except UserError:
                return None, True
        n = min(panel.n_fake, SCORED)
        wanted = Conditions(data).draw(n, torch.Generator(), panel.balanced).to(device)

        def sample() -> None:
            with torch.no_grad():
                made = module.fakes(wanted, torch.Generator())
                if backbone is not None:
                    backbone.features(to_uint8(made).to(device))

        seconds += _second_time(sample, device) * panel.n_fake / n
    n = HeldOut(data, panel.held_out, panel.n_held_out).count
    some = HeldOut(data, panel.held_out, min(n, SCORED))
    held_out = _second_time(lambda: some.score(module.answers, device, backbone), device)
    return seconds + held_out * n / max(1, some.count), bool(panel.measures)


def _second_time(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of a repetition: what the first call prepares is done once in a scoring, too."""
    work()
    clock = _Clock(device)
    work()
    return clock.seconds()


class _Clock:
    """Seconds since it was made; on a CPU not those that other processes of a busy machine took."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._begun, self._worked = time.perf_counter(), time.process_time()

    def seconds(self) -> float:
        import torch

        if self._device.type == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter() - self._begun
        return min(time.perf_counter() - self._begun, time.process_time() - self._worked)


def _bytes(state: object) -> int:
    import torch

    if isinstance(state, torch.Tensor):
        return state.nbytes
    if isinstance(state, dict):
        return sum(map(_bytes, state.values()))
    return sum(map(_bytes, state)) if isinstance(state, (list, tuple)) else 8
