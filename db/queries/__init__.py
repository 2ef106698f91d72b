"""The queries that the other packages use. Every function takes the session first."""
