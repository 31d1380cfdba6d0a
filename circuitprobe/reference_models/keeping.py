"""Checkpoints while training runs: what ctrl-C and a crash leave behind, and how ``--resume`` goes on from there."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuitprobe.adapters.models.files import MODEL_FILE
from circuitprobe.adapters.models.tensor_pickles import load_tensors
from circuitprobe.errors import ModelError, UsageError
from circuitprobe.reference_models.architectures import build
from circuitprobe.reference_models.checkpoint import FORMAT, VERSION, rebuild, save_checkpoint
from circuitprobe.reference_models.losses import LogEntry
from circuitprobe.reference_models.trained import Origin, Plan, TrainedModel
from circuitprobe.reference_models.training_loop import STATE, Snapshot, Trainer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from circuitprobe.reference_models.config import Config

WRITE_EVERY = 15.0
"""Seconds between two writes of a running training: what a crash costs at most, beside the round it happens in."""


_OTHER_ROWS = ("other rows or another table", "these rows")
_DIFFERENCES = {
    "digest": _OTHER_ROWS,
    "rows": _OTHER_ROWS,
    "network": ("a network of other layers or columns", "the layers and columns of this one"),
}


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C while training; the message says what is kept and how to go on."""


@dataclass(frozen=True)
class Identity:
    """What must agree for a training to be gone on with.

    Attributes:
        config: the network.
        plan: how it is trained.
        origin: on what.
    """

    config: Config
    plan: Plan
    origin: Origin

    def to_dict(self) -> dict[str, object]:
        """One flat dictionary, for comparison and messages."""
        flat: dict[str, object] = {"arch": self.config.name, **self.plan.to_dict(), "latents": self.config.latents}
        return {**flat, "network": self.config.to_dict(), "rows": self.origin.rows, "digest": self.origin.digest}


class Keeper:
    """Keeps a running training on disk; without a path only in memory.

    While training runs its state goes to ``PATH.partial`` every 15 seconds, and an older file at PATH stays. Ctrl-C puts the
    best weights so far, with what is needed to go on, at PATH; a crash leaves the partial file.
    """

    def __init__(self, path: Path | None, identity: Identity) -> None:
        self.path, self.identity = path, identity
        self.partial = None if path is None else partial_path(path)
        self.latest: Snapshot | None = None
        self._written = time.monotonic()

    def after_round(self, trainer: Trainer) -> None:
        """Remember a round, and write it where the last write is long ago."""
        self.latest = trainer.snapshot()
        if self.partial is not None and time.monotonic() - self._written >= WRITE_EVERY:
            self._write(self.partial)
            self._written = time.monotonic()

    def interrupted(self) -> TrainingInterrupted:
        """Keep the best so far at the path; what to tell the user."""
        if self.path is None or self.latest is None:
            return TrainingInterrupted("the first round of training had not ended: nothing was written")
        self._write(self.path)
        self.discard()
        return TrainingInterrupted(
            f"{self.path} holds the best weights so far (step {self.latest.best_step:,}); the same command with --resume goes on"
        )

    def finished(self, trained: TrainedModel) -> None:
        """Write the final checkpoint."""
        if self.path is not None:
            save_checkpoint(self.path, trained)
            self.discard()

    def discard(self) -> None:
        """Remove what a crash would have needed."""
        if self.partial is not None:
            with suppress(FileNotFoundError):
                self.partial.unlink()

    def _write(self, path: Path) -> None:
        if self.latest is None:
            return
        trained = best_of(self.latest, self.identity, "interrupted")
        resume = {"identity": self.identity.to_dict(), "state": self.latest.state}
        save_checkpoint(path, trained, resume=resume)


def partial_path(path: Path) -> Path:
    """Where the state of a running training goes."""
    return path.with_name(f"{path.name}.partial")


def best_of(snapshot: Snapshot, identity: Identity, ended: str) -> TrainedModel:
    """The model with the best weights of a snapshot."""
    model = build(identity.config)
    model.load_state_dict(snapshot.best)
    return TrainedModel(model.eval(), identity.origin, identity.plan, snapshot.log, snapshot.best_step, ended)


def resumable(path: Path, identity: Identity) -> Snapshot | TrainedModel | None:
    """What an earlier run of the same training left.

    Args:
        path: the checkpoint's path; its partial file is looked for first.
        identity: of the training that is asked for.

    Returns:
        A snapshot to go on from, the finished model where nothing is left to do, or None where there is no file.

    Raises:
        UsageError: the file is another training's, or no checkpoint of a training.
    """
    found = next((file for file in (partial_path(path), path) if file.exists()), None)
    if found is None:
        return None
    try:
        payload = load_tensors(found, archive=True, bounds=MODEL_FILE)
    except Exception as error:
        raise _unreadable(found) from error
    if not isinstance(payload, dict) or payload.get("format") != FORMAT or payload.get("version") != VERSION:
        raise _unreadable(found)
    try:
        return _left(found, payload, identity)
    except (KeyError, TypeError, AttributeError) as error:
        raise _unreadable(found) from error


def _left(found: Path, payload: Mapping[str, Any], identity: Identity) -> Snapshot | TrainedModel:
    rebuild(payload)
    resume, training = payload.get("resume"), payload["training"]
    network = payload["architecture"]
    told = {"arch": network["name"], **training, "latents": network["latents"], "network": network}
    _check_same(found, told if resume is None else resume["identity"], identity)
    log = tuple(_entry(entry) for entry in training["log"])
    if resume is None:
        finished = Snapshot({}, payload["state_dict"], training["best_step"], log)
        return best_of(finished, identity, training["ended"])
    if not resume["state"].keys() >= STATE:
        raise _unreadable(found)
    return Snapshot(resume["state"], payload["state_dict"], training["best_step"], log)


def _entry(entry: Mapping[str, Any]) -> LogEntry:
    return LogEntry(**{field.name: entry[field.name] for field in fields(LogEntry)})


def _check_same(found: Path, told: Mapping[str, Any], identity: Identity) -> None:
    asked = identity.to_dict()
    for name, value in asked.items():
        if name in told and told[name] != value:
            what, want = _DIFFERENCES.get(name, (f"{name} {told[name]}", f"{name} {value}"))
            raise UsageError(
                f"{found.name} is of a training with {what}",
                expected=f"{want}, as this command says: only the same training can be resumed",
                fix="the options of the first run, or another --out",
            )


def _unreadable(found: Path) -> ModelError:
    return ModelError(
        f"{found.name} is no checkpoint that a training could go on from",
        expected="a file that `circuitprobe train` of this version wrote",
        fix=f"another --out, or remove {found.name}",
    )
