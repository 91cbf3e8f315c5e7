"""A kernel of Colab's has loaded its own package before the first cell runs."""

import google.colab  # noqa: F401
