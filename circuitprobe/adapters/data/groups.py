"""Feature groups: from the user's file, or clustered by association (METHOD.md section 2)."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from circuitprobe.adapters.data.associations import association_matrix
from circuitprobe.adapters.data.near_names import did_you_mean, listed
from circuitprobe.adapters.toml_file import load_toml
from circuitprobe.errors import DataError
from circuitprobe.types import Feature, FeatureGroup, FeatureKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Sized
    from pathlib import Path

    from circuitprobe.types import FloatArray, IntArray, Table

CUT = 0.7
EXAMPLE = '[groups]\nperson = ["age", "sex"]\nstatus = ["pay_*"]'


def load_groups(path: str | Path, features: Sequence[str]) -> tuple[FeatureGroup, ...]:
    """Read a groups file: a TOML table ``[groups]`` with a list of features per group.

    ```toml
    [groups]
    person = ["age", "sex"]
    status = ["pay_*"]          # patterns: * any text, ? one character, [abc] one of these
    ```

    Args:
        path: the file.
        features: names of the audit's features.

    Returns:
        The groups in the order of the file, each with its features in the order of ``features``.

    Raises:
        DataError: unreadable or not of this form; a name or pattern that matches nothing; a feature in two groups or
            in none.
    """
    given = load_toml(path, what="groups file")
    table = given.get("groups")
    unknown = [key for key in given if key != "groups"]
    if unknown or not isinstance(table, dict) or not table:
        seen = f"it has {listed(unknown)} at the top" if unknown else "it has no [groups] table with a group in it"
        raise DataError(f"{path}: {seen}.", expected="one table [groups]", fix=f"for example:\n{EXAMPLE}")
    return check_groups(table, features, source=str(path))


def check_groups(
    groups: Mapping[str, Sequence[str]], features: Sequence[str], *, source: str = "groups"
) -> tuple[FeatureGroup, ...]:
    """Make groups of features from names and patterns.

    Args:
        groups: names or patterns by group.
        features: names of the audit's features.
        source: where the groups come from, for messages.

    Returns:
        The groups in the order given, each with its features in the order of ``features``.

    Raises:
        DataError: no list of names; a name or pattern that matches nothing; a feature in two groups or in none.
    """
    member_of: dict[str, list[str]] = {feature: [] for feature in features}
    for group, patterns in groups.items():
        for feature in _matching(source, group, patterns, features):
            member_of[feature].append(group)
    _check_partition(source, member_of)
    return tuple(
        FeatureGroup(group, tuple(feature for feature in features if member_of[feature] == [group])) for group in groups
    )


def _matching(source: str, group: str, patterns: object, features: Sequence[str]) -> list[str]:
    if not isinstance(patterns, list | tuple) or not patterns or not all(isinstance(each, str) for each in patterns):
        raise DataError(
            f"{source}: group {group!r} is {patterns!r}.",
            expected="a list of feature names or patterns",
            fix=f"for example:\n{EXAMPLE}",
        )
    found: dict[str, None] = {}
    for pattern in patterns:
        matches = [pattern] if pattern in features else [name for name in features if fnmatchcase(name, pattern)]
        if not matches:
            raise DataError(
                f"{source}: {pattern!r} in group {group!r} is no feature of this audit.",
                expected=f"one of {listed(features, 30)}",
                fix=did_you_mean(pattern, features) or f"remove {pattern!r} from the group",
            )
        found |= dict.fromkeys(matches)
    return list(found)


def _check_partition(source: str, member_of: dict[str, list[str]]) -> None:
    doubled = {feature: groups for feature, groups in member_of.items() if len(groups) > 1}
    if doubled:
        shown = "; ".join(f"{name!r} in {listed(groups)}" for name, groups in list(doubled.items())[:5])
        raise DataError(
            f"{source}: {len(doubled)} of the features {_are(doubled)} in more than one group: {shown}.",
            expected="each feature in exactly one group",
            fix="remove " + listed(doubled, 5) + " from all groups but one",
        )
    uncovered = [feature for feature, groups in member_of.items() if not groups]
    if uncovered:
        rest = ", ".join(f'"{name}"' for name in uncovered[:5]) + ", ..." * (len(uncovered) > 5)
        raise DataError(
            f"{source}: {len(uncovered)} of the features {_are(uncovered)} in no group: {listed(uncovered)}.",
            expected="each feature in exactly one group",
            fix=f"add a group: rest = [{rest}]",
        )


def _are(names: Sized) -> str:
    return "is" if len(names) == 1 else "are"


def cluster_groups(table: Table | None, x: FloatArray, features: Sequence[Feature]) -> tuple[FeatureGroup, ...]:
    """Group features by average-linkage clustering of 1 - |association|, cut at 0.7.

    Args:
        table: the audited rows as a table, or None; grouping needs nothing beyond ``x``.
        x: audited rows in the model's space, shape (rows, dims).
        features: how to read them.

    Returns:
        A partition of the features; groups in the order of their first feature, named after up to two members.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    del table
    if not features:
        return ()
    if len(features) == 1:
        return (FeatureGroup(features[0].name, (features[0].name,)),)
    is_numeric = np.array([feature.kind in (FeatureKind.NUMERIC, FeatureKind.PIXEL) for feature in features])
    values = [x[:, list(f.dims)].mean(axis=1) for f, is_one in zip(features, is_numeric, strict=True) if is_one]
    numeric = np.stack(values, axis=1) if values else np.empty((len(x), 0))
    codes = [_codes(x, f) for f, is_one in zip(features, is_numeric, strict=True) if not is_one]
    order = np.concatenate([np.flatnonzero(is_numeric), np.flatnonzero(~is_numeric)])
    distance = np.empty((len(features), len(features)))
    distance[np.ix_(order, order)] = 1.0 - association_matrix(numeric, codes)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="average")
    labels = fcluster(tree, t=CUT, criterion="distance")
    members: dict[int, list[str]] = {}
    for label, feature in zip(labels.tolist(), features, strict=True):
        members.setdefault(label, []).append(feature.name)
    return _named(list(members.values()))


def _codes(x: FloatArray, feature: Feature) -> IntArray:
    """A category per row: where the 1 is in a one-hot block, -1 for a block of zeros; the value of a binary column."""
    block = x[:, list(feature.dims)]
    if feature.kind is FeatureKind.BINARY:
        return np.unique(block[:, 0], return_inverse=True)[1].astype(np.int64)
    return np.where(block.any(axis=1), block.argmax(axis=1), -1).astype(np.int64)


def _named(groups: list[list[str]]) -> tuple[FeatureGroup, ...]:
    taken: set[str] = set()
    named = []
    for members in groups:
        base = " + ".join(members) if len(members) <= 2 else f"{members[0]} + {len(members) - 1} more"
        name, number = base, 2
        while name in taken:
            name, number = f"{base} ({number})", number + 1
        taken.add(name)
        named.append(FeatureGroup(name, tuple(members)))
    return tuple(named)
