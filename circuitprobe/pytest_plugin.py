"""A pytest plugin: audits as a fixture, assertions with intervals, baselines.

Example::

    from circuitprobe import assert_no_regression

    def test_income_keeps_its_latent(circuitprobe_audit):
        audit = circuitprobe_audit("model.pt", "data.csv", target="label")
        audit.latent_for("income").specificity.at_least(0.3)
        assert_no_regression(audit, "baseline.json")

With annotations, for mypy::

    from collections.abc import Callable
    from circuitprobe import Audited

    def test_income_keeps_its_latent(circuitprobe_audit: Callable[..., Audited]) -> None: ...

``pytest --circuitprobe-update`` writes the baselines instead, and says at the end of the run what changed in them.
Under pytest-xdist each worker has its own audits and baselines: ``--dist loadfile`` keeps the tests of one file together.

Nothing but pytest is imported until a test asks for an audit. PYTEST_DONT_REWRITE: there is no assert in here.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from circuitprobe.gate.asserting import Audited

UPDATE = "--circuitprobe-update"
_CHANGES = pytest.StashKey[list[str]]()
_SENT = "circuitprobe_baselines"


class ByEntryPoint:
    """What the entry point names: it loads this module once, whether ``-p`` or a conftest names that too or not."""

    @staticmethod
    def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
        """Load the plugin itself; one that is loaded already stays."""
        if not pluginmanager.has_plugin(__name__):
            pluginmanager.register(sys.modules[__name__], __name__)


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--circuitprobe-update``."""
    group = parser.getgroup("circuitprobe")
    group.addoption(
        UPDATE,
        action="store_true",
        default=False,
        help="write the audits of this run over their baselines, and say what changed",
    )


def pytest_configure(config: pytest.Config) -> None:
    """A place for what ``--circuitprobe-update`` changes."""
    changes = config.stash[_CHANGES] = []
    if config.getoption(UPDATE):
        from contextlib import ExitStack

        from circuitprobe.gate.renewing import renewing

        stack = ExitStack()
        stack.enter_context(renewing(changes.append))
        config.add_cleanup(stack.close)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist sends what changed to the process that prints."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_SENT] = session.config.stash[_CHANGES]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - pytest-xdist's
    """What a worker of pytest-xdist sent; one that crashed sent nothing."""
    node.config.stash[_CHANGES].extend(getattr(node, "workeroutput", {}).get(_SENT, ()))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:  # noqa: ANN401 - pytest's own, not public
    """What ``--circuitprobe-update`` changed."""
    if config.getoption(UPDATE):
        from circuitprobe.text import visible_lines

        terminalreporter.write_sep("=", "circuitprobe baselines")
        for line in config.stash[_CHANGES] or ["no baseline was written: no test called assert_no_regression"]:
            terminalreporter.write_line(visible_lines(line))


@pytest.fixture(scope="session")
def circuitprobe_audit(request: pytest.FixtureRequest) -> Callable[..., Audited]:
    """``circuitprobe_audit(model, data, **options)``: ``cp.audit`` of level 2, run once per session for the same arguments.

    The options are those of ``cp.audit``; ``levels=(1, 2, 3, 4)`` runs the others too.
    """
    from circuitprobe.auditing import audit
    from circuitprobe.gate.memory import remembering

    return remembering(audit, full_trace=bool(request.config.getoption("fulltrace", False)))
