"""Changes the programs that aienv itself runs from."""
# outside: never

import os

from attempt import attempt, takes_files


@attempt
def main():
    found = []
    for folder, _, files in os.walk("/opt/aienv"):
        found += takes_files(folder)
        for name in files:
            try:
                os.close(os.open(os.path.join(folder, name), os.O_WRONLY))
                found.append(os.path.join(folder, name))
            except OSError:
                pass
    return found
