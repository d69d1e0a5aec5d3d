"""The errors of the library: each message names what was wrong, where, and what is allowed.

The command line prints a `LemError` as one message and exits with a code above 0. Any other exception is a defect of
ours and keeps its traceback.
"""

from __future__ import annotations


class LemError(Exception):
    """An error a user can act on. The message alone must be enough to act."""


class UniverseError(LemError):
    """A universe file is wrong: unknown key or symbol, impossible horizon, unreadable file."""


class SourceError(LemError):
    """A source did not answer, or answered with something that is not a table of bars."""


class RowsError(SourceError):
    """Rows of the time asked for cannot be read; the source may answer for other times."""


class BarsError(LemError):
    """Bars or features break a rule; the message lists every broken rule with its rows."""


class LakeError(LemError):
    """The lake cannot be read or written, or an object is missing or corrupt."""


class RegistryError(LemError):
    """The model registry cannot be read or written, or holds no such model."""


class FencedError(LemError):
    """A step tried to overwrite the work of a later step that has replaced it."""


class TrainingError(LemError):
    """A training window is incomplete, or training did not give a usable model."""


class OrderError(LemError):
    """A parent order cannot be executed within its own limits."""


class UnknownOrderError(OrderError):
    """No order has this id."""


class OrderStateError(OrderError):
    """An order in its present state does not allow what is asked for."""


class AdviceError(LemError):
    """There is no advice: market data or a champion is missing, or too old to act on."""


class PaperError(LemError):
    """The paper venue cannot go on: a setting, its state, or the desk that it works for."""


class AlertError(LemError):
    """An alert or a heartbeat could not be sent, or its address is none."""


class ExportError(LemError):
    """A model cannot be exported, or what was exported does not do what the model does."""


class EvaluationError(LemError):
    """No statistics can be made of a table of results: rows are missing, or values are not finite."""


class SchemaError(LemError):
    """A table's schema and its description do not agree, or there is no such table."""


class LineageError(LemError):
    """There is no such stage, or a text is no key of a partition."""
