"""Stripes: sealed segments and their parities, spread over failure domains."""

from deepseek_store.stripes.discover import Discovery, Stray
from deepseek_store.stripes.identity import FragmentFault
from deepseek_store.stripes.layout import Place, place
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
    "place",
    "superseded",
]
