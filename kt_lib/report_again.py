"""The newest run's report once more, for another audience: from what its steps wrote, without running any."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

from kt_lib.artifacts import write_whole
from kt_lib.audience import Audience, for_audience
from kt_lib.by_hand import context_by_hand
from kt_lib.errors import ArtifactError, ParameterError
from kt_lib.history import newest_finished, step_of
from kt_lib.params import ReportParams
from kt_lib.report import report_text
from kt_lib.report_data import gather
from kt_lib.report_markdown import report_markdown
from kt_lib.report_page import published, report_html
from kt_lib.runs import Step

NOTEBOOK = "14_report"


def report_for(root: Path, state: Path, audience: str, form: str = "html") -> Path:
    """Write `outputs/report-<audience>.<form>` (html, md or json) and return its path.

    ParameterError for an audience that is none, ArtifactError where no run has finished.
    """
    if audience not in get_args(Audience):
        raise ParameterError(f"--audience {audience!r}: it is {', '.join(get_args(Audience))}")
    runs = root / "outputs" / "runs"
    run = newest_finished(runs)
    if run is None:
        raise ArtifactError("no run has finished: `kt run` makes one")
    place = next((one for one in run.steps if one.notebook == NOTEBOOK), None)
    record = step_of(runs, place) if place else None
    title = str(record.parameters.get("title", "Report")) if record else "Report"
    who = cast(Audience, audience)
    step = Step(context_by_hand(NOTEBOOK, root, state), ReportParams(title=title, audience=who))
    data = for_audience(gather(step), who)
    write = {"html": report_html, "md": report_markdown, "json": report_text}[form]
    path = root / "outputs" / f"report-{audience}.{form}"
    write_whole(path, published(write(data).encode()))
    return path
