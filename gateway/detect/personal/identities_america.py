"""Numbers of Canada and the United States: see `identities`."""

from __future__ import annotations

from typing import Final

from gateway.detect.personal.number_kind import DRIVER, HEALTH, ID, PASS, TAX, Identity

AMERICA: Final[tuple[Identity, ...]] = (
    # Canada
    Identity(
        "CA_SIN",
        "CA",
        "CaSinRecognizer",
        ("sin", "social insurance", "nas", "assurance sociale", "social insurance number", *ID),
        patterns=(r"(?<![\w-])[0-79]\d{2}([- .]?)\d{3}\1\d{3}(?![\w-])",),
    ),
    Identity(
        "CA_POSTAL_CODE",
        "CA",
        "CaPostalCodeRecognizer",
        ("postal code", "postcode", "zip", "canada", "code postal", "address", "ontario", "quebec", "alberta"),
    ),
    # United States
    Identity(
        "ABA_ROUTING_NUMBER",
        "US",
        "AbaRoutingRecognizer",
        ("aba", "routing", "routing number", "bank routing", "routing no"),
    ),
    Identity(
        "MEDICAL_LICENSE",
        "US",
        "MedicalLicenseRecognizer",
        (
            "dea",
            "medical license",
            "medical licence",
            "medical",
            "certificate",
            "prescriber",
            "physician",
            "dea number",
        ),
        patterns=(r"\b[abcdefghjklmprstux](?:[a-z]|9)\d{7}\b",),
    ),
    Identity(
        "US_BANK_NUMBER",
        "US",
        "UsBankRecognizer",
        (
            *("account", "account number", "acct", "bank account", "account no", "checking", "savings account", "bank"),
            *("bank number", "debit", "direct deposit"),
        ),
        patterns=(r"(?<![\w-])\d{8,17}(?![\w-])",),
    ),
    Identity(
        "US_CLAIM_NUMBER",
        "US",
        "UsClaimNumberRecognizer",
        ("claim number", "claim no", "claim id", "medical claim", "healthcare claim"),
        patterns=(
            r"(?<![\w-])\d{6,15}(?![\w-])",
            r"\bCLM-?\d{6,15}\b",
        ),
    ),
    Identity(
        "US_DRIVER_LICENSE",
        "US",
        "UsLicenseRecognizer",
        (*DRIVER, "license", "licence", "permit", "cdl", "dmv"),
        patterns=(
            r"(?<![\w-])[A-Z]{1,3}-?\d[\d-]{3,14}\d[A-Z]{0,2}(?![\w-])",
            r"(?<![\w-])(?:\d{4}-\d{2}-\d{4}|\d{2,3}-\d{2,3}-\d{3,4}|\d{6,14}|\d{16})(?![\w-])",
        ),
    ),
    Identity(
        "US_HEALTH_INSURANCE_MEMBER_ID",
        "US",
        "UsHealthInsuranceMemberIdRecognizer",
        ("member id", "member number", "subscriber id", "insurance id", "policy number", "insurance member"),
        patterns=(r"\b[A-Z]{1,5}-?\d[A-Z0-9]{4,13}\b",),
    ),
    Identity(
        "US_ITIN",
        "US",
        "UsItinRecognizer",
        ("itin", "individual taxpayer", "taxpayer id", *TAX),
        patterns=(r"(?<![\w-])9\d{2}[- ]?(?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])[- ]?\d{4}(?![\w-])",),
    ),
    Identity(
        "US_ITIN",
        "US",
        "UsItinRecognizer",
        (),
        alone=True,
        patterns=(r"(?<![\w-])9\d{2}[- ](?:5\d|6[0-5]|7\d|8[0-8]|9[0-24-9])[- ]\d{4}(?![\w-])",),
    ),
    Identity("US_MBI", "US", "UsMbiRecognizer", ("mbi", "medicare", "beneficiary", "medicaid", "cms", *HEALTH)),
    Identity(
        "US_MBI",
        "US",
        "UsMbiRecognizer",
        (),
        alone=True,
        patterns=(
            r"\b[0-9][AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9]-[AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9]-[AC-HJKMNP-RT-Y]{2}[0-9]{2}\b",
        ),
    ),
    Identity(
        "US_NPI",
        "US",
        "UsNpiRecognizer",
        ("npi", "national provider", "provider", "provider id", "provider identifier"),
    ),
    Identity(
        "US_PASSPORT",
        "US",
        "UsPassportRecognizer",
        ("us passport", "american passport", *PASS),
        patterns=(r"(?<![\w-])\d{9}(?![\w-])", r"(?<![\w-])[A-Z]\d{8}(?![\w-])"),
    ),
    Identity(
        "US_PRESCRIPTION_NUMBER",
        "US",
        "UsPrescriptionNumberRecognizer",
        ("prescription number", "prescription no", "rx", "prescription id", "rx number"),
        patterns=(
            r"(?<![\w-])\d{6,12}(?![\w-])",
            r"\bRX-?\d{6,12}\b",
        ),
    ),
    Identity(
        "US_PRIOR_AUTHORIZATION_NUMBER",
        "US",
        "UsPriorAuthorizationNumberRecognizer",
        ("prior authorization", "prior auth", "preauthorization", "pre auth", "authorization number"),
        patterns=(
            r"(?<![\w-])\d{6,12}(?![\w-])",
            r"\bPA-?\d{6,12}\b",
        ),
    ),
    Identity(
        "US_PROVIDER_TAX_ID",
        "US",
        "UsProviderTaxIdRecognizer",
        ("provider tax id", "provider tin", "provider ein", "ein", "employer identification", *TAX),
        patterns=(r"(?<![\w-])\d{2}-\d{7}(?![\w-])",),
    ),
    Identity(
        "US_REFERRAL_NUMBER",
        "US",
        "UsReferralNumberRecognizer",
        ("referral number", "referral no", "referral id", "referral"),
        patterns=(
            r"(?<![\w-])\d{6,12}(?![\w-])",
            r"\b(?:REF|INF)-?\d{6,12}\b",
        ),
    ),
    Identity(
        "US_SSN",
        "US",
        "UsSsnRecognizer",
        ("ssn", "social security", "social", "ssid", "social security number", "ss number", "ss no", "soc sec"),
        patterns=(r"(?<![\w-])\d{3}[- .]?\d{2}[- .]?\d{4}(?![\w-])|(?<![\w-])\d{5}-\d{4}(?![\w-])",),
    ),
    Identity(
        "US_SSN",
        "US",
        "UsSsnRecognizer",
        (),
        alone=True,
        patterns=(r"(?<![\w.-])\d{3}([- .])\d{2}\1\d{4}(?![\w-])",),
    ),
)
