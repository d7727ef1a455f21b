"""`gansweep compare`: settings that differ and scores with their tests."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Finished
from report_records import FID, MODES, PROTOCOLS, part_of_sweep, write_run

Command = Callable[..., Finished]


def write_seeds(folder: Path, values: list[float], lr: float, **more: object) -> None:
    config = {
        "model": {
            "optimizer": {"lr": lr, "eps": 1e-8},
            "tiny": {"width": lr},
            "search": {"lr": f"choice({lr})"},
        }
    }
    for seed, value in enumerate(values):
        write_run(
            folder / f"s{seed}", seed=seed, scores={FID: [99.0, value]}, config=config, **more
        )


def test_settings_and_scores_are_compared_over_seeds(tmp_path: Path, command: Command) -> None:
    write_seeds(tmp_path / "b", [30.0, 30.0, 33.0], 0.001, versions={"torch": "2.6"})
    write_seeds(tmp_path / "a", [20.0, 22.0, 24.0], 0.0002, versions={"torch": "2.7"})
    command("tag", "a/s1", "good")
    command("note", "a/s1", "grey digits")
    done = command("compare", "a", "b")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[0].startswith("A dcgan (lr 0.0002): 3 finished, 2 kimg")
    assert "a/s1 #good" in done.out and "grey digits" in lines
    place = lines.index("Settings that differ")
    assert lines[place + 1 : place + 4] == ["A B", "model.optimizer.lr 0.0002 0.001", ""]
    assert "versions.torch 2.7 2.6" in lines
    # paired gaps 10, 8, 9: mean 9, error 1/sqrt(3), t = 15.6 with 2 degrees of freedom
    place = lines.index(f"{FID}, lower is better")
    assert lines[place + 1] == "A 22.0 ± 2.0 [17.0, 27.0] 3 seeds"
    worse = "+9.00 [6.52, 11.48], p = 0.0041: worse"
    assert lines[place + 2] == f"B 31.0 ± 1.7 [26.7, 35.3] 3 seeds {worse}"
    assert all(len(line) <= 80 for line in done.out.splitlines())


def test_networks_for_points_are_no_difference_of_runs_on_images(
    tmp_path: Path, command: Command
) -> None:
    for name, width in (("a", 4), ("b", 8)):
        config = {"model": {"width": width, "points": {"width": 2 * width}}}
        for shape in ([1, 8, 8], [2]):
            place = tmp_path / f"{len(shape)}" / name
            write_run(place, config=config, game={"sample_shape": shape})
    images = json.loads(command("compare", "3/a", "3/b", "--json").out)["settings"]
    points = json.loads(command("compare", "1/a", "1/b", "--json").out)["settings"]
    assert set(images) == {"model.width"}
    assert set(points) == {"model.width", "model.points.width"}


def test_a_batch_size_is_compared_once_and_how_a_class_is_made_is_no_setting(
    tmp_path: Path, command: Command
) -> None:
    for name, size in (("a", 64), ("b", 100)):
        network = {"_target_": f"nets.{name}", **({"_partial_": True} if name == "a" else {})}
        config = {"batch_size": size, "model": {"batch_size": size, "generator": network}}
        write_run(tmp_path / name, scores={FID: [30.0]}, config=config)
    found = json.loads(command("compare", "a", "b", "--json").out)["settings"]
    assert found["batch_size"] == [64, 100] and "model.batch_size" not in found
    assert "model.generator._target_" in found and "model.generator._partial_" not in found


def test_the_first_path_is_the_baseline(tmp_path: Path, command: Command) -> None:
    write_seeds(tmp_path / "a", [20.0, 22.0, 24.0], 0.0002)
    write_seeds(tmp_path / "b", [30.0, 30.0, 33.0], 0.001)
    out = json.loads(command("compare", "b", "a", "--json").out)
    assert [Path(row["runs"][0]["directory"]).parent.name for row in out["rows"]] == ["b", "a"]
    first, second = out["scores"][FID]
    assert first["against_first"] is None
    assert second["against_first"]["difference"] == -9
    assert second["against_first"]["p"] == pytest.approx(0.0040904, rel=1e-4)
    assert out["settings"] == {"model.optimizer.lr": [0.001, 0.0002]}


def test_json_of_single_seeds_is_strict_json(tmp_path: Path, command: Command) -> None:
    write_seeds(tmp_path / "a", [20.0], 0.0002)
    write_seeds(tmp_path / "b", [30.0], 0.001)
    printed = command("compare", "a", "b", "--json").out
    out = json.loads(printed, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    against = out["scores"][FID][1]["against_first"]
    assert (against["difference"], against["freedom"], against["p"]) == (10, None, None)


def test_p_is_corrected_for_several_comparisons(tmp_path: Path, command: Command) -> None:
    for name, values in {"a": [20.0, 22.0, 24.0], "b": [30.0, 30.0, 33.0]}.items():
        write_seeds(tmp_path / name, values, 0.001 if name == "b" else 0.0002)
    write_seeds(tmp_path / "c", [21.0, 22.0, 26.0], 0.01)  # gaps 1, 0, 2: t = sqrt(3), p = 0.2254
    out = json.loads(command("compare", "a", "b", "c", "--json").out)
    found = [one["against_first"]["p"] for one in out["scores"][FID][1:]]
    assert found == pytest.approx([2 * 0.0040904, 0.2254033], rel=1e-4)


def test_scores_of_other_protocols_are_not_compared(tmp_path: Path, command: Command) -> None:
    other = {FID: {**PROTOCOLS[FID], "n_fake": 500}, MODES: PROTOCOLS[MODES]}
    write_run(tmp_path / "a" / "r", model="gan", scores={FID: [20.0], MODES: [9.0]})
    write_run(tmp_path / "b" / "r", scores={FID: [30.0], MODES: [8.0]}, protocols=other)
    out = command("compare", "a", "b").out
    assert "Not compared: " in out and f"{MODES}, higher is better" in out
    assert f"{FID}, lower" not in out
    assert "-1, one seed: may be chance" in out
    command("compare", "a", "b", "--metric", FID).is_refused_with("2 protocols")


def test_seeds_of_one_configuration_are_not_tested(tmp_path: Path, command: Command) -> None:
    write_seeds(tmp_path / "a", [20.0, 22.0], 0.0002)
    out = command("compare", "a/s0", "a/s1").out
    assert "one configuration, under the seeds 0, 1" in out and "21.0 ± 1.4" in out


def test_failed_runs_and_trials_say_what_they_are(tmp_path: Path, command: Command) -> None:
    lr = {"model.optimizer.lr": 0.01}
    write_run(tmp_path / "demo" / "t0000", sweep=part_of_sweep("t0000", lr, at="last"))
    write_run(tmp_path / "x" / "r", model="gan", status="diverged", scores={FID: [900.0]})
    out = command("compare", "demo/t0000", "x").out
    assert "a trial, which its sweep chose by these values" in " ".join(out.split())
    assert "B  gan: 1 diverged" in out and f"Only A has: {FID} 20" in out


def test_a_row_that_lost_a_seed_is_not_tested_in_either_order(
    tmp_path: Path, command: Command
) -> None:
    """As on the page and in the verdict: the mean over the survivors flatters."""
    write_seeds(tmp_path / "a", [20.0, 22.0, 24.0], 0.0002)
    write_seeds(tmp_path / "b", [30.0, 30.0], 0.001)
    write_run(
        tmp_path / "b" / "s2", seed=2, status="diverged", scores={FID: [900.0]},
        config={"model": {"optimizer": {"lr": 0.001, "eps": 1e-8}}},
    )  # fmt: skip
    write_seeds(tmp_path / "c", [21.0, 22.0, 26.0], 0.01)  # gaps 1, 0, 2: p = 0.2254, alone
    out = " ".join(command("compare", "a", "b", "c").out.split())
    assert "2 seeds +8, not tested: it lost 1 seed" in out
    assert "p = 0.23: may be chance" in out and "Holm" not in out
    assert "-8, not tested: the first lost 1 seed" in command("compare", "b", "a").out
    found = json.loads(command("compare", "a", "b", "--json").out)["scores"][FID]
    assert [one["untested"] for one in found] == ["", "it lost 1 seed"]
    assert found[1]["against_first"]["p"] is None


def test_a_flag_and_its_short_form_are_one(command: Command) -> None:
    command("compare", "a", "b", "--metr=fid", "--metric", "kid").is_refused_with(
        "--metric: it takes one value and is given twice"
    )


def test_too_few_and_too_many_are_refused(tmp_path: Path, command: Command) -> None:
    write_run(tmp_path / "a" / "r0")
    command("compare").is_refused_with("Name a run")
    command("compare", "a").is_refused_with("is one run")
    for number in range(27):
        write_run(tmp_path / "b" / f"r{number}", config={"width": number})
    command("compare", "b").is_refused_with("27 configurations", "26 at most")
    command("compare", "a", "nothing").is_refused_with("does not exist")


def test_hostile_settings_are_escaped(tmp_path: Path, command: Command) -> None:
    write_run(tmp_path / "a", config={"evil\x1b[2J": "\x1b]0;x\x07"})
    write_run(tmp_path / "b", config={"evil\x1b[2J": "y" * 300})
    done = command("compare", "a", "b")
    assert done.code == 0 and not {"\x1b", "\x07"} & {*done.out}
