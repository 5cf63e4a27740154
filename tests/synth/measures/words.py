"""Texts drawn from made-up vocabularies, of which everything is known."""

import numpy as np

TOPICS = ("river", "engine", "theorem", "harvest")


def written(topics, words=60, seed=0, vocabulary=300):
    """One text a topic: half its words the topic's own, half common to all, Zipf-distributed."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, vocabulary + 1)
    share /= share.sum()
    texts = []
    for topic in topics:
        own = rng.random(words) < 0.5
        picks = rng.choice(vocabulary, words, p=share)
        texts.append(
            " ".join(f"{topic}{pick}" if mine else f"common{pick}" for mine, pick in zip(own, picks, strict=True))
        )
    return texts


def mixed(n, shares, seed=0, words=60):
    rng = np.random.default_rng(seed)
    topics = rng.choice(TOPICS[: len(shares)], n, p=shares)
    return written(topics, words, seed), topics
