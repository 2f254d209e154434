"""All families that there are numbers for: X.25, Bluetooth, TIPC, RDS, CAN, XDP, SMC, KCM, IUCV, CAIF, NFC, MCTP, QIPCRTR..."""
# outside: escapes

from attempt import attempt, every, made


@attempt
def main():
    families = [family for family in range(64) if family not in (1, 2, 10, 16)]
    return every([lambda family=family, kind=kind: made(family, kind) for family in families for kind in (1, 2, 3, 4, 5, 10)])
