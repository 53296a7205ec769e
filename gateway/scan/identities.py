"""The national ids, tax and licence numbers that are looked for: every country whose recognizers Presidio ships.

Presidio's patterns and checksums give the verdict. What is added is when they may speak:

- `alone`: the form is telling (letters in fixed places, separators, a date, more than one check digit), so that fewer
  than one random value in fifty passes: found wherever it stands;
- otherwise ten digits are ten digits, and one check digit lets one in ten through: found beside a word that names it,
  in English or in the language of its country.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_ID: Final = (
    *(
        "national id",
        "national identity",
        "national identification",
        "id number",
        "id card",
        "id no",
        "identity number",
    ),
    *("identity card", "identity code", "identification number", "personal id", "personal number", "citizen id"),
    *("government id", "identifier number", "national number", "personal identity"),
)
_TAX: Final = (
    "tax id",
    "tax number",
    "tax no",
    "tax identification",
    "taxpayer",
    "taxpayer id",
    "tin",
    "tax file",
    "tax code",
)
_VAT: Final = ("vat", "vat number", "vat id", "vat no", "tax invoice", "tax id", "value added tax")
_PASS: Final = ("passport", "passport number", "passport no", "travel document")
_DRIVER: Final = (
    *("driver license", "driver's license", "drivers license", "driving license", "driving licence", "driver licence"),
    *("driver's licence", "drivers licence", "licence number", "license number", "license no", "driving permit"),
    *("driver's permit", "dl number", "dl no", "dl", "driver id"),
)
_PLATE: Final = (
    *("plate", "number plate", "license plate", "licence plate", "plate number", "registration", "vehicle", "car"),
    *("vehicle registration", "registration number", "reg", "vrn", "van", "truck", "motorbike"),
)
_COMPANY: Final = ("company number", "business number", "company registration", "registration number", "company")
_HEALTH: Final = ("health insurance", "insurance number", "medicare", "health card")
_DOCTOR: Final = ("physician", "doctor number", "prescriber", "practice number")


class Identity(NamedTuple):
    """One kind of number. `recognizer` is Presidio's class; `patterns` stand instead of its own where given."""

    entity: str
    country: str  # ISO 3166
    recognizer: str
    words: tuple[str, ...]
    alone: bool = False
    patterns: tuple[str, ...] = ()  # of digits alone, or with letters: not both in one
    checked: bool = True  # whether Presidio's checksum is asked
    capitals: bool = False  # small letters are other words


IDENTITIES: Final[tuple[Identity, ...]] = (
    # Australia
    Identity("AU_ABN", "AU", "AuAbnRecognizer", ("abn", "australian business number", *_COMPANY, *_TAX), alone=True),
    Identity("AU_ACN", "AU", "AuAcnRecognizer", ("acn", "australian company number", *_COMPANY)),
    Identity("AU_MEDICARE", "AU", "AuMedicareRecognizer", ("medicare", "medicare card", *_HEALTH)),
    Identity("AU_TFN", "AU", "AuTfnRecognizer", ("tfn", "tax file number", *_TAX)),
    # Canada
    Identity(
        "CA_SIN",
        "CA",
        "CaSinRecognizer",
        ("sin", "social insurance", "nas", "assurance sociale", "social insurance number", *_ID),
        patterns=(r"(?<![\w-])[1-79]\d{2}([- .]?)\d{3}\1\d{3}(?![\w-])",),
    ),
    # Finland
    Identity(
        "FI_PERSONAL_IDENTITY_CODE",
        "FI",
        "FiPersonalIdentityCodeRecognizer",
        ("hetu", "henkilötunnus", "personbeteckning", *_ID),
        alone=True,
        patterns=(r"(?<![\w-])\d{6}[-+ABCDEFYXWVU]\d{3}[0-9ABCDEFHJKLMNPRSTUVWXY](?![\w-])",),
    ),
    # Germany
    Identity(
        "DE_BSNR",
        "DE",
        "DeBsnrRecognizer",
        ("bsnr", "betriebsstättennummer", "betriebsstätte", "praxisnummer", *_DOCTOR),
    ),
    Identity(
        "DE_FUEHRERSCHEIN",
        "DE",
        "DeFuehrerscheinRecognizer",
        ("führerschein", "führerscheinnummer", "fahrerlaubnis", "fahrerlaubnisnummer", "führerschein nr", *_DRIVER),
        patterns=(r"\b[A-Z][A-Z0-9]{2}\d{6}[0-9X]\d\b|\b[A-Z]\d{2}[A-Z0-9]{6}\d[A-Z0-9]\b|\b[A-Z]{2}\d{8}[A-Z0-9]\b",),
    ),
    Identity(
        "DE_HANDELSREGISTER",
        "DE",
        "DeHandelsregisterRecognizer",
        ("handelsregister", "amtsgericht", "registergericht", "handelsregisternummer", "registernummer", *_COMPANY),
        alone=True,
        patterns=(r"\bHR[AB] ?\d{2,6}\b",),
        capitals=True,
    ),
    Identity(
        "DE_HEALTH_INSURANCE",
        "DE",
        "DeHealthInsuranceRecognizer",
        (
            *("krankenversicherungsnummer", "krankenversichertennummer", "versichertennummer", "kvnr", "krankenkasse"),
            *("krankenversicherung", "gesundheitskarte", "versichertenkarte", "versicherten nr", *_HEALTH, *_ID),
        ),
    ),
    Identity(
        "DE_ID_CARD",
        "DE",
        "DeIdCardRecognizer",
        (
            "personalausweis",
            "ausweis",
            "personalausweisnummer",
            "ausweisnummer",
            "ausweis nr",
            "dokumentennummer",
            *_ID,
        ),
    ),
    Identity(
        "DE_LANR", "DE", "DeLanrRecognizer", ("lanr", "arztnummer", "arzt nr", "vertragsarzt", "kassenarzt", *_DOCTOR)
    ),
    Identity(
        "DE_PASSPORT",
        "DE",
        "DePassportRecognizer",
        ("reisepass", "pass", "passnummer", "reisepassnummer", "pass nr", *_PASS),
    ),
    Identity(
        "DE_SOCIAL_SECURITY",
        "DE",
        "DeSocialSecurityRecognizer",
        (
            *("rentenversicherungsnummer", "sozialversicherungsnummer", "versicherungsnummer", "rvnr", "svnr"),
            *("rentenversicherung", "sozialversicherung", "sv nummer", "social security", *_ID),
        ),
        alone=True,
        patterns=(r"\b\d{2}[ ]?\d{6}[ ]?[A-Z][ ]?\d{3}\b",),
    ),
    Identity(
        "DE_TAX_ID",
        "DE",
        "DeTaxIdRecognizer",
        (
            *("steueridentifikationsnummer", "steuer id", "steuerid", "steuernummer", "identifikationsnummer", "idnr"),
            *(
                "steuer idnr",
                "steuer identifikationsnummer",
                "steuerliche identifikationsnummer",
                "tax id",
                *_ID,
                *_TAX,
            ),
        ),
        alone=True,
        patterns=(r"(?<!\w)[1-9]\d{10}(?!\w)|(?<!\w)[1-9]\d[ ]\d{3}[ ]\d{3}[ ]\d{3}(?!\w)",),
    ),
    Identity(
        "DE_TAX_NUMBER",
        "DE",
        "DeTaxNumberRecognizer",
        ("steuernummer", "steuer nr", "st nr", "finanzamt", "umsatzsteuer", "einkommensteuer", *_TAX),
    ),
    Identity(
        "DE_VAT_ID",
        "DE",
        "DeVatIdRecognizer",
        ("ust idnr", "ust id", "ustidnr", "umsatzsteuer", "mehrwertsteuer", "umsatzsteueridentifikationsnummer", *_VAT),
        alone=True,
        patterns=(r"\bDE[ .-]?\d{3}[ .-]?\d{3}[ .-]?\d{3}\b",),
    ),
    # India
    Identity(
        "IN_AADHAAR",
        "IN",
        "InAadhaarRecognizer",
        ("aadhaar", "aadhar", "uidai", "uid", "आधार", *_ID),
        patterns=(r"(?<![\w-])[2-9]\d{3}([- ]?)\d{4}\1\d{4}(?![\w-])",),
    ),
    Identity(
        "IN_AADHAAR",
        "IN",
        "InAadhaarRecognizer",
        (),
        alone=True,
        patterns=(r"(?<!\d[ -])(?<![\w-])[2-9]\d{3}([- ])\d{4}\1\d{4}(?![\w-])(?! \d)",),
    ),
    Identity("IN_GSTIN", "IN", "InGstinRecognizer", ("gstin", "gst", *_TAX), alone=True),
    Identity(
        "IN_PAN",
        "IN",
        "InPanRecognizer",
        ("pan", "permanent account", "pan card", *_TAX),
        alone=True,
        patterns=(r"\b[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]\b",),
        capitals=True,
    ),
    Identity("IN_PASSPORT", "IN", "InPassportRecognizer", ("indian passport", *_PASS)),
    Identity("IN_VOTER", "IN", "InVoterRecognizer", ("voter", "epic", "voter id", "elector", *_ID)),
    Identity(
        "IN_VEHICLE_REGISTRATION",
        "IN",
        "InVehicleRegistrationRecognizer",
        ("rto", *_PLATE),
        patterns=(r"\b[A-Z]{2}[ -]?\d{1,2}[ -]?[A-Z]{1,3}[ -]?(?!0000)\d{4}\b",),
        checked=False,
        capitals=True,
    ),
    # Italy
    Identity(
        "IT_DRIVER_LICENSE",
        "IT",
        "ItDriverLicenseRecognizer",
        ("patente", "patente di guida", "licenza di guida", *_DRIVER),
    ),
    Identity(
        "IT_FISCAL_CODE",
        "IT",
        "ItFiscalCodeRecognizer",
        ("codice fiscale", "cf", "fiscal code", *_TAX, *_ID),
        alone=True,
    ),
    Identity(
        "IT_IDENTITY_CARD",
        "IT",
        "ItIdentityCardRecognizer",
        ("carta d'identità", "identità", "carta di identità", "cie", "carta identità", "documento", *_ID),
    ),
    Identity("IT_PASSPORT", "IT", "ItPassportRecognizer", ("passaporto", "numero di passaporto", "italian passport")),
    Identity(
        "IT_VAT_CODE",
        "IT",
        "ItVatCodeRecognizer",
        ("piva", "partita iva", "p iva", "p.iva", "iva", *_VAT),
        patterns=(r"(?<!\w)\d{11}(?!\w)", r"\bIT[ ]?\d{11}(?!\w)"),
    ),
    # Korea
    Identity(
        "KR_BRN",
        "KR",
        "KrBrnRecognizer",
        ("사업자등록번호", "사업자번호", "사업자", "brn", "business registration", *_COMPANY, *_TAX),
    ),
    Identity("KR_BRN", "KR", "KrBrnRecognizer", (), alone=True, patterns=(r"(?<![\w-])\d{3}-\d{2}-\d{5}(?![\w-])",)),
    Identity(
        "KR_DRIVER_LICENSE",
        "KR",
        "KrDriverLicenseRecognizer",
        ("운전면허", "면허번호", "korean driver", "korean driver license"),
        patterns=(r"(?<![\w-])\d{2}[- ]?\d{2}[- ]?\d{6}[- ]?\d{2}(?![\w-])",),
    ),
    Identity(
        "KR_FRN", "KR", "KrFrnRecognizer", ("외국인등록번호", "외국인번호", "frn", "foreigner registration", *_ID)
    ),
    Identity("KR_PASSPORT", "KR", "KrPassportRecognizer", ("여권", "korean passport", *_PASS)),
    Identity(
        "KR_RRN",
        "KR",
        "KrRrnRecognizer",
        ("주민등록번호", "주민번호", "rrn", "resident registration", *_ID),
        alone=True,
    ),
    # Nigeria
    Identity("NG_NIN", "NG", "NgNinRecognizer", ("nin", "nimc", *_ID)),
    Identity(
        "NG_VEHICLE_REGISTRATION",
        "NG",
        "NgVehicleRegistrationRecognizer",
        _PLATE,
        patterns=(r"\b[A-Z]{3}[- ]?\d{3}[- ]?[A-Z]{2}\b",),
        capitals=True,
    ),
    # Philippines
    Identity("PH_PASSPORT", "PH", "PhPassportRecognizer", ("pasaporte", "dfa", "philippine passport", *_PASS)),
    Identity("PH_TIN", "PH", "PhTinRecognizer", ("bir", "rdo", *_TAX)),
    Identity(
        "PH_UMID",
        "PH",
        "PhUmidRecognizer",
        ("umid", "crn", "sss", "gsis", "philhealth", "pag ibig", "common reference"),
    ),
    # Poland
    Identity(
        "PL_PESEL",
        "PL",
        "PlPeselRecognizer",
        ("pesel", *_ID),
        alone=True,
        patterns=(r"(?<!\w)[0-9]{2}(?:[02468][1-9]|[13579][012])(?:0[1-9]|1[0-9]|2[0-9]|3[01])[0-9]{5}(?!\w)",),
    ),
    # Singapore
    Identity(
        "SG_NRIC_FIN", "SG", "SgFinRecognizer", ("nric", "fin", *_ID), alone=True, patterns=(r"\b[STFGM]\d{7}[A-Z]\b",)
    ),
    Identity("SG_UEN", "SG", "SgUenRecognizer", ("uen", "unique entity", "acra", "business registration", *_COMPANY)),
    # South Africa
    Identity(
        "ZA_COMPANY_REGISTRATION",
        "ZA",
        "ZaCompanyRegistrationRecognizer",
        ("cipc", "close corporation", "enterprise number", *_COMPANY),
    ),
    Identity("ZA_DRIVER_LICENSE", "ZA", "ZaDriverLicenseRecognizer", ("enatis", "natis", *_DRIVER)),
    Identity(
        "ZA_ID_NUMBER",
        "ZA",
        "ZaIdNumberRecognizer",
        ("rsa id", "sa id", "smart id", "south african id", *_ID),
        alone=True,
    ),
    Identity(
        "ZA_INCOME_TAX_NUMBER",
        "ZA",
        "ZaIncomeTaxNumberRecognizer",
        ("sars", "tax reference", "income tax", "itr", *_TAX),
    ),
    Identity("ZA_LICENSE_PLATE", "ZA", "ZaLicensePlateRecognizer", ("natis", "enatis", *_PLATE), capitals=True),
    Identity("ZA_PASSPORT", "ZA", "ZaPassportRecognizer", ("dha", "south african passport", "rsa passport", *_PASS)),
    Identity(
        "ZA_TRAFFIC_REGISTER_NUMBER",
        "ZA",
        "ZaTrafficRegisterNumberRecognizer",
        ("traffic register", "trn", "enatis", "natis"),
    ),
    Identity("ZA_VAT_NUMBER", "ZA", "ZaVatNumberRecognizer", ("sars", *_VAT)),
    # Spain
    Identity(
        "ES_NIE",
        "ES",
        "EsNieRecognizer",
        ("nie", "número de identificación de extranjero", "extranjero", *_ID, *_TAX),
        alone=True,
        patterns=(r"\b[XYZ]-?\d{7}-?[A-Z]\b",),
    ),
    Identity(
        "ES_NIF",
        "ES",
        "EsNifRecognizer",
        ("dni", "nif", "documento nacional", "identificación", *_ID, *_TAX),
        alone=True,
        patterns=(r"(?<![\w-])\d{7,8}-?[A-Z]\b|(?<![\w-])\d{2}\.\d{3}\.\d{3}-?[A-Z]\b",),
    ),
    Identity("ES_PASSPORT", "ES", "EsPassportRecognizer", ("pasaporte", "número de pasaporte", *_PASS)),
    # Sweden
    Identity(
        "SE_ORGANISATIONSNUMMER",
        "SE",
        "SeOrganisationsnummerRecognizer",
        ("organisationsnummer", "orgnr", "org nr", "företagsnummer", "organisation number", *_COMPANY),
        patterns=(r"(?<![\w-])\d{6}-?\d{4}(?![\w-])",),
    ),
    Identity(
        "SE_PERSONNUMMER",
        "SE",
        "SePersonnummerRecognizer",
        ("personnummer", "samordningsnummer", "svensk id", "ssn", *_ID),
        alone=True,
        patterns=(r"(?<![\w-])(?:19|20)?\d{6}[-+]\d{4}(?![\w-])",),
    ),
    Identity(
        "SE_PERSONNUMMER",
        "SE",
        "SePersonnummerRecognizer",
        ("personnummer", "samordningsnummer", "svensk id", *_ID),
        patterns=(r"(?<![\w-])(?:19|20)?\d{10}(?![\w-])",),
    ),
    # Thailand
    Identity(
        "TH_TNIN",
        "TH",
        "ThTninRecognizer",
        ("thai id", "thai national id", "tnin", "เลขประจำตัวประชาชน", "เลขบัตรประชาชน", "บัตรประชาชน", *_ID),
        patterns=(r"(?<![\w-])[1-8]([- ]?)\d{4}\1\d{5}\1\d{2}\1\d(?![\w-])",),
    ),
    Identity(
        "TH_TNIN",
        "TH",
        "ThTninRecognizer",
        (),
        alone=True,
        patterns=(r"(?<![\w-])[1-8]([- ])\d{4}\1\d{5}\1\d{2}\1\d(?![\w-])",),
    ),
    # Turkey
    Identity(
        "TR_LICENSE_PLATE", "TR", "TrLicensePlateRecognizer", ("plaka", "plakası", "araç", *_PLATE), capitals=True
    ),
    Identity(
        "TR_NATIONAL_ID",
        "TR",
        "TrNationalIdRecognizer",
        ("tc kimlik", "kimlik", "kimlik no", "kimlik numarası", "tckn", "tc no", "t c kimlik", *_ID),
        alone=True,
    ),
    # United Kingdom
    Identity("UK_DRIVING_LICENCE", "GB", "UkDrivingLicenceRecognizer", ("dvla", *_DRIVER), alone=True),
    Identity(
        "UK_NHS",
        "GB",
        "NhsRecognizer",
        ("nhs", "national health service", "health authority", "nhs number", "patient number"),
    ),
    Identity(
        "UK_NINO",
        "GB",
        "UkNinoRecognizer",
        ("national insurance", "ni number", "nino", "ni no", *_ID),
        alone=True,
        patterns=(
            r"\b(?!bg|gb|nk|kn|nt|tn|zz)[a-ceghj-pr-tw-z][a-ceghj-npr-tw-z][ -]?\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[a-d]\b",
        ),
    ),
    Identity("UK_PASSPORT", "GB", "UkPassportRecognizer", ("uk passport", "british passport", "hmpo", *_PASS)),
    Identity(
        "UK_POSTCODE",
        "GB",
        "UkPostcodeRecognizer",
        ("postcode", "post code", "postal code", "zip", "address", "zip code"),
    ),
    Identity(
        "UK_VEHICLE_REGISTRATION",
        "GB",
        "UkVehicleRegistrationRecognizer",
        ("dvla", "v5c", "mot", *_PLATE),
        checked=False,
        capitals=True,
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
        (*_DRIVER, "license", "licence", "permit", "cdl", "dmv"),
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
        ("itin", "individual taxpayer", "taxpayer id", *_TAX),
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
    Identity("US_MBI", "US", "UsMbiRecognizer", ("mbi", "medicare", "beneficiary", "medicaid", "cms", *_HEALTH)),
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
        ("us passport", "american passport", *_PASS),
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
        ("provider tax id", "provider tin", "provider ein", "ein", "employer identification", *_TAX),
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
    Identity(
        "CA_POSTAL_CODE",
        "CA",
        "CaPostalCodeRecognizer",
        ("postal code", "postcode", "zip", "canada", "code postal", "address", "ontario", "quebec", "alberta"),
    ),
    Identity(
        "DE_KFZ",
        "DE",
        "DeKfzRecognizer",
        ("kennzeichen", "kfz", "nummernschild", "kfz kennzeichen", *_PLATE),
        patterns=(r"\b(?<![\w-])[A-ZÄÖÜ]{1,3}[ -][A-Z]{1,2}[ -]\d{1,4}[EH]?(?!\w)",),
        capitals=True,
    ),
)


def countries() -> frozenset[str]:
    """The countries (ISO 3166) that have numbers here."""
    return frozenset(identity.country for identity in IDENTITIES)
