"""Every error that kt raises on purpose. A message says what is wrong, where, and what to do.

KtError
├── SetupError          (ValueError)    the set-up is wrong: exit code 2, before any kernel starts
│   ├── ParameterError                  a parameter is unknown, missing or out of bounds
│   ├── RunbookError                    the runbook names what does not exist, or runs in a circle
│   └── MissingPackage  (ImportError)   an optional package is needed here: says how to install it
├── WorkspaceBusy       (RuntimeError)  another process holds the workspace: says who
├── StepFailed          (RuntimeError)  a notebook failed: step, cell, cause, page, how to go on
├── Interrupted         (RuntimeError)  somebody ended `kt run`: says where, and how to go on; exit code 130
├── StaleLabel          (RuntimeError)  another tab labelled this since: look, then do it again
├── ArtifactError       (ValueError)    an artifact is missing, cut off or of another type
├── SourceError         (ValueError)    a whole input file cannot be read (one bad row is set aside instead)
├── LeakageError        (ValueError)    an evaluation task is too near to something trained on
├── ModelError          (RuntimeError)  a model or its server failed, in the server's own words
│   ├── ModelNotFound   (LookupError)
│   ├── ToolsNotSupported
│   ├── ModelTimeout    (TimeoutError)
│   ├── ServerFault                     429, 5xx, a broken stream: worth another try
│   └── NoLocalWeights                  training was asked of a model that is only served
├── ConsentRequired     (PermissionError)  something would leave this machine without consent
└── GateRefused         (ValueError)    a version may not be promoted: says which guard and why
"""


class KtError(Exception):
    """Anything kt says no to on purpose; `kt` prints it as one line."""

    exit_code = 1


class SetupError(KtError, ValueError):
    exit_code = 2


class ParameterError(SetupError):
    pass


class RunbookError(SetupError):
    pass


class MissingPackage(SetupError, ImportError):
    pass


class WorkspaceBusy(KtError, RuntimeError):
    pass


class StepFailed(KtError, RuntimeError):
    pass


class Interrupted(KtError, RuntimeError):
    exit_code = 130


class StaleLabel(KtError, RuntimeError):
    pass


class ArtifactError(KtError, ValueError):
    pass


class SourceError(KtError, ValueError):
    pass


class LeakageError(KtError, ValueError):
    pass


class ModelError(KtError, RuntimeError):
    pass


class ModelNotFound(ModelError, LookupError):
    pass


class ToolsNotSupported(ModelError):
    pass


class ModelTimeout(ModelError, TimeoutError):
    pass


class ServerFault(ModelError):
    pass


class NoLocalWeights(ModelError):
    pass


class ConsentRequired(KtError, PermissionError):
    pass


class GateRefused(KtError, ValueError):
    pass
