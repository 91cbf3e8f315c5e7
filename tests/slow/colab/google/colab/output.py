"""The part that widgets with a browser half of their own ask for."""

from types import SimpleNamespace

_widgets = SimpleNamespace(_installed_url=None)  # the name that anywidget reads


def enable_custom_widget_manager() -> None:
    """Note that a page is asked to load such widgets."""
    _widgets._installed_url = "https://localhost/manager.js"
