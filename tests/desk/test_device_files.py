"""Lists of devices in files of every kind: which cell of which line is the identifier."""

from __future__ import annotations

from pathlib import Path

import pytest
import xlsxwriter

from desktop_app.association.errors import RequestRefused
from desktop_app.desk.device_files import read_devices_file

A, B, C = "8988303000000012345", "8988303000000012353", "8988303000000012361"


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (f"{A}\n{B}\n", (A, B)),
        (f"{A}\r\n\r\n  {B}  ", (A, "", B)),  # line numbers stay those of the file
        (f"\ufeff{A}\n{B}", (A, B)),
        (f"iccid\n{A}\n{B}\n", ("", A, B)),
        (f"ICCID\n{A}\n", ("", A)),
        (f"name,ICCID,imei\nfirst,{A},490154203237518\nsecond,,490154203237518\n", ("", A, "490154203237518")),
        (f"name;sim\nfirst;{A}\nsecond;{B}\n", ("", A, B)),
        (f"name\tno\nfirst\t{A}\nsecond\t{B}\n", ("", A, B)),
        (f"first;{A}\nsecond;{B}\n", (A, B)),
        (f'"two\nlines",{A}\nx,{B}\n', ("", A, B)),
        ("msisdn\n'+49 170 1234567\n", ("", "+49 170 1234567")),  # as the result CSV defuses it
        (f"asked_for,iccid\n{A},\n,{B}\n", ("", A, B)),
        (f"{A}\n8.90126E+18\n", (A, "8.90126E+18")),  # said by the request, with its line
        (f"{A}, {B}, {C}", (f"{A}, {B}, {C}",)),  # three devices in one line are refused, not cut to one
    ],
)
def test_text_and_csv(tmp_path: Path, content: str, lines: tuple[str, ...]) -> None:
    path = tmp_path / "devices.csv"
    path.write_text(content, encoding="utf-8", newline="")
    assert read_devices_file(path) == lines


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1252"])
def test_encodings_of_spreadsheets(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "devices.csv"
    path.write_text(f"Gerät;iccid\nZähler;{A}\n", encoding=encoding)
    assert read_devices_file(path) == ("", A)


def test_workbook_keeps_text_and_shows_what_numbers_have_lost(tmp_path: Path) -> None:
    path = tmp_path / "devices.xlsx"
    workbook = xlsxwriter.Workbook(str(path))
    workbook.add_worksheet("empty")
    sheet = workbook.add_worksheet("list")
    sheet.write_row(1, 0, ["name", "iccid", "imei"])
    sheet.write_row(2, 0, ["text", A])
    sheet.write_row(3, 0, ["number", int(A)])
    sheet.write_row(4, 0, ["short number", "", 490154203237518])
    workbook.close()
    assert read_devices_file(path) == ("", "", A, "8.98830E+18", "490154203237518")


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.csv", b"", "NO_DEVICES"),
        ("blank.txt", b"\n \n", "NO_DEVICES"),
        ("heading.csv", b"iccid,imei\n", "NO_DEVICES"),
        ("picture.csv", b"\x89PNG\x00\x00", "FILE_NOT_A_LIST"),
        ("broken.xlsx", b"no workbook", "FILE_NOT_A_LIST"),
    ],
)
def test_what_is_no_list_is_refused_in_words(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RequestRefused) as refused:
        read_devices_file(path)
    assert refused.value.code == code
    assert str(path) in refused.value.message


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(RequestRefused) as refused:
            read_devices_file(path)
        assert refused.value.code == "FILE_NOT_FOUND"
        assert str(path) in refused.value.message
