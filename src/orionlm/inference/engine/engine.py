"""Who is in the batch now? Continuous batching: a step extends every answer by a token and reads more of new prompts.

A request waits until a slot and enough pages for its longest possible answer are free, so an answer once begun is never
thrown out again. Prompts are read in chunks between other answers' tokens, and what is already in the cache from an
equal beginning is not read again; further samples of a prompt start when the first has read it.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from orionlm.errors import UserError
from orionlm.inference.engine import cpu, plain
from orionlm.inference.engine.choose import Choices, Draws, choose, uniform
from orionlm.inference.engine.pages import ROOT, Pages
from orionlm.inference.engine.rows import Rows
from orionlm.inference.engine.sample import Answer, Event, Sample, alternatives, unread
from orionlm.inference.engine.step import Kernels, Step
from orionlm.sampling import Sampling

if TYPE_CHECKING:
    from torch import Tensor

    from orionlm.model.transformer import Transformer

CACHE_BYTES = 4 << 30  # unless told how many tokens, the cache takes no more
ROWS = 256  # tokens read in one step at most: more read prompts faster, and let others' next tokens wait longer


class Engine:
    """Answers for many requests at once from one model.

    `text` gives each token's bytes (`text.token_bytes`) and is needed for stop strings and for events with text; any of
    `ends` is a token that ends a text. `slots` answers grow at once, over a cache of `cache_tokens` tokens (by default
    as many as all slots can fill, within 4 GiB).
    """

    def __init__(
        self,
        model: Transformer,
        *,
        text: list[bytes] | None = None,
        ends: tuple[int, ...] = (),
        slots: int = 64,
        cache_tokens: int | None = None,
        rows: int = ROWS,
        compiled: bool = True,
    ) -> None:
        if slots < 1:
            raise UserError(f"slots = {slots}: give at least 1")
        if rows < 1:
            raise UserError(f"rows = {rows}: give at least 1")
        shape = model.shape
        weight = model.lm_head.weight
        self.device = weight.device
        kernels: Kernels
        if compiled and self.device.type == "cpu" and weight.dtype == torch.float32 and cpu.available(shape):
            kernels = cpu.Kernels(shape)
        else:
            kernels = plain.Kernels(shape, str(self.device), weight.dtype)
        self.exact = kernels.exact
        self.context, self.vocabulary = shape.context, shape.vocabulary
        self.text, self.ends, self.slots = text, ends, slots
        self.rows = max(rows, slots)
        a_sequence = -(-shape.context // kernels.page)
        if cache_tokens is None:
            a_page = 2 * kernels.page * shape.layers * shape.kv_heads * shape.head_dim * weight.element_size()
            count = min(slots * a_sequence, max(a_sequence, CACHE_BYTES // a_page))
        else:
            count = -(-cache_tokens // kernels.page)
        if count < 1:
            raise UserError(f"cache_tokens = {cache_tokens}: give at least {kernels.page}")
        self.pages = Pages(count, kernels.page)
        self._step = Step(model, kernels, count)
        self._table = np.zeros((slots, a_sequence), np.int32)
        self._promised = 0  # pages that running answers may still ask for
        self._temperature, self._top_p = np.ones(slots), np.ones(slots)
        self._min_p, self._top_k = np.zeros(slots), np.zeros(slots, np.int64)
        self._key = np.zeros(slots, np.uint64)
        self._open_slots = list(range(slots))[::-1]
        self._waiting: deque[Sample] = deque()
        self._reading: list[Sample] = []
        self._writing: list[Sample] = []
        self._requests: dict[int, list[Sample]] = {}
        self._news: list[Event] = []
        self._next = 0
        self.steps = self.prompt_tokens = self.shared_tokens = self.generated_tokens = 0

    @property
    def running(self) -> int:
        """Answers that hold a slot."""
        return self.slots - len(self._open_slots)

    @property
    def waiting(self) -> int:
        """Answers that do not yet."""
        return sum(map(len, self._requests.values())) - self.running

    @property
    def busy(self) -> bool:
        """Whether there is anything left for `step` to do or to tell."""
        return bool(self._requests or self._news)

    def submit(self, prompt: Sequence[int], sampling: Sampling, score_from: int | None = None) -> int:
        """→ the request's number. `score_from` ≥ 1 asks for the log-probabilities of the prompt's tokens from there on;
        a prompt that is only scored may be a token longer than the context, for its last token is not read.

        Raises UserError for what this model cannot be asked.
        """
        length = len(prompt) - unread(prompt, sampling, score_from)
        if not 1 <= length <= self.context:
            raise UserError(f"prompt of {length} tokens: give between 1 and the model's context of {self.context}")
        if length + sampling.max_tokens > self.context:
            raise UserError(
                f"max_tokens = {sampling.max_tokens}: with a prompt of {length} tokens the context of {self.context} "
                f"leaves {self.context - length}"
            )
        if not 0 <= min(prompt) <= max(prompt) < self.vocabulary:
            raise UserError(f"prompt: token ids must lie between 0 and {self.vocabulary - 1}")
        if self._pages_for(length + sampling.max_tokens) > self.pages.count:
            raise UserError(
                f"max_tokens = {sampling.max_tokens}: with a prompt of {length} tokens more than the cache of "
                f"{self.pages.count * self.pages.size} tokens; ask for less, or raise cache_tokens"
            )
        if sampling.stop and self.text is None:
            raise UserError("stop: this engine was given no tokenizer; leave stop out, or give it one")
        assert score_from is None or score_from >= 1
        number, self._next = self._next, self._next + 1
        seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
        prompt = list(prompt)
        self._requests[number] = [
            Sample(number, sample, prompt, sampling, seed, score_from if sample == 0 else None, self.text is not None)
            for sample in range(sampling.n)
        ]
        self._waiting.append(self._requests[number][0])
        return number

    def cancel(self, request: int) -> None:
        """Its slots are free at once; the next step tells of each sample's end. One that is not there is ignored."""
        for sequence in list(self._requests.get(request, ())):
            self._end(sequence)
            self._news.append(Event(request, sequence.index, finish="cancelled"))

    def step(self) -> list[Event]:
        """One step of the model, if there is work; what it brought."""
        self._admit()
        news, self._news = self._news, []
        chosen: list[Sample] = list(self._writing)
        parts = [(sequence, 1) for sequence in chosen]
        room = self.rows - len(parts)
        for sequence in self._reading:
            if room <= 0:
                break
            size = min(room, len(sequence.tokens) - sequence.position)
            parts.append((sequence, size))
            room -= size
        if not parts:
            return news
        logits_rv, places = self._forward(parts)
        self.steps += 1
        for sequence, size in parts:
            self._advance(sequence, size)
        for sequence, size in parts[len(chosen) :]:
            self.prompt_tokens += size
            if sequence.score_from is not None:
                sequence.score(logits_rv, places[sequence], sequence.position - size, size)
        finished_reading = [s for s in self._reading if s.position == len(s.tokens)]
        if finished_reading:
            self._reading = [s for s in self._reading if s.position < len(s.tokens)]
            for sequence in finished_reading:
                self._follow(sequence)
                if sequence.sampling.max_tokens:
                    chosen.append(sequence)
                    self._writing.append(sequence)
                else:
                    self._end(sequence)
                    news.append(sequence.event([], "", "length"))
        if chosen:
            rows = [places[sequence].stop - 1 for sequence in chosen]
            if len(rows) < len(logits_rv):
                logits_rv = logits_rv[torch.tensor(rows, device=logits_rv.device)]
            news += self._extend(chosen, logits_rv)
        return news

    def answers(self, prompts: Iterable[Sequence[int]], sampling: Sampling) -> list[list[Answer]]:
        """All samples of all prompts, in order; steps until they are done."""
        numbers = [self.submit(prompt, sampling) for prompt in prompts]
        found = {number: [Answer() for _ in range(sampling.n)] for number in numbers}
        while self.busy:
            for event in self.step():
                if event.request in found:
                    found[event.request][event.sample].add(event)
        return [found[number] for number in numbers]

    def score(self, pairs: Iterable[tuple[Sequence[int], Sequence[int]]]) -> list[list[float]]:
        """Log-probabilities of each continuation's tokens after its prompt (of at least one token)."""
        asked = Sampling(max_tokens=0, alternatives=0)
        starts: dict[int, int] = {}
        for prompt, continuation in pairs:
            if not prompt:
                raise UserError("prompt of 0 tokens: give at least one, such as the end of text")
            starts[self.submit([*prompt, *continuation], asked, len(prompt))] = len(prompt)
        found: dict[int, list[float]] = {}
        while self.busy:
            for event in self.step():
                if event.request in starts:
                    assert event.prompt_logprobs is not None
                    found[event.request] = event.prompt_logprobs[starts[event.request] :]  # type: ignore[assignment]
        return [found[number] for number in starts]

    def _pages_for(self, tokens: int) -> int:
        return -(-tokens // self.pages.size)

    def _admit(self) -> None:
        while self._waiting and self._open_slots:
            sequence = self._waiting[0]
            shared, name = self._known_beginning(sequence)
            for page in shared:
                self.pages.share(page)
            needed = self._pages_for(sequence.longest) - len(shared)
            if needed > self.pages.free - self._promised:
                self.pages.give_back(shared)
                return
            self._waiting.popleft()
            self._promised += needed
            slot = sequence.slot = self._open_slots.pop()
            sequence.pages, sequence.name, sequence.named = shared, name, len(shared)
            self._table[slot, : len(shared)] = shared
            sequence.position = sequence.cached = len(shared) * self.pages.size
            self.shared_tokens += sequence.position
            sampling = sequence.sampling
            self._temperature[slot], self._top_p[slot] = sampling.temperature, sampling.top_p
            self._min_p[slot], self._top_k[slot] = sampling.min_p, sampling.top_k
            self._key[slot] = sequence.key
            self._reading.append(sequence)

    def _known_beginning(self, sequence: Sample) -> tuple[list[int], bytes]:
        """Pages that hold the prompt's beginning already. Its last token, and those to be scored, are read anew."""
        size, name, pages = self.pages.size, ROOT, []
        most = len(sequence.prompt) - 1 if sequence.score_from is None else sequence.score_from - 1
        for start in range(0, most - size + 1, size):
            following = self.pages.name(name, sequence.prompt[start : start + size])
            page = self.pages.known(following)
            if page is None:
                break
            pages.append(page)
            name = following
        return pages, name

    def _forward(self, parts: list[tuple[Sample, int]]) -> tuple[Tensor, dict[Sample, range]]:
        """Logits of the rows that somebody needs, and which of them are whose."""
        tokens: list[int] = []
        positions: list[int] = []
        sequences: list[int] = []
        wanted: list[int] = []
        places: dict[Sample, range] = {}
        for sequence, size in parts:
            start, stop = sequence.position, sequence.position + size
            while len(sequence.pages) * self.pages.size < stop:
                page = self.pages.take()
                self._promised -= 1
                self._table[sequence.slot, len(sequence.pages)] = page
                sequence.pages.append(page)
            needed = sequence.rows_needed(start, stop)
            places[sequence] = range(len(wanted), len(wanted) + needed)
            wanted.extend(range(len(tokens) + size - needed, len(tokens) + size))
            if size == 1:
                tokens.append(sequence.tokens[start])
                positions.append(start)
                sequences.append(sequence.slot)
            else:
                tokens.extend(sequence.tokens[start:stop])
                positions.extend(range(start, stop))
                sequences.extend([sequence.slot] * size)
        rows = Rows(
            torch.tensor(tokens),
            torch.tensor(positions, dtype=torch.int32),
            torch.tensor(sequences, dtype=torch.int32),
            torch.from_numpy(self._table),
            torch.tensor(wanted, dtype=torch.int64),
            max(positions) + 1,
        )
        return self._step(rows if self.device.type == "cpu" else rows.to(self.device)), places

    def _advance(self, sequence: Sample, size: int) -> None:
        """Its cache grew by `size` tokens: pages that are full now may be shared."""
        sequence.position += size
        width = self.pages.size
        while (sequence.named + 1) * width <= sequence.position:
            start = sequence.named * width
            sequence.name = self.pages.name(sequence.name, sequence.tokens[start : start + width])
            self.pages.publish(sequence.pages[sequence.named], sequence.name)
            sequence.named += 1

    def _follow(self, sequence: Sample) -> None:
        """The prompt is in the cache: its other samples may start, before anybody else."""
        if sequence.index == 0:
            self._waiting.extendleft(reversed(self._requests[sequence.request][1:]))

    def _extend(self, chosen: list[Sample], logits_rv: Tensor) -> list[Event]:
        slots = np.array([sequence.slot for sequence in chosen])
        index_r = np.array([len(sequence.tokens) - len(sequence.prompt) for sequence in chosen], np.uint64)
        draws = Draws(
            self._temperature[slots],
            self._top_k[slots],
            self._top_p[slots],
            self._min_p[slots],
            uniform(self._key[slots], index_r),
        )
        asked = max((s.sampling.alternatives for s in chosen if s.sampling.alternatives is not None), default=None)
        choices = choose(logits_rv, draws, asked is not None)
        tokens: list[int] = choices.token_r.tolist()
        self.generated_tokens += len(tokens)
        events = [self._accept(sequence, token) for sequence, token in zip(chosen, tokens, strict=True)]
        if asked is not None:
            _report(choices, asked, chosen, events)
        return events

    def _accept(self, sequence: Sample, token: int) -> Event:
        sequence.tokens.append(token)
        sampling, stream = sequence.sampling, sequence.stream
        finish, text = None, ""
        ended = token in self.ends and not sampling.ignore_end
        if stream and self.text and token < len(self.text) and not ended:
            text = stream.push(self.text[token])
        if ended or (stream and stream.stopped):
            finish = "stop"
        elif len(sequence.tokens) - len(sequence.prompt) == sampling.max_tokens:
            finish = "length"
        if finish:
            text += stream.finish() if stream else ""
            self._end(sequence)
        return sequence.event([token], text, finish)

    def _end(self, sequence: Sample) -> None:
        others = self._requests[sequence.request]
        others.remove(sequence)
        if not others:
            del self._requests[sequence.request]
        if sequence.slot < 0:
            if sequence in self._waiting:
                self._waiting.remove(sequence)
            return
        if sequence in self._reading:
            self._reading.remove(sequence)
        elif sequence in self._writing:
            self._writing.remove(sequence)
        self._promised -= self._pages_for(sequence.longest) - len(sequence.pages)
        self.pages.give_back(sequence.pages)
        self._open_slots.append(sequence.slot)


def _report(choices: Choices, asked: int, chosen: list[Sample], events: list[Event]) -> None:
    """Put the log-probabilities into the events of those who asked for them."""
    assert choices.log_p_r is not None and choices.log_q_r is not None and choices.log_p_rv is not None
    log_p, log_q = choices.log_p_r.tolist(), choices.log_q_r.tolist()
    tops = alternatives(choices.log_p_rv, asked) if asked else [[]] * len(events)
    for row, (sequence, event) in enumerate(zip(chosen, events, strict=True)):
        count = sequence.sampling.alternatives
        if count is not None:
            event.logprobs, event.sampled_logprobs = [log_p[row]], [log_q[row]]
            event.top = [tops[row][:count]]
