"""What the rest of the house asks of the catalog, by name. Every function takes the session first."""
