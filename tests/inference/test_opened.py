"""What is asked of a trained run: classes by their names and numbers."""

import pytest

from gansweep.errors import UserError
from gansweep.inference.opened import class_number


@pytest.mark.parametrize(
    ("names", "label", "number"),
    [
        (["Cat", "cat", "dog"], "cat", 1),
        (["Cat", "cat", "dog"], "DOG", 2),
        (["Cat", "cat", "dog"], "2", 2),
        (["1", "10", "2"], "2", 2),
    ],
)
def test_a_class_is_found_by_its_own_name_first(names: list[str], label: str, number: int) -> None:
    assert class_number(names, label, "pets") == number


@pytest.mark.parametrize(
    ("names", "label", "words"),
    [
        (["Cat", "cat"], "CAT", "may be Cat or cat of data=pets: write one of these"),
        (["1", "10", "2"], "0", r"label=0 is not a class of data=pets\. Its classes are: 1, 10, 2"),
        (["a", "b"], "2", r"Its classes are: a, b\. Or give a number from 0 to 1\."),
    ],
)
def test_a_label_that_names_no_one_class_is_refused(
    names: list[str], label: str, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        class_number(names, label, "pets")
