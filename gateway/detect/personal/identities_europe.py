"""Numbers of Europe and Turkey: see `identities`."""

from __future__ import annotations

from typing import Final

from gateway.detect.personal.number_kind import COMPANY, DOCTOR, DRIVER, HEALTH, ID, PASS, PLATE, TAX, VAT, Identity

EUROPE: Final[tuple[Identity, ...]] = (
    # Finland
    Identity(
        "FI_PERSONAL_IDENTITY_CODE",
        "FI",
        "FiPersonalIdentityCodeRecognizer",
        ("hetu", "henkilötunnus", "personbeteckning", *ID),
        alone=True,
        patterns=(r"(?<![\w-])\d{6}[-+ABCDEFYXWVU]\d{3}[0-9ABCDEFHJKLMNPRSTUVWXY](?![\w-])",),
    ),
    # Germany
    Identity(
        "DE_BSNR",
        "DE",
        "DeBsnrRecognizer",
        ("bsnr", "betriebsstättennummer", "betriebsstätte", "praxisnummer", *DOCTOR),
    ),
    Identity(
        "DE_FUEHRERSCHEIN",
        "DE",
        "DeFuehrerscheinRecognizer",
        ("führerschein", "führerscheinnummer", "fahrerlaubnis", "fahrerlaubnisnummer", "führerschein nr", *DRIVER),
        patterns=(r"\b[A-Z][A-Z0-9]{2}\d{6}[0-9X]\d\b|\b[A-Z]\d{2}[A-Z0-9]{6}\d[A-Z0-9]\b|\b[A-Z]{2}\d{8}[A-Z0-9]\b",),
    ),
    Identity(
        "DE_HANDELSREGISTER",
        "DE",
        "DeHandelsregisterRecognizer",
        ("handelsregister", "amtsgericht", "registergericht", "handelsregisternummer", "registernummer", *COMPANY),
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
            *("krankenversicherung", "gesundheitskarte", "versichertenkarte", "versicherten nr", *HEALTH, *ID),
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
            *ID,
        ),
    ),
    Identity(
        "DE_LANR", "DE", "DeLanrRecognizer", ("lanr", "arztnummer", "arzt nr", "vertragsarzt", "kassenarzt", *DOCTOR)
    ),
    Identity(
        "DE_PASSPORT",
        "DE",
        "DePassportRecognizer",
        ("reisepass", "pass", "passnummer", "reisepassnummer", "pass nr", *PASS),
    ),
    Identity(
        "DE_SOCIAL_SECURITY",
        "DE",
        "DeSocialSecurityRecognizer",
        (
            *("rentenversicherungsnummer", "sozialversicherungsnummer", "versicherungsnummer", "rvnr", "svnr"),
            *("rentenversicherung", "sozialversicherung", "sv nummer", "social security", *ID),
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
                *ID,
                *TAX,
            ),
        ),
        alone=True,
        patterns=(r"(?<!\w)[1-9]\d{10}(?!\w)|(?<!\w)[1-9]\d[ ]\d{3}[ ]\d{3}[ ]\d{3}(?!\w)",),
    ),
    Identity(
        "DE_TAX_NUMBER",
        "DE",
        "DeTaxNumberRecognizer",
        ("steuernummer", "steuer nr", "st nr", "finanzamt", "umsatzsteuer", "einkommensteuer", *TAX),
    ),
    Identity(
        "DE_VAT_ID",
        "DE",
        "DeVatIdRecognizer",
        ("ust idnr", "ust id", "ustidnr", "umsatzsteuer", "mehrwertsteuer", "umsatzsteueridentifikationsnummer", *VAT),
        alone=True,
        patterns=(r"\bDE[ .-]?\d{3}[ .-]?\d{3}[ .-]?\d{3}\b",),
    ),
    Identity(
        "DE_KFZ",
        "DE",
        "DeKfzRecognizer",
        ("kennzeichen", "kfz", "nummernschild", "kfz kennzeichen", *PLATE),
        patterns=(r"\b(?<![\w-])[A-ZÄÖÜ]{1,3}[ -][A-Z]{1,2}[ -]\d{1,4}[EH]?(?!\w)",),
        capitals=True,
    ),
    # Italy
    Identity(
        "IT_DRIVER_LICENSE",
        "IT",
        "ItDriverLicenseRecognizer",
        ("patente", "patente di guida", "licenza di guida", *DRIVER),
    ),
    Identity(
        "IT_FISCAL_CODE",
        "IT",
        "ItFiscalCodeRecognizer",
        ("codice fiscale", "cf", "fiscal code", *TAX, *ID),
        alone=True,
    ),
    Identity(
        "IT_IDENTITY_CARD",
        "IT",
        "ItIdentityCardRecognizer",
        ("carta d'identità", "identità", "carta di identità", "cie", "carta identità", "documento", *ID),
    ),
    Identity("IT_PASSPORT", "IT", "ItPassportRecognizer", ("passaporto", "numero di passaporto", "italian passport")),
    Identity(
        "IT_VAT_CODE",
        "IT",
        "ItVatCodeRecognizer",
        ("piva", "partita iva", "p iva", "p.iva", "iva", *VAT),
        patterns=(r"(?<!\w)\d{11}(?!\w)", r"\bIT[ ]?\d{11}(?!\w)"),
    ),
    # Poland
    Identity(
        "PL_PESEL",
        "PL",
        "PlPeselRecognizer",
        ("pesel", *ID),
        alone=True,
        patterns=(r"(?<!\w)[0-9]{2}(?:[02468][1-9]|[13579][012])(?:0[1-9]|1[0-9]|2[0-9]|3[01])[0-9]{5}(?!\w)",),
    ),
    # Spain
    Identity(
        "ES_NIE",
        "ES",
        "EsNieRecognizer",
        ("nie", "número de identificación de extranjero", "extranjero", *ID, *TAX),
        alone=True,
        patterns=(r"\b[XYZ]-?\d{7}-?[A-Z]\b",),
    ),
    Identity(
        "ES_NIF",
        "ES",
        "EsNifRecognizer",
        ("dni", "nif", "documento nacional", "identificación", *ID, *TAX),
        alone=True,
        patterns=(r"(?<![\w-])\d{7,8}-?[A-Z]\b|(?<![\w-])\d{2}\.\d{3}\.\d{3}-?[A-Z]\b",),
    ),
    Identity("ES_PASSPORT", "ES", "EsPassportRecognizer", ("pasaporte", "número de pasaporte", *PASS)),
    # Sweden
    Identity(
        "SE_ORGANISATIONSNUMMER",
        "SE",
        "SeOrganisationsnummerRecognizer",
        ("organisationsnummer", "orgnr", "org nr", "företagsnummer", "organisation number", *COMPANY),
        patterns=(r"(?<![\w-])\d{6}-?\d{4}(?![\w-])",),
    ),
    Identity(
        "SE_PERSONNUMMER",
        "SE",
        "SePersonnummerRecognizer",
        ("personnummer", "samordningsnummer", "svensk id", "ssn", *ID),
        alone=True,
        patterns=(r"(?<![\w-])(?:19|20)?\d{6}[-+]\d{4}(?![\w-])",),
    ),
    Identity(
        "SE_PERSONNUMMER",
        "SE",
        "SePersonnummerRecognizer",
        ("personnummer", "samordningsnummer", "svensk id", *ID),
        patterns=(r"(?<![\w-])(?:19|20)?\d{10}(?![\w-])",),
    ),
    # Turkey
    Identity("TR_LICENSE_PLATE", "TR", "TrLicensePlateRecognizer", ("plaka", "plakası", "araç", *PLATE), capitals=True),
    Identity(
        "TR_NATIONAL_ID",
        "TR",
        "TrNationalIdRecognizer",
        ("tc kimlik", "kimlik", "kimlik no", "kimlik numarası", "tckn", "tc no", "t c kimlik", *ID),
        alone=True,
    ),
    # United Kingdom
    Identity("UK_DRIVING_LICENCE", "GB", "UkDrivingLicenceRecognizer", ("dvla", *DRIVER), alone=True),
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
        ("national insurance", "ni number", "nino", "ni no", *ID),
        alone=True,
        patterns=(
            r"\b(?!bg|gb|nk|kn|nt|tn|zz)[a-ceghj-pr-tw-z][a-ceghj-npr-tw-z][ -]?\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[a-d]\b",
        ),
    ),
    Identity("UK_PASSPORT", "GB", "UkPassportRecognizer", ("uk passport", "british passport", "hmpo", *PASS)),
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
        ("dvla", "v5c", "mot", *PLATE),
        checked=False,
        capitals=True,
    ),
)
