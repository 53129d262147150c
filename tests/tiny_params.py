"""Parameters of the tiny notebooks; copied beside them, since their kernels import it too."""

from typing import Annotated

from pydantic import Field

from kt_lib.params import AllowRemote, ModelName, NotebookParams, Sources


class FirstParams(NotebookParams):
    """01_first."""

    count: Annotated[int, Field(ge=0, le=10_000)]
    """Numbers to write."""
    source: Sources
    """Files that count as input."""
    pause: Annotated[float, Field(ge=0)]
    """Seconds between two rows."""


class SecondParams(NotebookParams):
    """02_second."""

    factor: Annotated[float, Field(gt=0, le=100)]
    """What to multiply by."""
    model: ModelName
    """A model."""
    allow_remote: AllowRemote
    """A permission."""


class ThirdParams(NotebookParams):
    """03_third."""

    title: str
    """Title."""


MODELS = {"01_first": FirstParams, "02_second": SecondParams, "03_third": ThirdParams}
