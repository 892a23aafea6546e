"""How many decimal digits a currency's minor unit has.

ISO 4217, list one (https://www.six-group.com/en/products-services/financial-information/data-standards.html), column "CcyMnrUnts":
what is not listed here has two. Some third parties deviate (Stripe writes ISK and UGX with two digits,
https://docs.stripe.com/currencies#special-cases): declare such a side's amounts as minor units on both sides, or as Decimal.
"""

NONE = frozenset({"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"})
THREE = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
FOUR = frozenset({"CLF", "UYW"})


def digits_of(currency: str) -> int:
    """The digits of the currency's minor unit: 0 for JPY, 2 for EUR, 3 for KWD; two for a code that is not in the list."""
    code = currency.strip().upper()
    if code in NONE:
        return 0
    if code in THREE:
        return 3
    return 4 if code in FOUR else 2


def digits_sql(code: str) -> str:
    """The same as an SQL expression over one that yields a code; null for null."""

    def words(codes: frozenset[str]) -> str:
        return ", ".join(f"'{c}'" for c in sorted(codes))

    upper = f"upper(trim({code}))"
    return (
        f"case when {code} is null then null when {upper} in ({words(NONE)}) then 0 "
        f"when {upper} in ({words(THREE)}) then 3 when {upper} in ({words(FOUR)}) then 4 else 2 end"
    )
