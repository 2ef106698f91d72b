"""The reference of the documentation, made from the code: `pages` gives each page's Markdown by its path."""

from deployments.reference.commands import commands_page
from deployments.reference.messages import messages_page
from deployments.reference.metrics import metrics_page
from deployments.reference.python_api import python_page
from deployments.reference.settings import deployments_page, environment_page, settings_page

__all__ = ["pages"]


def pages() -> dict[str, str]:
    """Markdown of every generated page, by its path in the site. The same code gives the same text."""
    return {
        "reference/commands.md": commands_page(),
        "reference/settings.md": settings_page(),
        "reference/environment.md": environment_page(),
        "reference/deployments.md": deployments_page(),
        "reference/metrics.md": metrics_page(),
        "reference/python.md": python_page(),
        "reference/messages.md": messages_page(),
    }
