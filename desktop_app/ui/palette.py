"""The colours, light and dark. Text has at least 4.5:1 on what it stands on, bars and control edges at least 3:1."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tone(StrEnum):
    """What a colour says. It never says it alone: an icon's shape and a word stand beside it."""

    NEUTRAL = "neutral"
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Palette:
    """One theme's colours as ``#RRGGBB``."""

    name: str
    window: str
    surface: str
    zebra: str
    border: str
    edge: str
    hover: str
    text: str
    muted: str
    accent: str
    accent_hover: str
    on_accent: str
    selection: str
    selection_text: str
    ok: str
    ok_back: str
    warning: str
    warning_back: str
    error: str
    error_back: str
    info: str
    info_back: str
    bar_ok: str
    bar_warning: str
    bar_error: str
    bar_running: str
    bar_track: str

    @property
    def is_dark(self) -> bool:
        """Whether light text stands on dark ground."""
        return self.name == "dark"

    def ink(self, tone: Tone) -> str:
        """The text and icon colour of ``tone``."""
        return {
            Tone.NEUTRAL: self.muted,
            Tone.OK: self.ok,
            Tone.WARNING: self.warning,
            Tone.ERROR: self.error,
            Tone.INFO: self.info,
        }[tone]

    def ground(self, tone: Tone) -> str:
        """The background that goes with :meth:`ink`."""
        return {
            Tone.NEUTRAL: self.hover,
            Tone.OK: self.ok_back,
            Tone.WARNING: self.warning_back,
            Tone.ERROR: self.error_back,
            Tone.INFO: self.info_back,
        }[tone]

    def bar(self, tone: Tone) -> str:
        """The colour of a bar's segment; the info tone is the running one."""
        return {
            Tone.NEUTRAL: self.bar_track,
            Tone.OK: self.bar_ok,
            Tone.WARNING: self.bar_warning,
            Tone.ERROR: self.bar_error,
            Tone.INFO: self.bar_running,
        }[tone]


LIGHT = Palette(
    name="light",
    window="#F3F5F8",
    surface="#FFFFFF",
    zebra="#F8F9FB",
    border="#D9DEE6",
    edge="#868E9B",
    hover="#EEF2F7",
    text="#1A1F27",
    muted="#555E6D",
    accent="#0B5CBE",
    accent_hover="#0A4FA4",
    on_accent="#FFFFFF",
    selection="#DBE8FA",
    selection_text="#10233D",
    ok="#0A6B57",
    ok_back="#DDF3EC",
    warning="#8A4B00",
    warning_back="#FFF0D6",
    error="#B3202C",
    error_back="#FCE6E6",
    info="#0B5CBE",
    info_back="#E3EEFC",
    bar_ok="#178A6B",
    bar_warning="#B97300",
    bar_error="#9E1228",
    bar_running="#2B78DC",
    bar_track="#E6EAF0",
)

DARK = Palette(
    name="dark",
    window="#14171C",
    surface="#1C2027",
    zebra="#20252D",
    border="#333A45",
    edge="#7A8494",
    hover="#272D36",
    text="#E8EBF0",
    muted="#A8B1BF",
    accent="#6CB2FF",
    accent_hover="#8CC3FF",
    on_accent="#08192D",
    selection="#21405F",
    selection_text="#F2F7FD",
    ok="#5FD4B1",
    ok_back="#14352D",
    warning="#F4B94A",
    warning_back="#3A2B10",
    error="#FF8F8A",
    error_back="#452022",
    info="#7DBBFF",
    info_back="#18314F",
    bar_ok="#52D3AA",
    bar_warning="#F0AE2E",
    bar_error="#E8505B",
    bar_running="#4B9BF5",
    bar_track="#303743",
)
