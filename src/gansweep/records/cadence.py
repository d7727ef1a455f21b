"""How often a run writes its losses where `every_steps` is null."""

MOST_STEPS = 50
LEAST_ROWS = 100


def steps_apart(budget_kimg: float, batch_size: float) -> int:
    """The steps between two rows: 50, and fewer in a short run, for 100 rows in the whole budget.

    It follows from the budget and the batch size alone, so a continued run writes its rows at the
    same steps as an uninterrupted one.
    """
    steps = budget_kimg * 1000 / batch_size
    return int(max(1, min(MOST_STEPS, steps / LEAST_ROWS)))
