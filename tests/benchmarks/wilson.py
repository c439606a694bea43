"""The interval that a share of a count lies in with 95 % confidence (Wilson 1927)."""

Z = 1.959964


def interval(part: int, whole: int) -> str:
    """As text: "98.5 % (91.9 to 99.7)"."""
    if not whole:
        return "none"
    share = part / whole
    middle = share + Z**2 / (2 * whole)
    spread = Z * (share * (1 - share) / whole + Z**2 / (4 * whole**2)) ** 0.5
    low, high = ((middle + sign * spread) / (1 + Z**2 / whole) for sign in (-1, 1))
    return f"{share:.1%} ({low:.1%} to {high:.1%})".replace("%", " %")
