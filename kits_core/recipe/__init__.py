"""How a case becomes a network input, and what that costs."""

from kits_core.recipe.ceiling import ceilings
from kits_core.recipe.prepare import PreparedCase, prepare_case
from kits_core.recipe.recipe import Recipe

__all__ = ["PreparedCase", "Recipe", "ceilings", "prepare_case"]
