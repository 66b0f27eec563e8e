"""Every mutant of a solution is refused, but for those that are as right as the solution."""

import random
import tomllib
from pathlib import Path

import pytest
from mutants.judging import judged_apart, mutants_of, solutions

from score.questions import EXTENSIONS, QUESTIONS

EQUIVALENT = {
    name: entry["reason"]
    for entry in tomllib.loads(
        Path(__file__).with_name("mutants").joinpath("equivalent.toml").read_text(encoding="utf-8")
    )["equivalent"]
    for name in entry["mutants"]
}
SAMPLE = 8  # mutants of each question, in `make test`


def verdicts(question, chosen):
    """{name of a mutant: what is wrong with it, by seed}."""
    found = judged_apart(question, [mutant.source for mutant in chosen])
    return {f"{question}: {m.name}": by_seed for m, by_seed in zip(chosen, found, strict=True)}


def assert_told_apart(found):
    """Those that pass with any seed are listed, and those that are listed pass with all."""
    passed = {name for name, by_seed in found.items() if "" in by_seed.values()}
    assert not sorted(passed - EQUIVALENT.keys()), "mutants that pass"
    refused = {name: set(by_seed.values()) - {""} for name, by_seed in found.items()}
    wrong = {name: said for name, said in refused.items() if said and name in EQUIVALENT}
    assert not wrong, "listed as equivalent, and refused"


@pytest.mark.parametrize("question", [*QUESTIONS, *EXTENSIONS])
def test_a_sample_of_mutants_is_refused(question):
    everyone = mutants_of(question)
    assert_told_apart(verdicts(question, random.Random(question).sample(everyone, SAMPLE)))


@pytest.mark.long
@pytest.mark.parametrize("question", [*QUESTIONS, *EXTENSIONS])
def test_all_mutants_are_refused(question):
    assert_told_apart(verdicts(question, mutants_of(question)))


def test_each_question_has_its_mutants_and_each_has_a_name_of_its_own():
    names = {
        question: [f"{question}: {mutant.name}" for mutant in mutants_of(question)]
        for question in solutions()
    }
    assert names.keys() == {*QUESTIONS, *EXTENSIONS}
    assert all(len(set(of)) == len(of) >= 30 for of in names.values())
    assert not EQUIVALENT.keys() - {name for of in names.values() for name in of}, "no mutants"


def test_a_mutant_that_takes_too_long_or_too_much_is_stopped_and_the_next_one_judged(monkeypatch):
    monkeypatch.setattr("mutants.judging.SECONDS", 2)
    right = solutions()["Q1.1"].source
    endless = right.replace("return", "while True: pass\n    return")
    greedy = right.replace("return", "[0] * 2**31\n    return")
    found = [set(by_seed.values()) for by_seed in judged_apart("Q1.1", [endless, greedy, right])]
    assert found[0] == {"It used up its limits."}
    assert all("MemoryError" in said for said in found[1])
    assert found[2] == {""}
