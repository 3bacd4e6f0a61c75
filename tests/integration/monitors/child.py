"""A process of Millstream whose secrets, addresses and permissions lie in a folder: ``python -m ... FOLDER hands|heads|api``."""

import sys
from pathlib import Path

from api.process import run
from infra.settings import load_settings
from streams import app_process
from streams.monitors import doors
from tests.support.doors import folder_doors


def main() -> None:
    folder, what = Path(sys.argv[1]), sys.argv[2]
    doors.open_doors = lambda settings, reader, role: folder_doors(folder)
    if what == "api":
        run(load_settings())
        return
    sys.exit(app_process.serve_app(load_settings(), what))


if __name__ == "__main__":
    main()
