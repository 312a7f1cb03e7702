"""Rooms in their own order: labels come in spells, and rooms differ by more than their sensors."""

import numpy as np

from protoledger.emulator.sources.dealing import DealPlan
from protoledger.emulator.sources.house import CHANNELS, HouseSource
from protoledger.experiments.collaboration import Gateway
from protoledger.gateway.training.model import SiteModel

ROOMS, ROUNDS = 3, 200
LOW, HIGH = (np.array([getattr(each, end) for each in CHANNELS]) for end in ("low", "high"))


def lived_in(dealt):
    """Let each room's gateway learn what its agents agree on, and tell the others its commits."""
    gateways = [Gateway(f"room-{room}", SiteModel(len(CHANNELS), 2)) for room in range(ROOMS)]

    def commit(gateway, wanted):
        if wanted is not None and gateway.commit(wanted):
            for other in gateways:
                if other is not gateway:
                    other.model.union.set(gateway.name, gateway.book)

    for window in range(ROUNDS):
        for gateway, site in zip(gateways, dealt.sites, strict=True):
            x = (np.nanmean(site.observed[:, window], axis=0) - LOW) / (HIGH - LOW)
            votes = site.votes[:, window]
            gateway.model.step(x, int(np.bincount(votes[votes >= 0], minlength=2).argmax()))
            commit(gateway, gateway.model.candidate())
    for gateway in gateways:
        commit(gateway, gateway.model.leftover())
    return [gateway.model for gateway in gateways]


def test_rooms_lose_nothing_by_sharing_and_learn_what_others_know():
    """Their warmth and damp differ by habits: owners shifted by that cost a point."""
    here, alone, anywhere, alone_anywhere = [], [], [], []
    for seed in range(8):
        plan = DealPlan(sites=ROOMS, agents=6, rounds=ROUNDS, batch=1, seed=seed, noise=0.01)
        dealt = HouseSource().deal(plan)
        rows, labels = (dealt.holdout_values - LOW) / (HIGH - LOW), dealt.holdout_labels
        for room, model in enumerate(lived_in(dealt)):
            model.settle()
            answers = [model.answer(x) for x in rows]
            mine = dealt.held_out_at(room)
            right = np.array([[a.label, a.alone, a.anywhere] for a in answers]) == labels[:, None]
            here.append(right[mine, 0].mean())
            alone.append(right[mine, 1].mean())
            anywhere.append(right[:, 2].mean())
            alone_anywhere.append(right[:, 1].mean())
    assert np.mean(here) > np.mean(alone) - 0.003
    assert np.mean(anywhere) > np.mean(alone_anywhere) + 0.03
