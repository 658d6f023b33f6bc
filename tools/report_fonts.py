"""Writes templates/fonts/ from the DejaVu fonts of Debian (fonts-dejavu-core and fonts-dejavu-extra, version 2.37).

Type: .venv/bin/python tools/report_fonts.py. The same fonts and the same fonttools give the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from fontTools import subset

SOURCE = Path("/usr/share/fonts/truetype/dejavu")
FOLDER = Path(__file__).resolve().parent.parent / "templates" / "fonts"
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique")
# Latin, Greek, Cyrillic; punctuation, currencies, arrows, mathematical and other symbols, box drawing, dingbats.
RANGES = (
    "20-7E,A0-52F,1E00-1FFF,2000-218F,2190-23FF,2460-27EF,2900-297F,2A00-2AFF,2C60-2C7F,2E18,A720-A7FF,FB00-FB06,FFFD"
)
LICENCE = """\
The fonts in this folder are DejaVu {version}, cut to fewer characters by tools/report_fonts.py. Their licence:

{text}
"""


def main() -> None:
    """Each font without its other scripts and without hinting, which a PDF does not need; and the licence it names."""
    FOLDER.mkdir(exist_ok=True)
    for name in FONTS:
        options = subset.Options(hinting=False, name_IDs=["*"], notdef_outline=True)
        options.drop_tables += ["FFTM"]
        font = subset.load_font(SOURCE / f"{name}.ttf", options)
        cut = subset.Subsetter(options)
        cut.populate(unicodes=subset.parse_unicodes(RANGES))
        cut.subset(font)
        subset.save_font(font, FOLDER / f"{name}.ttf", options)
    names = subset.load_font(SOURCE / "DejaVuSans.ttf", subset.Options())["name"]  # the one with all licences
    version = names.getDebugName(5).removeprefix("Version ")
    lines = (line.rstrip() for line in names.getDebugName(13).splitlines())
    licence = LICENCE.format(version=version, text="\n".join(lines).strip())
    (FOLDER / "LICENSE.txt").write_text(licence, encoding="utf-8")


if __name__ == "__main__":
    main()
