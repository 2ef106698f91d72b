"""How a case becomes a network input, and what that costs. The package imports only `Recipe`, to start fast."""

from kits_core.recipe.recipe import Recipe

__all__ = ["Recipe"]
