"""The Bearing Data Center's numbered .mat files into the one NPZ file that the configurations read.

    python prepare.py FOLDER                 # data/cwru_drive_end.npz from FOLDER/97.mat, 105.mat …
    python prepare.py FOLDER --download      # fetches the files that FOLDER lacks first

A key `RPM_KIND_DIAMETER_DE12` (1797_IR_7_DE12, 1730_OR@6_21_DE12) is one recording: an array (48000, 2) in
float16, the first 4 s at 12 kHz of the accelerometers at drive end and fan end. Needs scipy.
"""

import argparse
import shutil
import urllib.request
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

URL = "https://engineering.case.edu/sites/default/files/{number}.mat"
READINGS = 48_000
SENSORS = ("DE", "FE")
RPM = (1797, 1772, 1750, 1730)  # nominal, at a load of 0, 1, 2, 3 hp

# Kind and diameter (mil) of the fault → the files' numbers at 0, 1, 2, 3 hp, as the centre's page
# "12k Drive End Bearing Fault Data" has them. OR@6: outer race, the fault at six o'clock, in the load zone.
FAULTS = {
    "B_7": (118, 119, 120, 121),
    "B_14": (185, 186, 187, 188),
    "B_21": (222, 223, 224, 225),
    "IR_7": (105, 106, 107, 108),
    "IR_14": (169, 170, 171, 172),
    "IR_21": (209, 210, 211, 212),
    "OR@6_7": (130, 131, 132, 133),
    "OR@6_14": (197, 198, 199, 200),
    "OR@6_21": (234, 235, 236, 237),
    "OR@3_7": (144, 145, 146, 147),
    "OR@3_21": (246, 247, 248, 249),
    "OR@12_7": (156, 158, 159, 160),
    "OR@12_21": (258, 259, 260, 261),
}
NUMBERS = {"1797_Normal": 97} | {
    f"{rpm}_{fault}_DE12": number
    for fault, numbers in FAULTS.items()
    for rpm, number in zip(RPM, numbers, strict=True)
}


def recording(path: Path, number: int) -> NDArray[np.float16]:
    """The first READINGS of both sensors (READINGS, 2); ends the program where the file has not got them."""
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise SystemExit("scipy reads .mat files, and is not there: pip install scipy") from error
    try:
        content = loadmat(path)
    # scipy says NotImplementedError of files of MATLAB's version 7.3, which none of the centre's is.
    except (MatReadError, OSError, ValueError, NotImplementedError) as error:
        raise SystemExit(f"{path} is no .mat file: {error}; delete it and get it anew") from error
    # By number: some of the centre's files hold the variables of a neighbour too.
    names = [f"X{number:03d}_{sensor}_time" for sensor in SENSORS]
    if missing := [name for name in names if name not in content]:
        found = ", ".join(name for name in content if not name.startswith("__"))
        raise SystemExit(f"{path} has no {' and no '.join(missing)}, but {found}; is it the right file?")
    columns = [np.ravel(content[name])[:READINGS] for name in names]
    if short := min(len(column) for column in columns) - READINGS:
        raise SystemExit(f"{path} is {-short} readings short of {READINGS}; get it anew")
    return np.stack(columns, axis=1).astype(np.float16)


def fetch(path: Path, number: int) -> None:
    """From the centre's site; a half-loaded file never bears the right name."""
    url = URL.format(number=number)
    part = path.with_suffix(".part")
    print(url)
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, part.open("wb") as file:  # noqa: S310  our own
            shutil.copyfileobj(answer, file)
    except OSError as error:
        raise SystemExit(f"{url}: {error}; fetch it by hand into {path.parent} and go on") from error
    part.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes one NPZ file of the centre's .mat files.")
    parser.add_argument("folder", type=Path, help="where 97.mat, 105.mat … are")
    parser.add_argument("--download", action="store_true", help="fetch what is not there")
    parser.add_argument(
        "-o", "--out", type=Path, default=Path(__file__).parent / "data" / "cwru_drive_end.npz"
    )
    chosen = parser.parse_args()

    paths = {key: chosen.folder / f"{number}.mat" for key, number in NUMBERS.items()}
    missing = [key for key, path in paths.items() if not path.is_file()]
    if missing and not chosen.download:
        names = ", ".join(paths[key].name for key in missing)
        raise SystemExit(f"{chosen.folder} lacks {names}; --download fetches them")
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for key in missing:
        fetch(paths[key], NUMBERS[key])
    arrays = {key: recording(path, NUMBERS[key]) for key, path in paths.items()}
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(chosen.out, **arrays)  # type: ignore[arg-type]
    print(f"{chosen.out}: {len(arrays)} recordings")


if __name__ == "__main__":
    main()
