"""Learning to Protect: gradients gathered along a simulated personalisation (APDM, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from apdm.backbones.base import Backbone
from apdm.optimizers import adamw, finite, moments, moving_in_backward, reset
from apdm.personalizers.base import Material, Personalizer
from apdm.ranks import average, count
from apdm.seeding import derive, generator
from apdm.steps import State
from apdm.types import Scalar

ProtectionLoss = Callable[[Backbone, torch.Generator], Scalar]
Gradients = dict[str, Tensor]


@dataclass(frozen=True)
class Simulation:
    """Mean losses along one look-ahead."""

    personalization: float
    protection: float


class LookAhead:
    """Simulates `steps` steps of `personalizer` from the protected weights, in memory of its own.

    First order, as published: after each step of the simulated attack th'_i -> th'_{i+1} the gradient
    of the protection loss at th'_{i+1} is *summed* into the gradient of the protected weights th; th
    itself contributes none. The attack starts each time from th with a fresh optimizer; as published,
    its gradients are not clipped. `seed` is of what an attack begins with at random, LoRA's factors, which
    the attack to come draws by another.

    `leak=True` reproduces the published code, which does not clear the attack's own gradient before
    the protection's is added, so that th also receives the sum of grad L_per(th'_i) and, at beta = 1,
    descends on the subject. It is there for comparison only.

    `restart_every=R` is ours; 1 is as published. The simulated attack starts anew from th only in every
    R-th look-ahead; in between it goes on where it was, moved by what th has moved. It so reaches
    R x `steps` steps, as deep as a real attack, at the price of `steps`.

    With `beside` the protected weights rest elsewhere (`Execution.offload`): the walk is in a copy of
    `beside`, on its device, gradients are summed there and handed over at the end, and the attack moves its
    weights during its backward pass. The numbers are the same.
    """

    def __init__(
        self,
        protected: Backbone,
        personalizer: Personalizer,
        steps: int,
        leak: bool = False,
        restart_every: int = 1,
        seed: int = 0,
        beside: Backbone | None = None,
    ) -> None:
        self.protected, self.personalizer, self.steps = protected, personalizer, steps
        self.leak, self.restart_every, self.apart = leak, restart_every, beside is not None
        self.model = (beside or protected).copy()
        self.attachment = personalizer.attach(self.model, derive(seed, "simulated"))
        self.restart = back_to_now(self.attachment.beside)
        self.idle = [weight for weight in self.attachment.effective.values() if not weight.requires_grad]
        in_8_bits = self.model.execution.use_8bit_adam
        self.optimizer = adamw(self.attachment.trainable, personalizer.learning_rate, in_8_bits)
        self.start = protected.copy() if restart_every > 1 else protected  # th of the last look-ahead

    def state(self) -> State:
        """What one look-ahead leaves to the next: nothing where each starts anew."""
        if self.restart_every == 1:
            return {}
        return {
            "attack": self.attachment.tensors(),
            "attack_optimizer": moments(self.optimizer),
            "attack_start": self.start.weights(),
        }

    def gather(
        self, material: Material, protection_loss: ProtectionLoss, seed: int, number: int = 0
    ) -> Simulation:
        """Adds the protection gradients of look-ahead `number`, from 0, to the protected weights' `.grad`."""
        self.follow(number)
        place = f"look-ahead {number + 1}"
        personalization, protection = 0.0, 0.0
        summed = {} if self.apart else taken(self.protected.weights())
        for step in range(self.steps):
            loss = self.personalizer.loss(self.model, material, generator(seed, "attack", step))
            personalization += finite(loss, f"the simulated attack of {place}", step + 1) / self.steps
            self._descend(loss)
            if self.leak:
                for name, own in taken(self.attachment.effective).items():
                    summed[name] = summed[name] + own if name in summed else own
            self._clear()
            draws, name = generator(seed, "protection", step), f"the protection in {place}"
            protection += self._protect(protection_loss, draws, summed, name, step + 1) / self.steps
        self._hand_over(summed)
        return Simulation(personalization, protection)

    def follow(self, number: int) -> None:
        """Puts the simulated attack where look-ahead `number` begins."""
        now = self.protected.weights()
        if number % self.restart_every == 0:
            self.restart()
            with torch.no_grad():
                for name, weight in self.attachment.effective.items():
                    weight.copy_(now[name])
            reset(self.optimizer)
        else:
            before = self.start.weights()
            with torch.no_grad():
                for name, weight in self.attachment.effective.items():
                    weight += (now[name] - before[name]).to(weight.device)
        if self.start is not self.protected:
            self.start.load_weights_from(self.protected)

    def _descend(self, loss: Scalar) -> None:
        """A step of the simulated attack. Several processes need all gradients at a time, to average them."""
        if self.apart and not self.leak and count() == 1:
            with moving_in_backward(self.optimizer):
                loss.backward()
        else:
            loss.backward()
            average(self.attachment.trainable)
            self.optimizer.step()

    def _protect(
        self, protection_loss: ProtectionLoss, draws: torch.Generator, summed: Gradients, name: str, step: int
    ) -> float:
        """Adds the protection gradient at the looked-ahead weights to `summed`; returns the loss.

        The backward pass itself adds it, for `summed` is what these weights hold as their gradients. Those
        that the attack leaves alone ask for one here only: it costs the attack nothing.
        """
        for weight in self.idle:
            weight.requires_grad_(True)
        penalty = protection_loss(self.model, draws)
        value = finite(penalty, name, step)
        for name, weight in self.attachment.effective.items():
            weight.grad = summed.pop(name, None)
        penalty.backward()
        summed.update(taken(self.attachment.effective))
        self._clear()
        for weight in self.idle:
            weight.requires_grad_(False)
        return value

    def _clear(self) -> None:
        """No gradient is left, neither in the network nor in what is trained beside it."""
        self.model.network.zero_grad()
        self.optimizer.zero_grad()

    def _hand_over(self, summed: Gradients) -> None:
        """To the protected weights; all in one place, `summed` began as what they had."""
        mine = self.protected.weights()
        if self.apart:
            add_gradients(mine, summed)
        else:
            for name, gradient in summed.items():
                mine[name].grad = gradient


def taken(weights: Mapping[str, Tensor]) -> Gradients:
    """The gradients that there are, which `weights` hold no more."""
    found = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
    for name in found:
        weights[name].grad = None
    return found


def add_gradients(weights: Mapping[str, Tensor], more: Gradients) -> None:
    """Adds `more` to the gradients of `weights`, which may rest on another device."""
    for name, gradient in more.items():
        weight = weights[name]
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
        weight.grad += gradient.to(weight.device)


def back_to_now(parameters: Iterable[nn.Parameter]) -> Callable[[], None]:
    """A call that puts `parameters` back to what they are now."""
    begun = [(parameter, parameter.detach().clone()) for parameter in parameters]

    def restart() -> None:
        with torch.no_grad():
            for parameter, value in begun:
                parameter.copy_(value)

    return restart
