"""Audits that are run once for the same arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from circuitprobe.adapters.data.near_names import did_you_mean
from circuitprobe.errors import CircuitProbeError, UsageError
from circuitprobe.gate.asserting import Audited
from circuitprobe.gate.tracebacks import short

if TYPE_CHECKING:
    from circuitprobe.report import AuditReport

QUICK: dict[str, object] = {"levels": (2,), "twin": False}
"""What gates and assertions read; the other levels take longer and are run where a test asks for them."""


def remembering(audit: Callable[..., object], *, full_trace: bool = False) -> Callable[..., Audited]:
    """An audit function with a memory: the same arguments give the same audit, whether an option is given or its default stands.

    Files count by path, size and time of change, folders by those of all that is in them, objects by identity: a table or a
    model that a test changes after its audit is not audited again.

    Args:
        audit: ``cp.audit``.
        full_trace: leave errors as they are, with the frames of circuitprobe.
    """
    # the arguments are kept beside the audit: an identity is one only as long as its object lives
    known: dict[object, tuple[Audited, dict[str, object]]] = {}
    options_known = list(inspect.signature(audit).parameters)[2:]
    defaults = {name: inspect.signature(audit).parameters[name].default for name in options_known}

    def audited(model: object, data: object, **options: object) -> Audited:
        __tracebackhide__ = not full_trace
        for name in options:
            if name not in defaults:
                raise UsageError(
                    f"an audit has no option {name!r}",
                    expected=f"some of {', '.join(options_known)}",
                    fix=did_you_mean(name, options_known) or "leave it out",
                )
        given = {"model": model, "data": data, **defaults, **QUICK, **options}
        key = tuple(_key(value, folders=name in {"model", "data"}) for name, value in given.items())
        if key not in known:
            try:
                report = cast("AuditReport", audit(model, data, **{**QUICK, **options}))
            except CircuitProbeError as error:
                if full_trace:
                    raise
                raise short(error)  # noqa: B904 - the same error
            known[key] = Audited(report), given
        return known[key][0]

    return audited


def _key(given: object, *, folders: bool = False) -> object:
    """What two arguments must share to count as equal; ``folders`` where a text may be one, not a column's name."""
    if isinstance(given, str | Path):
        return _file_key(Path(given), folders=folders) or str(given)
    if given is None or isinstance(given, bool | int | float):
        return type(given).__name__, given
    if isinstance(given, tuple | list):
        return "several", *(_key(entry) for entry in given)
    if isinstance(given, dict):
        return "by name", *((_key(name), _key(value)) for name, value in given.items())
    return "object", id(given)


def _file_key(path: Path, *, folders: bool) -> object:
    """A file, or a folder with all that is in it; None where there is neither, as for the name of a benchmark."""
    try:
        if path.is_file():
            about = path.stat()
            return str(path.resolve()), about.st_size, about.st_mtime_ns
        if folders and path.is_dir():
            files = sorted(entry for entry in path.rglob("*") if entry.is_file())
            return str(path.resolve()), *(_file_key(entry, folders=False) for entry in files)
    except (OSError, ValueError):  # a text that can be no path
        return None
    return None
