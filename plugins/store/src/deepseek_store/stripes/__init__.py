"""Stripes: sealed segments and their parities, spread over failure domains."""

from deepseek_store.stripes.discover import Discovery, Stray
from deepseek_store.stripes.identity import FragmentFault
from deepseek_store.stripes.layout import Place, guaranteed_losses, place, survived_losses
from deepseek_store.stripes.stripe import FragmentPlace, Stripe
from deepseek_store.stripes.stripe_io import StripeIO, superseded

__all__ = [
    "Discovery",
    "FragmentFault",
    "FragmentPlace",
    "Place",
    "Stray",
    "Stripe",
    "StripeIO",
    "guaranteed_losses",
    "place",
    "superseded",
    "survived_losses",
]
