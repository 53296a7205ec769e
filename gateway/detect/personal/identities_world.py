"""Numbers of Asia, Africa and Australia: see `identities`."""

from __future__ import annotations

from typing import Final

from gateway.detect.personal.number_kind import COMPANY, DRIVER, HEALTH, ID, PASS, PLATE, TAX, VAT, Identity

WORLD: Final[tuple[Identity, ...]] = (
    # Australia
    Identity("AU_ABN", "AU", "AuAbnRecognizer", ("abn", "australian business number", *COMPANY, *TAX), alone=True),
    Identity("AU_ACN", "AU", "AuAcnRecognizer", ("acn", "australian company number", *COMPANY)),
    Identity("AU_MEDICARE", "AU", "AuMedicareRecognizer", ("medicare", "medicare card", *HEALTH)),
    Identity("AU_TFN", "AU", "AuTfnRecognizer", ("tfn", "tax file number", *TAX)),
    # India
    Identity(
        "IN_AADHAAR",
        "IN",
        "InAadhaarRecognizer",
        ("aadhaar", "aadhar", "uidai", "uid", "आधार", *ID),
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
    Identity("IN_GSTIN", "IN", "InGstinRecognizer", ("gstin", "gst", *TAX), alone=True),
    Identity(
        "IN_PAN",
        "IN",
        "InPanRecognizer",
        ("pan", "permanent account", "pan card", *TAX),
        alone=True,
        patterns=(r"\b[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]\b",),
        capitals=True,
    ),
    Identity("IN_PASSPORT", "IN", "InPassportRecognizer", ("indian passport", *PASS)),
    Identity("IN_VOTER", "IN", "InVoterRecognizer", ("voter", "epic", "voter id", "elector", *ID)),
    Identity(
        "IN_VEHICLE_REGISTRATION",
        "IN",
        "InVehicleRegistrationRecognizer",
        ("rto", *PLATE),
        patterns=(r"\b[A-Z]{2}[ -]?\d{1,2}[ -]?[A-Z]{1,3}[ -]?(?!0000)\d{4}\b",),
        checked=False,
        capitals=True,
    ),
    # Korea
    Identity(
        "KR_BRN",
        "KR",
        "KrBrnRecognizer",
        ("사업자등록번호", "사업자번호", "사업자", "brn", "business registration", *COMPANY, *TAX),
    ),
    Identity("KR_BRN", "KR", "KrBrnRecognizer", (), alone=True, patterns=(r"(?<![\w-])\d{3}-\d{2}-\d{5}(?![\w-])",)),
    Identity(
        "KR_DRIVER_LICENSE",
        "KR",
        "KrDriverLicenseRecognizer",
        ("운전면허", "면허번호", "korean driver", "korean driver license"),
        patterns=(r"(?<![\w-])\d{2}[- ]?\d{2}[- ]?\d{6}[- ]?\d{2}(?![\w-])",),
    ),
    Identity("KR_FRN", "KR", "KrFrnRecognizer", ("외국인등록번호", "외국인번호", "frn", "foreigner registration", *ID)),
    Identity("KR_PASSPORT", "KR", "KrPassportRecognizer", ("여권", "korean passport", *PASS)),
    Identity(
        "KR_RRN",
        "KR",
        "KrRrnRecognizer",
        ("주민등록번호", "주민번호", "rrn", "resident registration", *ID),
        alone=True,
    ),
    # Nigeria
    Identity("NG_NIN", "NG", "NgNinRecognizer", ("nin", "nimc", *ID)),
    Identity(
        "NG_VEHICLE_REGISTRATION",
        "NG",
        "NgVehicleRegistrationRecognizer",
        PLATE,
        patterns=(r"\b[A-Z]{3}[- ]?\d{3}[- ]?[A-Z]{2}\b",),
        capitals=True,
    ),
    # Philippines
    Identity("PH_PASSPORT", "PH", "PhPassportRecognizer", ("pasaporte", "dfa", "philippine passport", *PASS)),
    Identity("PH_TIN", "PH", "PhTinRecognizer", ("bir", "rdo", *TAX)),
    Identity(
        "PH_UMID",
        "PH",
        "PhUmidRecognizer",
        ("umid", "crn", "sss", "gsis", "philhealth", "pag ibig", "common reference"),
    ),
    # Singapore
    Identity(
        "SG_NRIC_FIN", "SG", "SgFinRecognizer", ("nric", "fin", *ID), alone=True, patterns=(r"\b[STFGM]\d{7}[A-Z]\b",)
    ),
    Identity("SG_UEN", "SG", "SgUenRecognizer", ("uen", "unique entity", "acra", "business registration", *COMPANY)),
    # South Africa
    Identity(
        "ZA_COMPANY_REGISTRATION",
        "ZA",
        "ZaCompanyRegistrationRecognizer",
        ("cipc", "close corporation", "enterprise number", *COMPANY),
    ),
    Identity("ZA_DRIVER_LICENSE", "ZA", "ZaDriverLicenseRecognizer", ("enatis", "natis", *DRIVER)),
    Identity(
        "ZA_ID_NUMBER",
        "ZA",
        "ZaIdNumberRecognizer",
        ("rsa id", "sa id", "smart id", "south african id", *ID),
        alone=True,
    ),
    Identity(
        "ZA_INCOME_TAX_NUMBER",
        "ZA",
        "ZaIncomeTaxNumberRecognizer",
        ("sars", "tax reference", "income tax", "itr", *TAX),
    ),
    Identity("ZA_LICENSE_PLATE", "ZA", "ZaLicensePlateRecognizer", ("natis", "enatis", *PLATE), capitals=True),
    Identity("ZA_PASSPORT", "ZA", "ZaPassportRecognizer", ("dha", "south african passport", "rsa passport", *PASS)),
    Identity(
        "ZA_TRAFFIC_REGISTER_NUMBER",
        "ZA",
        "ZaTrafficRegisterNumberRecognizer",
        ("traffic register", "trn", "enatis", "natis"),
    ),
    Identity("ZA_VAT_NUMBER", "ZA", "ZaVatNumberRecognizer", ("sars", *VAT)),
    # Thailand
    Identity(
        "TH_TNIN",
        "TH",
        "ThTninRecognizer",
        ("thai id", "thai national id", "tnin", "เลขประจำตัวประชาชน", "เลขบัตรประชาชน", "บัตรประชาชน", *ID),
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
)
