"""The language of latent arithmetic: "bold 7 - 7 + 3", readable without PyTorch.

A concept is a class by name or number, an attribute and a class ("bold 7", "7 bold"), an attribute
alone ("bold"), or samples by their numbers in brackets ("[3, 8, 15]"). Names with blanks stand in
quotes.
"""

import re
from dataclasses import dataclass

from gansweep.errors import UserError

COLOURS = ("tinted", "plain")  # with and without colour
ATTRIBUTES = ("bold", "thin", *COLOURS)  # much and little ink
TOKEN = re.compile(r"\s*(?:(?P<sign>[+-])|\[(?P<numbers>[\d\s,]*)\]|\"(?P<quoted>[^\"]+)\"|"
                   r"'(?P<single>[^']+)'|(?P<word>[^\s+\-\[\]\"']+))")  # fmt: skip


@dataclass(frozen=True)
class Concept:
    """sign: 1 or -1.   attribute, label: "" for none.   numbers: of picked samples."""

    sign: int
    attribute: str = ""
    label: str = ""
    numbers: tuple[int, ...] = ()

    def __str__(self) -> str:
        picked = f"[{', '.join(map(str, self.numbers))}]" if self.numbers else ""
        return " ".join(filter(None, [self.attribute, self.label, picked]))


def read_expression(text: str) -> list[Concept]:
    """The concepts with their signs.   Raises: UserError for what is no expression."""
    concepts: list[Concept] = []
    sign = 1
    words: list[str] = []
    numbers: tuple[int, ...] = ()
    is_due = True  # a concept must follow
    at = 0
    while at < len(text.rstrip()):
        found = TOKEN.match(text, at)
        if found is None:
            raise _wrong(text, f"'{text[at : at + 10]}' cannot be read")
        at = found.end()
        if found["sign"]:
            if words or numbers:
                concepts.append(_concept(text, sign, words, numbers))
            elif concepts or not is_due or found["sign"] == "+":
                raise _wrong(text, f"nothing stands before '{found['sign']}'")
            sign, words, numbers = (1 if found["sign"] == "+" else -1), [], ()
            is_due = False
        elif found["numbers"] is not None:
            numbers = tuple(int(one) for one in re.findall(r"\d+", found["numbers"]))
            if not numbers:
                raise _wrong(text, "the brackets are empty")
        else:
            words.append(found["quoted"] or found["single"] or found["word"])
    if not (words or numbers):
        raise _wrong(text, "a concept is missing at the end")
    return [*concepts, _concept(text, sign, words, numbers)]


def _concept(text: str, sign: int, words: list[str], numbers: tuple[int, ...]) -> Concept:
    attributes = [k for k, word in enumerate(words) if word.lower() in ATTRIBUTES]
    rest = list(words)
    attribute = rest.pop(attributes[0]).lower() if attributes else ""
    if len(rest) > 1 or (numbers and words):
        raise _wrong(text, f"'{' '.join(words)}' is more than one concept")
    return Concept(sign, attribute, rest[0] if rest else "", numbers)


def _wrong(text: str, why: str) -> UserError:
    return UserError(
        f'"{text}" is no arithmetic of concepts: {why}. Write one such as "bold 7 - 7 + 3" or '
        '"[3, 8] - 1 + 2": classes, attributes (bold, thin, tinted, plain) with or without one, '
        "and samples by their numbers."
    )
