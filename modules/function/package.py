"""Zip a Python package for Lambda: `python3 package.py SOURCE_DIR ZIP`.

The same sources give the same bytes on every machine: names are sorted, dates and modes are fixed, and
nothing is compressed, because versions of zlib differ. (The package is small.)
"""

import sys
import zipfile
from pathlib import Path

PATTERNS = ["**/*.py", "page/*.html", "page/*.css", "page/*.js"]
"""The same patterns as in main.tf, which hashes these files."""


def build(source: Path, target: Path) -> None:
    """Put the files of PATTERNS below `source` into `target`, under the name of `source`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    files = {
        path.relative_to(source.parent).as_posix(): path
        for pattern in PATTERNS
        for path in source.glob(pattern)
    }
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, on every machine
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[name].read_bytes())


if __name__ == "__main__":
    build(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
