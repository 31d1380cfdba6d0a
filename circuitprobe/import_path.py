"""The current folder is on no import path of the command line: a ``torch.py`` that lies there would run in torch's place."""

import os
import sys


def leave_out_current_folder() -> None:
    """Take the current folder off ``sys.path`` where Python put it unasked: for ``python -m``, for an empty entry of PYTHONPATH.

    A current folder that PYTHONPATH names stays, as does one behind the standard library, where installed packages are. To be
    called before anything is imported that is not loaded yet; hence this file uses only what Python has loaded by itself.
    """
    try:
        here = os.getcwd()  # noqa: PTH109 - pathlib is not loaded yet
    except FileNotFoundError:
        # a folder that is gone holds no files
        here = ""
    named = {os.path.realpath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry}
    library = os.path.dirname(os.__file__)  # noqa: PTH120 - as above
    end = sys.path.index(library) if library in sys.path else len(sys.path)
    unasked = {""} if here in named else {"", here}
    sys.path[:] = [entry for place, entry in enumerate(sys.path) if entry not in unasked or (entry and place > end)]
