"""The data folder: database, data key, and what else one installation keeps."""

import os
from pathlib import Path

from tongguan.store.trouble import Unavailable


def home_folder() -> Path:
    """$TONGGUAN_HOME, else the user's data folder; it need not exist yet."""
    if named := os.environ.get("TONGGUAN_HOME"):
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("tongguan", appauthor=False))


def make_home(home: Path) -> None:
    """Makes the folder if it is not there; one that is there stays as it is. Raises Unavailable.

    Others may not look into it; for root they may pass through, because the database server must
    (it runs as a user of its own, and its folder inside is closed to all but that user).
    """
    if home.is_dir():
        return
    try:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o711 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        raise Unavailable(
            f"the data folder {home} cannot be made ({error.strerror}): set TONGGUAN_HOME to a "
            "folder that can be written"
        ) from error
