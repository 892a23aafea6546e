"""Amounts as people read them: minor units and a currency code to `EUR 1,999.00`, with the digits that the currency has."""

from recon.currency import digits_of


def amount(minor: int, currency: str) -> str:
    """The amount without its code: 199900 EUR is `1,999.00`, 199900 JPY is `199,900`. Exact, whatever the size."""
    places = digits_of(currency)
    sign = "-" if minor < 0 else ""
    whole, part = divmod(abs(minor), 10**places)
    return f"{sign}{whole:,}.{part:0{places}d}" if places else f"{sign}{whole:,}"


def money(minor: int, currency: str) -> str:
    """`EUR 1,999.00`; without a code the bare amount, read as of two digits."""
    return f"{currency.upper()} {amount(minor, currency)}".strip()
