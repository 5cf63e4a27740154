"""Twenty questions of our own, and the ways in which they come to stand in a corpus."""

from __future__ import annotations

import builtins
import keyword
import random
import re
import textwrap
from collections.abc import Iterator

from orionlm.tasks.task import Item, Suite, Task

# A question a paragraph, with its options; the right one has a star.
_CHOICES = """\
Why does a pot of salted water begin to boil at a slightly higher temperature than plain water does?
- Salt conducts electricity
* Dissolved salt lowers the vapour pressure
- Salt is denser than water
- The pot heats up more slowly

A violinist tightens one string without changing its length. What happens to the note it plays?
* It becomes higher
- It becomes lower
- It becomes louder
- It stays the same

In which of these harbours would a sailor at midsummer see the sun stay above the horizon all night long?
- Lisbon
* Tromsø
- Valparaíso
- Mombasa

During the harvest a miller grinds rye and wheat in the ratio of five to three. Which share of the flour is rye?
- Three eighths
* Five eighths
- Three fifths
- One half

Which organ of a salmon tells it the smell of the river in which it hatched years before?
- The swim bladder
- The gills
* The nostrils
- The lateral line

What did the printer's apprentice chiefly do with the composing stick in a workshop of the sixteenth century?
- He stirred ink
* He set lines of type
- He hung wet sheets
- He bound quires

A glacier leaves behind a ridge of gravel at its lowest end. What do geologists call such a ridge?
- A drumlin
- An esker
* A terminal moraine
- A cirque
"""

# The answer stands behind the sign.
_PROSE = """\
Ottilie sells jars of plum jam for 4 crowns each. On Friday she sold 27 jars, on Saturday twice as many, and gave a
tenth of her takings to the choir. How many crowns did she keep?
= 291.6

A ferry crosses the sound in 35 minutes and waits 10 minutes at each pier. If it first leaves the island at seven in
the morning, when does it begin its fifth crossing?
= 10:00

Three cousins share an orchard of 144 trees. Benedikt prunes a third of them, Adele a quarter of what is left, and
Kasimir all others. How many trees does Kasimir prune?
= 72

My neighbour's clock loses four minutes every day. She sets it right on the first of March at noon. What does it show
at noon on the sixteenth?
= 11:00

Walking along the canal, Henrike counts every lamp post on both banks. There is one each 40 metres, beginning at the
lock, and the canal is 1.2 kilometres long. How many does she count?
= 62

A crate of mirrors fell from the cart. Seven out of every twelve mirrors broke, and twenty were left whole. How many
mirrors had been packed into the crate?
= 48

Describe in one sentence why a lighthouse keeper of the last century would have wound up the lens's clockwork before
dusk, rather than after it.
= So that the light turned from nightfall on.
"""

_CODE = '''\
def merge_shifts(shifts):
    """Join the night watch's overlapping shifts, and return them by their beginnings."""
    #
    joined = []
    for begin, end in sorted(shifts):
        if joined and begin <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([begin, end])
    return joined

def longest_streak(marks):
    """Which mark stands most often in a row, and how often does it stand there?"""
    #
    best, most, count = None, 0, 0
    for place, mark in enumerate(marks):
        count = count + 1 if place and marks[place - 1] == mark else 1
        if count > most:
            best, most = mark, count
    return best, most

def sieve(limit):
    """ Count the prime numbers strictly below the limit, as Eratosthenes did. """
    #
    prime = [True] * limit
    prime[:2] = [False] * min(2, limit)
    for n in range(2, int(limit ** 0.5) + 1):
        if prime[n]:
            for multiple in range(n * n, limit, n):
                prime[multiple] = False
    return sum(prime)

def turned(board):
    """The square board, turned by a quarter against the clock."""
    #
    size = len(board)
    result = [[0] * size for _ in range(size)]
    for row in range(size):
        for column in range(size):
            result[size - 1 - column][row] = board[row][column]
    return result

def change(coins, amount):
    """The fewest coins that make up the amount, or -1 where none do."""
    #
    fewest = [0] + [amount + 1] * amount
    for total in range(1, amount + 1):
        for coin in coins:
            if coin <= total and fewest[total - coin] + 1 < fewest[total]:
                fewest[total] = fewest[total - coin] + 1
    return fewest[amount] if fewest[amount] <= amount else -1

def balanced(text, pairs):
    """Whether every opening sign of the pairs is closed in the right order."""
    #
    closing = dict(pairs)
    waiting = []
    for sign in text:
        if sign in closing:
            waiting.append(closing[sign])
        elif sign in closing.values():
            if not waiting or waiting.pop() != sign:
                return False
    return not waiting
'''


def suite() -> Suite:
    choice, prose, code = [], [], []
    for n, block in enumerate(_CHOICES.strip().split("\n\n")):
        question = " ".join(line for line in block.splitlines() if line[:2] not in ("- ", "* "))
        options = [line for line in block.splitlines() if line[:2] in ("- ", "* ")]
        right = next(place for place, line in enumerate(options) if line[0] == "*")
        choice.append(Item(f"c{n}", question, tuple(line[2:] for line in options), right))
    for n, block in enumerate(_PROSE.strip().split("\n\n")):
        question, _, answer = block.partition("\n= ")
        prose.append(Item(f"p{n}", question.replace("\n", " "), (), answer))
    for n, block in enumerate(_CODE.strip().split("\n\n")):
        prompt, _, solution = block.partition("    #\n")
        answer = {"prompt": prompt, "test": "", "entry_point": "f"}
        code.append(Item(f"k{n}", prompt, (), answer, extra={"shown": solution + "\n"}))
    tasks = (
        Task("choice", "choice", tuple(choice)),
        Task("prose", "generate", tuple(prose)),
        Task("code", "code", tuple(code)),
    )
    assert sum(len(task.items) for task in tasks) == 20
    return Suite.of("ours", tasks)


def whole(item: Item) -> str:
    """An item as a page would show it, with its answer."""
    options = [f"{letter}. {choice}" for letter, choice in zip("ABCD", item.choices, strict=False)]
    return "\n".join([item.question, *options]) + str(item.extra.get("shown", ""))


def verbatim(item: Item) -> Iterator[str]:
    yield item.question
    yield whole(item)


def truncated(item: Item) -> Iterator[str]:
    half = len(whole(item)) // 2
    yield whole(item)[:half]
    yield whole(item)[half:]
    if not item.extra:  # half of a program's first line is everybody's
        yield item.question[: len(item.question) // 2]


def spaced(item: Item) -> Iterator[str]:
    words = whole(item).split()
    yield "  ".join(words)
    yield "\n".join(words)
    yield textwrap.fill(" ".join(words), 34)
    yield textwrap.indent(whole(item), "\t\t> ")
    yield "".join(words)
    yield re.sub(r"([^\w\s])", r" \1 ", whole(item))


def renamed(item: Item) -> Iterator[str]:
    """A program with all its names changed; of prose, its people and numbers."""
    rng = random.Random(item.id)
    text = whole(item)
    if item.extra:
        own = {*re.findall(r"\b[a-z_]+\b", re.sub(r'""".*?"""', "", text, flags=re.DOTALL))}
        names = sorted(own - {*keyword.kwlist, *dir(builtins), "append", "pop", "values"})
        others = [first + last for first in "bdgklmnprtz" for last in ("oro", "uva", "esk")]
        new = dict(zip(names, rng.sample(others, len(names)), strict=True))
        yield re.sub(r"\b[a-z_]+\b", lambda match: new.get(match.group(), match.group()), text)
    else:
        text = re.sub(r"\d+", lambda match: str(rng.randint(2, 99)), text)
        yield re.sub(r"\b(Ottilie|Benedikt|Kasimir|Adele|Henrike|Lisbon|Mombasa)\b", "Wilhelmina", text)
