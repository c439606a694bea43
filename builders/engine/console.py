"""`suwen NAME …`: every command of builders and trainers, for people whose own folder shadows our packages."""

import difflib
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def commands() -> dict[str, str]:
    """Command name -> module, from the files themselves."""
    found = {}
    for package in ("builders", "trainers"):
        for file in sorted((ROOT / package).glob("[!_]*.py")):
            found[file.stem] = f"{package}.{file.stem}"
    return found


def main() -> None:
    """Run the command named first, with the rest of the line as its arguments."""
    known = commands()
    name = sys.argv[1].replace("-", "_") if len(sys.argv) > 1 else ""
    if name not in known:
        asked_for_help = name in ("_h", "__help")
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"suwen: no command {name!r}" + (f"; did you mean {close[0]}?" if close else "") + "\n"
        listing = "\n".join(f"  {command}" for command in known)
        usage = f"usage: suwen COMMAND [FLAGS]; suwen COMMAND --help\n{listing}"
        print(usage if asked_for_help or not name else hint + usage, file=sys.stderr)
        raise SystemExit(0 if asked_for_help else 2)
    sys.argv[1:2] = []
    runpy.run_module(known[name], run_name="__main__", alter_sys=True)
