"""Places that a file may not be written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitprobe.errors import UsageError
from circuitprobe.report.files import check_writable


@pytest.mark.parametrize("name", ["cat.png", "cats/1.JPG"])
def test_a_picture_of_a_folder_that_is_read_is_not_replaced(name: str, tmp_path: Path) -> None:
    picture = tmp_path / "pictures" / name
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"a picture")
    with pytest.raises(UsageError, match="would be lost"):
        check_writable(picture, [tmp_path / "pictures"])
    check_writable(picture.with_name("new.png"), [tmp_path / "pictures"])
    report = tmp_path / "pictures" / "audit.json"
    report.write_bytes(b"an older report")
    check_writable(report, [tmp_path / "pictures"])
    check_writable(picture, [tmp_path / "others"])


@pytest.mark.parametrize("below", ["m.pt", "folder/m.pt"])
def test_a_file_in_place_of_a_folder_is_told_as_one(below: str, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes(b"a,b\n")
    with pytest.raises(UsageError, match=r"data\.csv is a file, no folder") as caught:
        check_writable(tmp_path / "data.csv" / below)
    assert "mkdir" not in caught.value.fix
    with pytest.raises(UsageError, match="there is no folder") as caught:
        check_writable(tmp_path / "none" / below)
    assert caught.value.fix.startswith("mkdir -p ")
