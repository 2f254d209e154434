"""Moves the folder of a masked file, and looks there."""
# outside: escapes

import os

from attempt import attempt, readable


@attempt
def main():
    os.rename("conf", "moved-conf")
    try:
        return readable("moved-conf/key.pem")
    finally:
        os.rename("moved-conf", "conf")
