"""Two processes compute the scores that one does, however the samples are shared out."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from forked import ranks
from torchmetrics import Metric

from gansweep.config.compose import compose
from gansweep.metrics.moments import gaussian_of
from gansweep.metrics.ordered import OrderedSamples
from gansweep.metrics.panel import Panel
from gansweep.metrics.scores.agreement import ClassAgreement
from gansweep.metrics.scores.frechet import IntraFrechet, frechet_score
from gansweep.metrics.scores.frechet_limit import frechet_error, infinity_scores
from gansweep.metrics.scores.inception_score import inception_score, mode_metric
from gansweep.metrics.scores.kernel import KernelDistance
from gansweep.metrics.scores.prdc import neighbours
from gansweep.run.build import build_data

N, WIDTH, CLASSES = 151, 10, 3
# the numbers that each of two processes brings: every other one but for the odd last, few against
# many, all on either side
SHARES: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "alternating": lambda numbers, rank: numbers[rank::2],
    "uneven": lambda numbers, rank: numbers[:7].flip(0) if rank == 0 else numbers[7:],
    "none on the first": lambda numbers, rank: numbers[: N * rank],
    "none on the second": lambda numbers, rank: numbers[: N * (1 - rank)],
}
Results = dict[str, dict[str, torch.Tensor]]


def samples(n: int, seed: int) -> torch.Tensor:
    return 1.5 * torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(seed)) + 0.1


def metrics() -> dict[str, Metric]:
    real = samples(200, 0)
    gaussian = gaussian_of(real)
    return {
        "fid": frechet_score(gaussian),
        "fid_infinity": OrderedSamples(partial(infinity_scores, gaussian)),
        "fid_error": OrderedSamples(lambda x: {"fid_error": frechet_error(gaussian, x)}),
        "intra_fid": IntraFrechet([gaussian_of(real[k::CLASSES]) for k in range(CLASSES)]),
        "is": OrderedSamples(inception_score),
        "mode_score": mode_metric(torch.ones(WIDTH)),
        "kid": OrderedSamples(KernelDistance(real, N, subsets=9, subset_size=50).scores),
        "prdc": neighbours(real),
        "class_agreement": ClassAgreement(WIDTH),
    }


def scored(numbers: torch.Tensor) -> Results:
    """Every score of the samples with these numbers, in two batches; of none, no batch at all."""
    fakes, results = samples(N, 1), {}
    for name, metric in metrics().items():
        for part in numbers.chunk(2) if len(numbers) else ():
            if name == "class_agreement":
                metric.update(part % WIDTH, fakes[part])
                continue
            labels = (part % CLASSES,) if name == "intra_fid" else ()
            metric.update(part, fakes[part], *labels)
        results[name] = metric.compute()
    return results


def score_and_refuse(rank: int, folder: str) -> None:
    """Score each share of the samples, then samples of which one process brings bad ones."""
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    numbers = torch.arange(N)
    results = {share: scored(of(numbers, rank)) for share, of in SHARES.items()}
    torch.save(results, Path(folder, f"{rank}.pt"))
    panel = Panel(build_data(compose(["data=ring"])), n_fake=200, batch_size=100)
    panel.prepare("cpu")
    broken = torch.full((100, 2), torch.inf if rank == 1 else 0.0)
    try:
        panel.score(lambda n, rng: broken[:n])
    except ValueError as error:
        Path(folder, f"{rank}.txt").write_text(str(error))
    # both continue with the same message of the training
    torch.distributed.all_reduce(torch.zeros(1))
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the results of both."""
    folder = tmp_path_factory.mktemp("processes")
    ranks(score_and_refuse, str(folder))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("share", SHARES)
def test_two_processes_score_as_one(of_two_processes: Path, share: str) -> None:
    alone = scored(torch.arange(N))
    for rank in range(2):
        results: dict[str, Results] = torch.load(of_two_processes / f"{rank}.pt", weights_only=True)
        for name, values in alone.items():
            for word, value in values.items():
                found = results[share][name][word]
                torch.testing.assert_close(found, value, rtol=1e-12, atol=1e-12, msg=word)


@pytest.mark.slow
def test_samples_that_one_process_refuses_are_refused_by_all(of_two_processes: Path) -> None:
    """If only one gave up, the others would wait for its samples for ever."""
    for rank in range(2):
        assert "not finite" in (of_two_processes / f"{rank}.txt").read_text()
