"""The one training loop: batch, objective, clipped gradients, optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from orionlm.data.loader import Batch, Loader
from orionlm.errors import UserError
from orionlm.model.initialization import initialize
from orionlm.model.transformer import Transformer
from orionlm.shape import Shape
from orionlm.train.execution import Execution, keep_freed_memory
from orionlm.train.objective import Objective, next_token
from orionlm.train.optimizer import OptimizerSettings, build

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Trainer:
    """A model, its fp32 master weights and its optimizers, at one step of one trajectory.

    The model computes in `execution.precision`; the optimizers hold fp32 weights, copied to the model after each step.
    Which batch comes next, and what the rate is, are functions of the step, so `state()` is all there is to restore.
    """

    def __init__(
        self,
        shape: Shape,
        loader: Loader,
        optimizer: OptimizerSettings,
        execution: Execution,
        *,
        seed: int,
        clip: float = 1.0,
        copying: bool = True,
        objective: Objective = next_token,
    ) -> None:
        torch.set_num_threads(execution.threads)
        if execution.device == "cpu":
            keep_freed_memory()
        self.shape, self.loader, self.execution, self.clip = shape, loader, execution, clip
        self.device = torch.device(execution.device)
        self.model = Transformer(shape)
        initialize(self.model, seed, copying=copying)
        self.model.to(self.device)
        self.masters: dict[str, nn.Parameter] = {}
        for name, parameter in self.model.named_parameters():
            self.masters[name] = nn.Parameter(parameter.detach().clone())
            self.masters[name].grad = torch.zeros_like(parameter)
        self.model.compute_in(DTYPES[execution.precision])
        self.optimizers = build(self.masters, shape.width, optimizer)
        # Compiling the objective with the model in it keeps the logits from being written out in fp32.
        self.objective: Objective = torch.compile(objective) if execution.compile else objective
        self.step = 0

    def advance(self, stop: int, rate: Callable[[int], float]) -> Iterable[tuple[int, float]]:
        """Train up to step `stop`, yielding (steps done, loss in nats a token) after each step."""
        parameters, masters = list(self.model.parameters()), list(self.masters.values())
        gradients = [master.grad for master in masters if master.grad is not None]
        while self.step < stop:
            batch = to_tensors(self.loader.batch(self.step), self.device)
            loss, _ = self.objective(self.model, batch)
            loss.backward()
            torch._foreach_copy_(gradients, [parameter.grad for parameter in parameters])  # type: ignore[misc]
            self.model.zero_grad(set_to_none=True)
            nn.utils.clip_grad_norm_(masters, self.clip)
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * rate(self.step)
                optimizer.step()
            self.publish()
            self.step += 1
            value = loss.item()
            if not value < float("inf"):
                raise UserError(f"loss is {value} at step {self.step}: lower optimizer.rate or raise warmup_steps")
            yield self.step, value

    @torch.no_grad()
    def publish(self) -> None:
        """Copy the master weights into the model that computes."""
        torch._foreach_copy_(list(self.model.parameters()), list(self.masters.values()))

    def state(self) -> dict[str, Tensor]:
        """Everything that decides the next step, by name: weights, optimizer moments, the step."""
        tensors: dict[str, Tensor] = {f"weight/{name}": master.detach() for name, master in self.masters.items()}
        names = {id(master): name for name, master in self.masters.items()}
        for optimizer in self.optimizers:
            for parameter, slots in optimizer.state.items():
                for slot, value in slots.items():
                    tensors[f"{slot}/{names[id(parameter)]}"] = value
        return tensors | {"trainer/step": torch.tensor(self.step)}

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `state()` gave, bit for bit."""
        slots: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            kind, _, name = key.partition("/")
            if kind == "weight":
                self.masters[name].copy_(tensor)
            elif kind != "trainer":
                slots.setdefault(name, {})[kind] = tensor.to(self.device, copy=True)
        for optimizer in self.optimizers:
            optimizer.state.clear()
        owner = {id(p): optimizer for optimizer in self.optimizers for g in optimizer.param_groups for p in g["params"]}
        for name, values in slots.items():
            master = self.masters[name]
            owner[id(master)].state[master] = values
        self.step = int(tensors["trainer/step"])
        self.publish()


def to_tensors(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    tokens, targets, documents = (torch.from_numpy(array) for array in batch[:3])
    if device.type != "cuda":
        return tokens, targets, documents
    tokens, targets, documents = (t.pin_memory().to(device, non_blocking=True) for t in (tokens, targets, documents))
    return tokens, targets, documents
