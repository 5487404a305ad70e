"""One expert after the other: how often a picture is restored by a model of experts, by whom, and when to stop.

What one expert leaves, another goes on with. None is asked twice, and after the first none for what the diagnosis has
not found in the picture as it came: a restored one may look blurred or hazy to a gate, which knows degraded ones. What
each makes of the tones is checked before it counts.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from pellucid.degradations import KINDS, GaussianNoise
from pellucid.diagnosis import UNLIKELY, shows_nothing
from pellucid.errors import SettingsError
from pellucid.guidance import Guidance
from pellucid.images.noise import noise_sigma
from pellucid.models.header import Policy
from pellucid.networks import Experts
from pellucid.refinement import Boosted
from pellucid.restoration.decision import (
    LOW_LIGHT,
    PERHAPS,
    PRESENT,
    Action,
    Chooser,
    Chosen,
    Decision,
    Found,
    Left,
    Wish,
)
from pellucid.restoration.options import RestoreOptions
from pellucid.restoration.tones import (
    mean_luminance,
    room_for_noise,
    shift_by_clipped_noise,
    strength_for_luminance,
    strength_without_halo,
)
from pellucid.scratch import excerpt, mapped

__all__ = ["NOTHING_WRONG", "Passes", "is_diagnosing", "left_alone", "wish_of"]

NOTHING_WRONG = "most surely nothing is wrong"


@runtime_checkable
class Diagnosing(Protocol):
    """A prior that also says which kinds of degradations it sees."""

    def conclusions(self, view: Tensor) -> Mapping[str, tuple[float, float]]:
        """Of every kind the probability that a photograph has it, 0 to 1, and its severity, 0 to 100, by its view."""
        ...


@runtime_checkable
class Certain(Protocol):
    """An expert that can say of a whole picture how sure it is to be the right one."""

    def certainty(self, image: Tensor) -> float:
        """0 to 1, for (1, 3, H, W) in [0, 1]."""
        ...


def is_diagnosing(model: nn.Module) -> bool:
    """Whether a model consists of experts, and of a prior that says which kinds of degradations it sees."""
    return isinstance(model, Boosted) and isinstance(model.network, Experts) and isinstance(model.prior, Diagnosing)


class Passes:
    """The passes over one picture. A model without experts that a diagnosis guides has one.

    Args:
        model: what restores.
        name: of the model.
        policy: of the model.
        most: passes at most.
        wish: what people want beyond that.
        always: whether also what most surely has nothing wrong is restored.
        strength: 0 to 1, of the whole restoration; for the record.
        may_leave: whether a picture may be left alone as a whole because nothing is wrong with it, as the policy says.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        name: str = "",
        policy: Policy,
        most: int = 1,
        wish: Wish,
        always: bool = False,
        strength: float = 1.0,
        may_leave: bool = True,
    ) -> None:
        self._experts: Experts | None = None
        if isinstance(model, Boosted) and isinstance(model.network, Experts) and isinstance(model.prior, Diagnosing):
            self._experts, self._prior = model.network, model.prior
        self._name, self._policy, self._wish, self._strength = name, policy, wish, strength
        self._least = 0.0 if always else PERHAPS
        self._may_leave = may_leave and policy.leave_alone and not always and not wish
        # Who names kinds wants all of them restored.
        self._most = max(most, len(wish.only))
        self._count = 0
        self._asked: list[int] = []
        self._chooser: Chooser | None = None
        self._chosen = Chosen(None)
        self._found: tuple[Found, ...] = ()
        self._done: list[Action] = []
        self._left: tuple[Left, ...] = ()
        self._luminance = 0.0
        self._sure: Mapping[str, float] = {}
        self._certainties: dict[int, float] = {}

    @property
    def choosing(self) -> bool:
        """Whether there are experts to choose from."""
        return self._experts is not None

    def begins(self, shown: Tensor, guidance: Guidance) -> Guidance | None:
        """What the network is told in the next pass over a picture; None where there is to be none. The first always
        is, unless experts leave the picture alone.

        Args:
            shown: what is visible of the picture as it is now, (1, 3, H, W) in [0, 1].
            guidance: what is known of it; of a model of experts, the prior's vector and view.
        """
        if self._experts is None:
            return guidance
        assert guidance.vector is not None
        assert guidance.view is not None
        conclusions = self._prior.conclusions(guidance.view)
        plain = shows_nothing(shown)
        if plain:
            conclusions = {kind: (said if kind == "noise" else (0.0, said[1])) for kind, said in conclusions.items()}
        trust = self._experts.trust(guidance.vector)[0].tolist()
        probabilities = {kind: probability for kind, (probability, _) in conclusions.items()}
        if self._chooser is None:
            self._luminance = mean_luminance(shown)
            witnessed = {} if plain else self._witnessed(conclusions, trust, shown)
            probabilities |= {kind: found.probability for kind, found in witnessed.items()}
            found = [
                witnessed.get(kind, Found(kind, *said))
                for kind, said in conclusions.items()
                if probabilities[kind] > PRESENT
            ]
            self._found = tuple(sorted(found, key=lambda one: -one.severity))
            drawn = self._is_drawn(probabilities, shown)
            self._chooser = Chooser(self._experts, self._policy, self._wish, probabilities, self._least, drawn)
            if self._may_leave and all(probability < UNLIKELY for probability in probabilities.values()):
                self._left = (Left("", NOTHING_WRONG),)
                return None
            self._sure = probabilities
            self._chosen = self._chooser.first(trust)
        else:
            doubtful = [number for number in self._certainties if self._doubts(number)]
            self._sure = self._chooser.surer(probabilities)
            self._chosen = self._chooser.next(trust, [*self._asked, *doubtful], probabilities)
        if not self._wish.only and self._least:
            self._chosen = self._convinced(self._chosen, shown) or self._without_doubtful(self._chosen, trust, shown)
        weights = self._chosen.weights
        if weights is None:
            return None
        self._asked += [max(range(len(weights)), key=weights.__getitem__)]
        own = dict(guidance.own) | {"weights": torch.tensor([weights], device=guidance.vector.device)}
        return guidance.knowing(own=own)

    @property
    def refines(self) -> bool:
        """Whether R goes over the result of the pass that has begun: where what its first expert is asked for is among
        what the policy says."""
        refined = self._policy.refined
        return self._experts is None or refined is None or bool(set(refined) & set(self._kinds_of(self._asked[-1])))

    def accepted(self, before: Tensor, after: Tensor, visible: tuple[slice, slice]) -> Tensor:
        """What counts of the result of a pass: the whole, or less of it where the gate was unsure or its tones are
        wrong.

        Args:
            before: what it was made from, (1, 3, H, W) in [0, 1].
            after: the result.
            visible: the rows and columns whose tones count.
        """
        self._count += 1
        if self._experts is None:
            return after
        assert self._chosen.weights is not None
        ends = before[..., *visible], after[..., *visible]
        strength, why = self._chosen.strength, ""
        if not self._acts_for(self._policy.tones):
            most = strength_for_luminance(*ends, self._luminance, self._policy.tone_shift)
            if most < 1:
                self._luminance -= shift_by_clipped_noise(*ends)
                room = room_for_noise(*ends) if "noise" in self._kinds_of(self._asked[-1]) else 0.0
                most = strength_for_luminance(*ends, self._luminance, self._policy.tone_shift + room)
            if most < strength:
                strength, why = most, "more would change the tones"
        elif self._acts_for(self._policy.monotone):
            halo = strength_without_halo(*ends)
            if halo < 1:
                strength, why = strength * halo, "more would leave halos"
        asked = self._wish.part(self._kinds_of(self._asked[-1]))
        if asked < 1:
            strength, why = strength * asked, why or "as much as is asked for"
        self._note(strength, why)
        if strength < 1:
            after = mapped(lambda one, other: torch.lerp(one, other, strength), before, after)
        if self._acts_for(self._policy.tones):
            self._luminance = mean_luminance(after[..., *visible])
        return after

    def ended(self) -> bool:
        """Whether a pass was the last, whatever the result looks like."""
        if self._experts is None or self._count == self._most:
            return True
        kinds = self._wish.only or tuple(found.kind for found in self._found)
        others = (
            other for other in range(len(self._experts.kinds)) if other not in self._asked and not self._doubts(other)
        )
        return not any(self._experts.is_for(other, kinds) for other in others)

    def note_plan(self) -> None:
        """Writes down what the pass that has begun would do, without its being done."""
        if self._experts is not None and self._chosen.weights is not None:
            self._note(self._chosen.strength, "")

    @property
    def decision(self) -> Decision:
        """What was found, done and left alone so far."""
        if self._experts is None:
            return Decision(self._name)
        left = self._left
        if not left:
            covered = [
                found.kind
                for found in self._found
                if any(
                    self._experts.is_for(expert, (found.kind,)) for action in self._done for expert in action.experts
                )
            ]
            left = tuple(
                Left(found.kind, self._reason(found.kind)) for found in self._found if found.kind not in covered
            )
        if not left and not self._done and self._chooser is not None:
            left = (Left("", "nothing is found that would be worth it"),)
        return Decision(self._name, self._found, tuple(self._done), left, unchanged=not self._done)

    def _reason(self, kind: str) -> str:
        if kind in self._wish.skip:
            return "it is to be skipped"
        if self._wish.only:
            return f"only {', '.join(self._wish.only)} is to be restored"
        reason = self._chosen.left.get(kind, "the gate asks for nothing that is for it")
        if self._experts is not None and any(
            self._doubts(expert) and self._experts.is_for(expert, (kind,)) for expert in self._certainties
        ):
            reason = "its parts do not agree on it, as where a scene is soft by itself"
        return f"{reason}; --only {kind} restores it"

    def _witnessed(
        self, conclusions: Mapping[str, tuple[float, float]], trust: Sequence[float], shown: Tensor
    ) -> dict[str, Found]:
        """What the diagnosis overlooks although the gate believes it, where a third who measures it says so too."""
        assert self._experts is not None
        found: dict[str, Found] = {}
        believed = max(share for number, share in enumerate(trust) if self._experts.is_for(number, ("noise",)))
        least = [
            level
            for kind, (level, share) in self._policy.measured_noise.items()
            if believed >= share and (kind == "any" or conclusions.get(kind, (0.0, 0.0))[0] > PRESENT)
        ]
        if least and conclusions["noise"][0] <= PRESENT:
            sigma = float(noise_sigma(excerpt(shown)))
            if sigma >= min(least):
                found["noise"] = Found(
                    "noise", believed, GaussianNoise(sigma).severity, f"measured, of sigma {sigma:.0f}"
                )
        top = max(range(len(trust)), key=trust.__getitem__)
        if trust[top] < PRESENT or not self._policy.mistaken or not isinstance(self._experts.experts[top], Certain):
            return found
        own = {kind: said for kind, said in conclusions.items() if self._experts.is_for(top, (kind,))}
        perhaps = [conclusions[kind][0] for kind in self._policy.mistaken if kind in conclusions]
        if (
            max(said[0] for said in own.values()) <= PRESENT
            and max(*(said[0] for said in own.values()), *perhaps) >= UNLIKELY
        ):
            certainty = self._certainty(top, shown)
            if not self._doubts(top):
                likeliest = max(own, key=lambda kind: own[kind][0])
                found[likeliest] = Found(likeliest, certainty, own[likeliest][1], "its parts agree on it")
        return found

    def _is_drawn(self, probabilities: Mapping[str, float], shown: Tensor) -> bool:
        """Whether a dark picture shows nothing that a sensor adds."""
        least, stored = self._policy.drawn
        if probabilities.get(LOW_LIGHT, 0.0) <= PRESENT or probabilities.get("jpeg", 0.0) >= stored:
            return False
        return float(noise_sigma(excerpt(shown))) < least

    def _convinced(self, chosen: Chosen, shown: Tensor) -> Chosen | None:
        """The expert that is sure of itself beneath what hides what it is for, alone and whole; if any.

        There the gate may ask for another that is for what hides it, or be in doubt.
        """
        if chosen.weights is None:
            return None
        assert self._experts is not None
        assert self._chooser is not None
        top = max(range(len(chosen.weights)), key=chosen.weights.__getitem__)
        probabilities = self._chooser.probabilities
        hidden = any(probabilities.get(kind, 0.0) > PRESENT for kind in self._policy.hiding)
        hides = self._experts.is_for(top, self._policy.hiding) and top not in self._asked
        for number, share in enumerate(chosen.weights):
            doubted = number == top and hidden and share * chosen.strength < 1
            if number in self._asked or not (doubted or (hides and number != top)):
                continue
            found = any(
                probabilities[kind] > PRESENT and kind not in self._wish.skip and self._experts.is_for(number, (kind,))
                for kind in probabilities
            )
            if not found or not isinstance(self._experts.experts[number], Certain):
                continue
            if self._certainty(number, shown) >= self._policy.convinced:
                return Chosen(tuple(float(other == number) for other in range(len(chosen.weights))))
        return None

    def _without_doubtful(self, chosen: Chosen, trust: Sequence[float], shown: Tensor) -> Chosen:
        """Who is asked, without experts that are not sure themselves that the picture has what they are for."""
        if chosen.weights is None:
            return chosen
        assert self._experts is not None
        assert self._chooser is not None
        weights = list(chosen.weights)
        for number, share in enumerate(weights):
            if not share or not isinstance(self._experts.experts[number], Certain):
                continue
            kinds = (kind for kind in self._chooser.probabilities if self._experts.is_for(number, (kind,)))
            probability = max((self._chooser.probabilities[kind] for kind in kinds), default=0.0)
            if probability >= self._policy.unasked[0] and trust[number] >= self._policy.unasked[1]:
                continue
            self._certainty(number, shown)
            if self._doubts(number):
                weights[number] = 0.0
        if weights == list(chosen.weights):
            return chosen
        kept = sum(weights)
        if not any(share and self._experts.is_for(number, KINDS) for number, share in enumerate(weights)):
            return Chosen(None, 0.0, chosen.left)
        return Chosen(tuple(share / kept for share in weights), chosen.strength * kept, chosen.left)

    def _certainty(self, expert: int, shown: Tensor) -> float:
        """How sure an expert is that a picture has what it is for; it is asked once, of the picture as it came."""
        assert self._experts is not None
        network = self._experts.experts[expert]
        if expert not in self._certainties:
            self._certainties[expert] = network.certainty(shown) if isinstance(network, Certain) else 1.0
        return self._certainties[expert]

    def _doubts(self, expert: int) -> bool:
        return self._certainties.get(expert, 1.0) < self._policy.certainty

    def _acts_for(self, kinds: Collection[str]) -> bool:
        """Whether the first expert of the pass is for any of these kinds that is sure to be there, or is wanted."""
        assert self._experts is not None
        assert self._chooser is not None
        expert, tones = self._asked[-1], self._policy.tones
        sure = self._wish.only or [
            kind for kind, found in self._sure.items() if kind in tones and found >= tones[kind][0]
        ]
        return any(kind in sure and self._experts.is_for(expert, (kind,)) for kind in kinds)

    def _kinds_of(self, expert: int) -> tuple[str, ...]:
        """What an expert is asked for."""
        assert self._experts is not None
        own = [kind for kind in KINDS if self._experts.is_for(expert, (kind,))]
        wanted = self._wish.only or tuple(found.kind for found in self._found)
        return tuple(kind for kind in own if kind in wanted) or tuple(own)

    def _note(self, strength: float, why: str) -> None:
        """Writes a pass down, without the part of the experts that are for nothing."""
        assert self._experts is not None
        assert self._chosen.weights is not None
        parts = [
            (number, share)
            for number, share in enumerate(self._chosen.weights)
            if share and self._experts.is_for(number, KINDS)
        ]
        parts.sort(key=lambda part: -part[1])
        whole = sum(share for _, share in parts)
        if strength * whole == 0:
            return
        self._done.append(
            Action(
                tuple(number for number, _ in parts),
                tuple(self._kinds_of(number) for number, _ in parts),
                tuple(round(share / whole, 4) for _, share in parts),
                round(strength * whole * self._strength, 4),
                why,
            )
        )


def wish_of(options: RestoreOptions, model: nn.Module) -> Wish:
    """What people want of a model.

    Raises:
        SettingsError: a kind that there is not, or a model that cannot choose.
    """
    wish = Wish(options.only, options.skip, options.amount)
    if (wish or wish.amount) and not is_diagnosing(model):
        which = "kinds in a text" if options.text is not None else "only and skip" if wish else "amounts of kinds"
        raise SettingsError(f"{which} are for models of experts that diagnose, such as default; this one is not")
    return wish


def left_alone(name: str, why: str) -> Decision:
    """The record of a picture that is left alone as a whole."""
    return Decision(name, left=(Left("", why),), unchanged=True)
