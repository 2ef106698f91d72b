"""How a case becomes a network input, and what that costs. `Recipe` alone comes with the package: it starts fast."""

from kits_core.recipe.recipe import Recipe

__all__ = ["Recipe"]
