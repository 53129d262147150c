"""Widgets for JupyterLab: a plain, tested library behind each, a page of JavaScript in front, no network."""
