"""What the Toybox trainings share: resumable state, an average of the weights, one learning-rate law."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

CHECKPOINT_SECONDS = 120


class Training:
    """Runs `loss(step)` for `steps` steps of AdamW and keeps an exponential average of the weights.

    The state (weights, average, both Adam moments, step) is written to `path` every two minutes,
    beside and then renamed, so a killed training goes on where it was. Every step draws from a
    generator of its own (see `apdm.seeding`), hence no random state needs saving.
    """

    def __init__(self, model: nn.Module, path: Path, lr: float, steps: int, ema: float = 0.999) -> None:
        self.model, self.path, self.lr, self.steps = model, path, lr, steps
        self.parameters = dict(model.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.ema = ema
        self.optimizer = torch.optim.AdamW(self.parameters.values(), lr=lr, weight_decay=0.01, fused=True)
        self.step = 0
        self.seconds = 0.0
        self.losses: list[float] = []
        if path.exists():
            self._load()

    def learning_rate(self) -> float:
        """Warm-up over 200 steps, constant, then a linear fall over the last quarter."""
        rise = min(1.0, (self.step + 1) / 200)
        fall = min(1.0, (self.steps - self.step) / (0.25 * self.steps))
        return self.lr * rise * fall

    def run(self, loss: Callable[[int], Tensor], report: Callable[[int], str] | None = None) -> None:
        started = saved = time.monotonic()
        while self.step < self.steps:
            for group in self.optimizer.param_groups:
                group["lr"] = self.learning_rate()
            value = loss(self.step)
            value.backward()
            nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self._update_average()
            self.losses.append(float(value.detach()))
            self.step += 1
            now = time.monotonic()
            if self.step % 100 == 0:
                recent = sum(self.losses[-100:]) / len(self.losses[-100:])
                note = report(self.step) if report else ""
                place = f"{self.path.stem} {self.step}/{self.steps}"
                print(f"{place} loss {recent:.4f} {now - started:.0f} s {note}", flush=True)
            if now - saved > CHECKPOINT_SECONDS or self.step == self.steps:
                self.seconds += now - started
                self._save()
                started = saved = now

    def use_average(self) -> None:
        """Puts the averaged weights into the model."""
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(self.average[name])

    def _update_average(self) -> None:
        decay = min(self.ema, (1 + self.step) / (10 + self.step))
        averages, currents = list(self.average.values()), [p.detach() for p in self.parameters.values()]
        torch._foreach_lerp_(averages, currents, 1 - decay)

    def _save(self) -> None:
        tensors: dict[str, Tensor] = {}
        for name, p in self.parameters.items():
            state = self.optimizer.state[p]
            tensors |= {
                f"weight.{name}": p.detach(),
                f"average.{name}": self.average[name],
                f"first.{name}": state["exp_avg"],
                f"second.{name}": state["exp_avg_sq"],
            }
        about = {"step": self.step, "seconds": self.seconds, "losses": self.losses[::20]}
        beside = self.path.with_suffix(".tmp")
        tensors = {name: t.contiguous() for name, t in tensors.items()}
        save_file(tensors, beside, metadata={"about": json.dumps(about)})
        beside.replace(self.path)

    def _load(self) -> None:
        from safetensors import safe_open

        tensors = load_file(self.path)
        with safe_open(self.path, framework="pt") as file:
            about = json.loads(file.metadata()["about"])
        self.step, self.seconds = about["step"], about["seconds"]
        self.losses = [loss for loss in about["losses"] for _ in range(20)]
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(tensors[f"weight.{name}"])
                self.average[name].copy_(tensors[f"average.{name}"])
                self.optimizer.state[p] = {
                    "step": torch.tensor(float(self.step)),
                    "exp_avg": tensors[f"first.{name}"]
                    .clone(memory_format=torch.preserve_format)
                    .reshape(p.shape),
                    "exp_avg_sq": tensors[f"second.{name}"].clone().reshape(p.shape),
                }
        for moment in ("exp_avg", "exp_avg_sq"):  # the fused kernel wants the parameter's strides
            for p in self.parameters.values():
                state = self.optimizer.state[p]
                state[moment] = torch.empty_like(p).copy_(state[moment])
