"""Names with their values beside them, within the width of a terminal."""

from gansweep.records.notation import beside_names

LONG = "photographs/of-a-very-long-journey/through-the-mountains-and-back-again-"


def test_long_names_stand_whole_above_their_values() -> None:
    names = ["file", "a.png", f"{LONG}0001.png", f"{LONG}0002.png"]
    rows = [("place", "distance"), ("1", "0.5"), ("2", "0.75"), ("3", "12")]
    assert beside_names(names, rows, width=80) == [
        "file   place  distance",
        "a.png  1      0.5",
        f"{LONG}0001.png",
        "       2      0.75",
        f"{LONG}0002.png",
        "       3      12",
    ]


def test_no_value_is_cut_and_no_line_is_wider_than_asked() -> None:
    prompt = "seed 0, image 2, label 7, truncation psi=0.5 in w, and more of what was asked"
    names = ["file", "a.png", "b.png"]
    rows = [("mark", "prompt"), ("machine-made", prompt), ("none", "")]
    lines = beside_names(names, rows, width=60)
    assert max(map(len, lines)) <= 60
    assert " ".join(" ".join(lines[2:-1]).split()) == f"machine-made {prompt}"
    assert lines[0].split() == ["file", "mark", "prompt"] and lines[-1].split() == ["b.png", "none"]
