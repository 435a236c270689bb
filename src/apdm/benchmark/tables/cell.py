"""A cell of a table, fully resolved, and the pieces of work that it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from apdm.backbones.base import Sampling
from apdm.benchmark.store import plain
from apdm.benchmark.tables.methods import Chosen
from apdm.benchmark.tables.outcome import EVALUATION
from apdm.benchmark.tables.subjects import Source
from apdm.benchmark.tables.works import About, Work, digest
from apdm.prompts import IDENTIFIER, class_prompt, fill, instance_prompt, subject_phrase
from apdm.subject import SetName


@dataclass(frozen=True)
class Cell:
    """One attack on one subject and its measurement. Model and judge are loaded by name; what tells their
    weights from others of that name stands beside it."""

    model: str
    weights: str
    subject: Source
    photos: SetName
    count: int
    clean: int
    cloak: Chosen | None
    purifier: Chosen | None
    protector: Chosen | None
    protected_for: Source
    personalizer: Chosen | None
    identifier: str
    class_noun: str
    templates: tuple[str, ...]
    images_per_prompt: int
    class_images: int
    sampling: Sampling
    judge: str
    judge_weights: str
    seed: int
    """Of the attack's draws."""
    setup_seed: int
    """Of class images, cloak, purification, protection and samples."""

    @property
    def instance_prompt(self) -> str:
        """The attacker's."""
        return instance_prompt(self.identifier, self.class_noun)

    @property
    def class_prompt(self) -> str:
        return class_prompt(self.class_noun)

    @property
    def prompts(self) -> tuple[str, ...]:
        """What the attacked model is asked for, each as often as wanted."""
        filled = fill(self.templates, subject_phrase(self.identifier, self.class_noun))
        return tuple(prompt for prompt in filled for _ in range(self.images_per_prompt))

    @property
    def control(self) -> Cell:
        """The same attack with clean photos on the unprotected model."""
        return replace(
            self, clean=self.count, cloak=None, purifier=None, protector=None, protected_for=self.subject
        )

    @property
    def owner(self) -> Source | None:
        """For whom the model is protected, where that is another than who is attacked."""
        return self.protected_for if self.protector and self.protected_for != self.subject else None

    @property
    def config(self) -> dict[str, object]:
        """All that the cell is, as JSON has it; no place where anything lies."""
        kept: dict[str, object] = {name: plain(value) for name, value in vars(self).items()}
        return kept | {"subject": self.subject.name, "protected_for": self.protected_for.name}

    @property
    def digest(self) -> str:
        """Of all that its figures and its sheet depend on."""
        made = self.attack.about, self.control.attack.about, self.own_photos.about
        compared = [who.key_of("held_out") for who in (self.subject, self.owner) if who]
        return digest(EVALUATION, *made, self.judge_weights, *compared)

    # Works, by what each depends on.

    @property
    def own_photos(self) -> Work:
        """The attacker's photos before anything was done to them."""
        photos = self.subject.key_of(self.photos, self.count)
        return Work("photos", "", {"photos": photos, "side of": self.weights})

    @property
    def other_photos(self) -> SetName:
        """The set that surrogates learn from: photos of the subject that the attacker does not have."""
        return "attack" if self.photos == "protect" else "protect"

    @property
    def cloaked(self) -> Work | None:
        """All of the attacker's photos, cloaked on the unprotected model by the owner."""
        if self.cloak is None or self.clean == self.count:
            return None
        noun = self.subject.class_noun
        about = {
            "model": self.weights,
            "photos": self.own_photos.about,
            "instance prompt": instance_prompt(IDENTIFIER, noun),
            "cloak": plain(self.cloak),
            "seed": self.setup_seed,
        }
        if self.cloak.settings.learns:
            about["clean photos"] = self.subject.key_of(self.other_photos)
            about["class images"] = self.drawn(None, class_prompt(noun)).about
        return Work("cloak", self.cloak.name, about)

    @property
    def mixed(self) -> About:
        """What the attacker found: the first `clean` photos as they were, the rest cloaked."""
        if self.cloaked is None:
            return self.own_photos.about
        return {"cloaked": self.cloaked.about, "clean": self.clean}

    @property
    def purified(self) -> Work | None:
        if self.purifier is None:
            return None
        about = {"of": self.mixed, "purifier": plain(self.purifier), "weights": self.weights}
        return Work("purify", self.purifier.name, about | {"seed": self.setup_seed})

    @property
    def trained_on(self) -> About:
        return self.purified.about if self.purified else self.mixed

    @property
    def protected(self) -> Work | None:
        """The protected model's weights."""
        if self.protector is None:
            return None
        who = self.protected_for
        about = {
            "photos": who.key_of("protect"),
            "instance prompt": instance_prompt(IDENTIFIER, who.class_noun),
            "class images": self.drawn(None, class_prompt(who.class_noun)).about,
            "protector": plain(self.protector),
            "seed": self.setup_seed,
        }
        return Work("protect", self.protector.name, about)

    def drawn(self, protected: Work | None, prompt: str) -> Work:
        """Class images by the protected model, or by the unprotected one."""
        about = {
            "model": protected.about if protected else self.weights,
            "prompt": prompt,
            "count": self.class_images,
            "sampling": drawn_by(self.sampling),
            "seed": self.setup_seed,
        }
        return Work("class-images", "", about)

    @property
    def prior(self) -> Work | None:
        """The class images that the attack learns from, if it does."""
        if self.personalizer is None or not self.personalizer.settings.uses_class_images:
            return None
        return self.drawn(self.protected, self.class_prompt)

    @property
    def attack(self) -> Work:
        """The pictures by the attacked model; without a personalizer by the model as it is."""
        asked = {
            "prompts": list(self.prompts),
            "sampling": drawn_by(self.sampling),
            "seed": self.setup_seed,
            "model": self.protected.about if self.protected else self.weights,
        }
        if self.personalizer is None:
            return Work("attack", "none", asked)
        learnt = {
            "personalizer": plain(self.personalizer),
            "trained on": self.trained_on,
            "instance prompt": self.instance_prompt,
            "class images": self.prior.about if self.prior else None,
            "attack seed": self.seed,
        }
        return Work("attack", self.personalizer.name, asked | learnt)

    @property
    def toys(self) -> tuple[Work, ...]:
        """The subjects' photos, where they are rendered."""
        needed = (self.subject, self.protected_for) if self.protector else (self.subject,)
        return tuple(subject_work(who) for who in needed)

    @property
    def works(self) -> tuple[Work, ...]:
        """All that it needs, each once, what others need first."""
        asked: list[Work | None] = [*self.toys, self.own_photos]
        if self.cloaked and self.cloak and self.personalizer:
            if self.cloak.settings.learns:
                asked.append(self.drawn(None, class_prompt(self.subject.class_noun)))
            asked.append(self.cloaked)
        if self.protected:
            asked += [self.drawn(None, class_prompt(self.protected_for.class_noun)), self.protected]
        for cell in (self.control, self):
            if cell.personalizer:
                asked += [cell.prior, cell.purified]
            asked.append(cell.attack)
        return tuple({work.digest: work for work in asked if work}.values())


def drawn_by(sampling: Sampling) -> About:
    """What pictures depend on, rounding apart: how many are drawn at a time is memory and speed."""
    told: dict[str, object] = plain(sampling)
    return {name: value for name, value in told.items() if name != "sample_batch_size"}


def subject_work(who: Source) -> Work:
    about: Mapping[str, object] = who.key
    return Work("subject", "", about)
