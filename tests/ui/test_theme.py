"""Colours, style images, fonts and icons; the live switch."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFontInfo, QFontMetrics, QGuiApplication, QPalette
from PySide6.QtWidgets import QLabel

from desktop_app.ui import fonts, icons, resources
from desktop_app.ui import theme as look
from desktop_app.ui.palette import DARK, LIGHT, Palette, Tone
from desktop_app.ui.stylesheet import style_sheet
from desktop_app.ui.theme import ThemeMode

UI = Path(look.__file__).parent
both = pytest.mark.parametrize("palette", [LIGHT, DARK], ids=lambda palette: palette.name)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""

    def linear(part: float) -> float:
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    made = QColor(colour)
    return 0.2126 * linear(made.redF()) + 0.7152 * linear(made.greenF()) + 0.0722 * linear(made.blueF())


def contrast(one: str, other: str) -> float:
    """Contrast ratio, 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_of_black_and_white():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)


@both
def test_text_has_4_5_to_1_on_all_that_it_stands_on(palette):
    grounds = {"window", "surface", "zebra", "hover"}
    pairs = [(ink, ground) for ink in ("text", "muted", "accent") for ground in sorted(grounds)]
    pairs += [(tone, ground) for tone in ("ok", "warning", "error", "info") for ground in ("surface", "zebra", "hover")]
    pairs += [(tone, f"{tone}_back") for tone in ("ok", "warning", "error", "info")]
    pairs += [("text", f"{tone}_back") for tone in ("ok", "warning", "error", "info")]
    pairs += [("selection_text", "selection"), ("on_accent", "accent"), ("on_accent", "accent_hover")]
    pairs += [("accent", "selection"), ("warning", "selection"), ("error", "selection"), ("accent", "info_back")]
    pairs += [("accent", "warning_back"), ("accent", "error_back"), ("accent", "ok_back")]
    bad = {
        f"{ink} on {ground}": round(ratio, 2)
        for ink, ground in pairs
        if (ratio := contrast(getattr(palette, ink), getattr(palette, ground))) < 4.5
    }
    assert not bad


@both
def test_bars_and_edges_have_3_to_1(palette):
    bad = {
        name: round(ratio, 2)
        for name in ("edge", "bar_ok", "bar_warning", "bar_error", "bar_running")
        if (ratio := contrast(getattr(palette, name), palette.surface)) < 3
    }
    assert not bad


@both
def test_style_images_are_in_the_palette(palette):
    colours = {getattr(palette, name) for name in Palette.__slots__ if name != "name"}
    for path in (resources.resource_root() / "styles" / palette.name).glob("*.svg"):
        used = set(re.findall(r"#[0-9A-F]{6}", path.read_text()))
        assert used <= colours, path.name


@both
def test_style_sheet_is_whole(palette):
    sheet = style_sheet(palette)
    assert "$" not in sheet
    for path in re.findall(r'url\("([^"]+)"\)', sheet):
        assert Path(path).is_file()
    assert sheet.count("{") == sheet.count("}")


def test_tones_have_ink_ground_and_bar():
    for palette in (LIGHT, DARK):
        for tone in Tone:
            assert all(
                QColor(colour).isValid() for colour in (palette.ink(tone), palette.ground(tone), palette.bar(tone))
            )


def test_switch_is_live(qtbot, theme):
    label = QLabel("text")
    qtbot.addWidget(label)
    label.show()
    seen: list[Palette] = []
    theme.changed.connect(seen.append)
    theme.set_mode(ThemeMode.DARK)
    assert seen == [DARK]
    assert look.active() is DARK
    assert label.palette().color(QPalette.ColorRole.WindowText) == QColor(DARK.text)
    assert QGuiApplication.palette().color(QPalette.ColorRole.Base) == QColor(DARK.surface)
    theme.set_mode(ThemeMode.DARK)
    assert seen == [DARK]
    theme.set_mode(ThemeMode.LIGHT)
    assert look.active() is LIGHT


def test_system_mode_follows_the_system(theme):
    theme.set_mode(ThemeMode.SYSTEM)
    hints = QGuiApplication.styleHints()
    hints.setColorScheme(Qt.ColorScheme.Dark)  # as the desktop does
    is_dark = hints.colorScheme() is Qt.ColorScheme.Dark
    theme._system_changed()
    assert theme.palette is (DARK if is_dark else LIGHT)
    hints.unsetColorScheme()


def test_font_is_ours_and_its_figures_are_tabular(theme):
    assert QFontInfo(fonts.font()).family() == fonts.FAMILY
    for strong in (False, True):
        metrics = QFontMetrics(fonts.font(strong=strong))
        assert metrics.horizontalAdvance("1" * 20) == metrics.horizontalAdvance("0" * 20)
    assert QFontMetrics(fonts.font(strong=True)).horizontalAdvance("Warning") > QFontMetrics(
        fonts.font()
    ).horizontalAdvance("Warning")


def names_in_code() -> set[str]:
    """Every string in the window's code that names a file of ``resources/icons``."""
    shipped = {path.stem for path in (resources.resource_root() / "icons").glob("*.svg")}
    code = "".join(path.read_text(encoding="utf-8") for path in UI.rglob("*.py"))
    return {name for name in shipped if f'"{name}"' in code}


def test_every_shipped_icon_is_used():
    shipped = {path.stem for path in (resources.resource_root() / "icons").glob("*.svg")}
    assert shipped == names_in_code()


def test_icons_are_recoloured_and_kept(theme):
    red = icons.pixmap("search", "#FF0000", 32)
    image = red.toImage()
    colours = {
        image.pixelColor(x, y).name()
        for x in range(image.width())
        for y in range(image.height())
        if image.pixelColor(x, y).alpha() == 255
    }
    assert colours == {"#ff0000"}
    assert icons.pixmap("search", "#FF0000", 32) is red
    assert icons.pixmap("search", "#FF0000", 32, 2.0).width() == 64
    with pytest.raises(FileNotFoundError):
        icons.pixmap("none-of-them", "#FF0000", 32)


def test_resources_are_found_in_a_frozen_program(tmp_path, monkeypatch):
    (tmp_path / "resources" / "icons").mkdir(parents=True)
    (tmp_path / "resources" / "icons" / "x.svg").write_text("<svg/>")
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path), raising=False)
    resources.resource_root.cache_clear()
    try:
        assert resources.resource_path("icons", "x.svg") == tmp_path / "resources" / "icons" / "x.svg"
        with pytest.raises(FileNotFoundError, match="Install the program again"):
            resources.resource_path("icons", "y.svg")
    finally:
        resources.resource_root.cache_clear()


def test_licences_are_shipped():
    root = resources.resource_root()
    assert "SIL OPEN FONT LICENSE" in (root / "fonts" / "LICENSE-Inter-OFL.txt").read_text()
    assert "MIT License" in (root / "icons" / "LICENSE-Tabler-MIT.txt").read_text()
