"""`+trainer.NAME=`: the options of Lightning's Trainer that gansweep passes on, and the others."""

import pytest

from gansweep.config.compose import compose
from gansweep.config.trainer_options import REFUSED, passed_on
from gansweep.errors import UserError


@pytest.mark.parametrize(
    "word",
    [
        "+trainer.limit_train_batches=3",
        "+trainer.profiler=simple",
        "+trainer.deterministic=true",
        "+trainer.detect_anomaly=true",
        "+trainer.max_time=00:00:10:00",
    ],
)
def test_an_option_of_lightnings_trainer_is_composed(word: str) -> None:
    name = word.split("=")[0].removeprefix("+trainer.")
    assert compose([word]).trainer[name] is not None


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("+trainer.detct_anomaly=true", "Did you mean 'detect_anomaly'?"),
        ("+trainer.detect_anomaly=maybe", "Use trainer.detect_anomaly=true."),
        ("+trainer.profiler=simpel", "not one of simple, advanced, pytorch"),
        ("+trainer.max_epochs=3", "Use budget_kimg=."),
        ("+trainer.gradient_clip_val=1", "Use model.clip_grad_norm=."),
        ("+trainer.fast_dev_run=true", "Use debug=fast."),
        ("+trainer.overfit_batches=1", "Use debug=overfit."),
        ("trainer.devices=0", "trainer.devices=0 is not a whole number from 1"),
    ],
)
def test_other_options_of_the_trainer_are_refused_with_the_one_to_use(word: str, fix: str) -> None:
    words = [word, "+trainer.benchmark=true"]
    with pytest.raises(UserError, match="trainer") as refused:
        compose(words)
    assert fix in str(refused.value)


def test_every_option_of_lightnings_trainer_is_passed_on_refused_or_ours() -> None:
    import inspect

    import pytorch_lightning as pl

    theirs = set(inspect.signature(pl.Trainer).parameters)
    ours = {"accelerator", "devices", "precision"}
    assert REFUSED.keys() <= theirs
    assert passed_on().keys() == theirs - REFUSED.keys()
    assert ours <= passed_on().keys()
