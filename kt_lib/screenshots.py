"""Pictures of pages by a Chromium that is on this machine, for a README or a mail."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from kt_lib.errors import MissingPackage, SetupError

WIDTH, HEIGHT = 1200, 1180
"""Size of a picture in pixels: the verdict and the paired matrices."""
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --hide-scrollbars"
).split()


def picture_of(page: Path, to: Path, *, dark: bool = False) -> Path:
    """A PNG of the top of a page, as light or dark themes show it; returns its path.

    MissingPackage where there is no Chromium, SetupError where it draws nothing.
    """
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise MissingPackage("a picture needs Chromium: apt-get install chromium")
    theme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    with tempfile.TemporaryDirectory() as profile:
        told = subprocess.run(
            [
                browser,
                *_FLAGS,
                *theme,
                f"--user-data-dir={profile}",
                f"--window-size={WIDTH},{HEIGHT}",
                f"--screenshot={to.absolute()}",
                page.absolute().as_uri(),
            ],
            capture_output=True,
            timeout=120,
            check=False,
        )
    if told.returncode or not to.is_file():
        raise SetupError(f"{browser} made no picture of {page}: {told.stderr.decode('utf-8', 'replace')[-300:]}")
    return to
