"""Numbers whose check digits python-stdnum knows, and a few whose check digits are implemented in `sums`.

Few have more than one check digit, so most need a word before them, in English or a language of their country. Numbers
that are found alone have separators or letters in fixed places, or two check digits and a date.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.detect.personal.number_kind import COMPANY, HEALTH, ID, TAX, VAT, Identity

_L: Final = r"(?<![\w-])"
_R: Final = r"(?![\w-])"
_RESIDENT: Final = r"[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}"
_NIR: Final = r"\d{2} ?\d{3} ?\d{3} ?\d{2}"
_CORSICA: Final = r"2[AB] ?\d{3} ?\d{3} ?\d{2}"
# Entity, module of python-stdnum or sum, words, forms beside a word, forms anywhere; each of digits or with letters.
_TABLE: Final = (
    ("AE_EMIRATES_ID", "sums.luhn", ("emirates id", "رقم الهوية", "بطاقة الهوية", "eid", *ID),
     r"784[- ]?\d{4}[- ]?\d{7}[- ]?\d", r"784-\d{4}-\d{7}-\d"),
    ("AL_NIPT", "al.nipt", ("nipt", "nuis", *TAX, *VAT), r"[A-M]\d{8}[A-Z]", ""),
    ("AR_CUIT", "ar.cuit", ("cuit", "cuil", "clave única", *ID, *TAX), r"\d{2}[- ]?\d{8}[- ]?\d",
     r"(?:20|2[34567]|3[034])-\d{8}-\d"),
    ("AR_DNI", "ar.dni", ("dni", "documento", "documento nacional de identidad", *ID), r"\d{1,2}\.?\d{3}\.?\d{3}", ""),
    ("AT_SOCIAL_SECURITY", "at.vnr", ("svnr", "sv nummer", "sozialversicherungsnummer", "versicherungsnummer", "vsnr",
     "social security", *ID), r"\d{4} ?\d{6}", ""),
    ("AT_TAX_NUMBER", "at.tin", ("steuernummer", "abgabenkontonummer", "finanzamt", "st nr", *TAX),
     r"\d{2}[- ]?\d{3}[/ ]?\d{4}", ""),
    ("BE_NATIONAL_NUMBER", "be.nn", ("rijksregisternummer", "rijksregister", "registre national", "numéro national",
     "numéro de registre national", "insz", "niss", "nrn", *ID), r"\d{2}\.?\d{2}\.?\d{2}[- ]?\d{3}[. -]?\d{2}",
     r"\d{2}\.\d{2}\.\d{2}-\d{3}[.-]\d{2}"),
    ("BE_ENTERPRISE_NUMBER", "be.vat", ("ondernemingsnummer", "kbo", "bce", "btw", "tva", "numéro d'entreprise",
     *COMPANY, *VAT), r"[01]\d{3}\.?\d{3}\.?\d{3}", ""),
    ("BG_EGN", "bg.egn", ("егн", "egn", "единен граждански номер", *ID), r"\d{10}", ""),
    ("BR_CPF", "br.cpf", ("cpf", "cadastro de pessoas físicas", *ID, *TAX), r"\d{3}[. ]?\d{3}[. ]?\d{3}[- ]?\d{2}",
     r"\d{3}\.\d{3}\.\d{3}-\d{2}"),
    ("BR_CNPJ", "br.cnpj", ("cnpj", "cadastro nacional", *COMPANY, *TAX), r"\d{2}\.?\d{3}\.?\d{3}[/ ]?\d{4}[- ]?\d{2}",
     r"\d{2}\.\d{3}\.\d{3}/\d{4}-\d{2}"),
    ("BY_UNP", "by.unp", ("унп", "unp", *TAX), r"\d{9}", ""),
    ("CA_BUSINESS_NUMBER", "ca.bn", ("business number", "numéro d'entreprise", "bn", "cra", "gst", "hst"),
     r"\d{9} || \d{9}[A-Z]{2}\d{4}", ""),
    ("CH_AHV", "ch.ssn", ("ahv", "avs", "ahv nummer", "ahv nr", "numéro avs", "numero avs", "sozialversicherungsnummer",
     *ID), r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}", r"756\.\d{4}\.\d{4}\.\d{2}"),
    ("CH_UID", "ch.uid", ("uid", "unternehmens identifikationsnummer", "ide", "mwst", "tva", "iva", *COMPANY, *VAT),
     r"CHE-?\d{3}\.?\d{3}\.?\d{3}", r"CHE-\d{3}\.\d{3}\.\d{3}"),
    ("CL_RUT", "cl.rut", ("rut", "run", "rol único", *ID, *TAX),
     r"\d{1,2}\.?\d{3}\.?\d{3}-?\d || \d{7,8}-?K || \d{1,2}\.\d{3}\.\d{3}-?K",
     r"\d{1,2}\.\d{3}\.\d{3}-\d || \d{1,2}\.\d{3}\.\d{3}-K"),
    ("CN_RESIDENT_ID", "sums.chinese", ("身份证", "身份证号", "身份證", "公民身份号码", "resident id", *ID),
     r"\d{18} || \d{17}X", rf"{_RESIDENT}\d || {_RESIDENT}X"),
    ("CN_CREDIT_CODE", "cn.uscc", ("统一社会信用代码", "信用代码", "uscc", "social credit", *COMPANY),
     r"\d{18} || (?=[0-9A-Z]*[A-Z])[0-9A-Z]{2}\d{6}[0-9A-Z]{10}", ""),
    ("CO_NIT", "co.nit", ("nit", "rut", "dian", *TAX), r"\d{1,3}\.?\d{3}\.?\d{3}-?\d", ""),
    ("CR_CPF", "cr.cpf", ("cédula", "cedula", *ID), r"0?\d-?\d{4}-?\d{4}", ""),
    ("CU_NI", "cu.ni", ("carné de identidad", "carnet de identidad", "número de identidad", *ID), r"\d{11}", ""),
    ("CY_VAT", "cy.vat", ("φπα", "αφμ", *VAT, *TAX), r"(?:CY)?\d{8}[A-Z]", ""),
    ("CZ_RODNE_CISLO", "cz.rc", ("rodné číslo", "rodne cislo", "rč", "r č", "rodného čísla", *ID),
     r"\d{6}/?\d{3,4}", ""),
    ("CZ_DIC", "cz.dic", ("dič", "dic", "ičo", "ičo dič", *TAX, *VAT), r"\d{8,10} || CZ\d{8,10}", ""),
    ("DK_CPR", "dk.cpr", ("cpr", "cpr nr", "cpr nummer", "personnummer", *ID), r"\d{6}[- ]?\d{4}", ""),
    ("DK_CVR", "dk.cvr", ("cvr", "cvr nr", "se nr", *COMPANY, *VAT), r"\d{8}", ""),
    ("DO_CEDULA", "do.cedula", ("cédula", "cedula", *ID), r"\d{3}-?\d{7}-?\d", r"\d{3}-\d{7}-\d"),
    ("DO_RNC", "do.rnc", ("rnc", *TAX), r"\d-?\d{2}-?\d{5}-?\d", ""),
    ("EC_CEDULA", "ec.ci", ("cédula", "cedula", "ci", *ID), r"\d{9}-?\d", ""),
    ("EC_RUC", "ec.ruc", ("ruc", *TAX), r"\d{13}", ""),
    ("EE_ISIKUKOOD", "ee.ik", ("isikukood", "isikukoodi", "ik", *ID), r"[1-8]\d{10}", ""),
    ("EG_TAX_NUMBER", "eg.tn", ("الرقم الضريبي", "رقم التسجيل الضريبي", *TAX), r"\d{3}-?\d{3}-?\d{3}", ""),
    ("ES_CIF", "es.cif", ("cif", "nif", "código de identificación fiscal", *COMPANY, *TAX),
     r"[ABCDEFGHJNPQRSUVW]-?\d{7}[0-9A-J]", ""),
    ("ES_CCC", "es.ccc", ("ccc", "cuenta", "cuenta corriente", "código cuenta cliente"),
     r"\d{4}[- ]?\d{4}[- ]?\d{2}[- ]?\d{10}", ""),
    ("FR_NIR", "fr.nir", ("nir", "numéro de sécurité sociale", "sécurité sociale", "sécu", "n° sécu", "insee",
     "carte vitale", "social security", *ID),
     rf"[12] ?\d{{2}} ?\d{{2}} ?{_NIR} || [12] ?\d{{2}} ?\d{{2}} ?{_CORSICA}",
     rf"[12] ?\d{{2}} ?(?:0[1-9]|1[0-2]) ?{_NIR} || [12] ?\d{{2}} ?(?:0[1-9]|1[0-2]) ?{_CORSICA}"),
    ("FR_NIF", "fr.nif", ("numéro fiscal", "nif", "spi", "impôts", *TAX), r"[0-3]\d ?\d{2} ?\d{3} ?\d{3} ?\d{3}", ""),
    ("FR_SIREN", "fr.siren", ("siren", "rcs", "numéro siren", *COMPANY), r"\d{3} ?\d{3} ?\d{3}", ""),
    ("FR_SIRET", "fr.siret", ("siret", "numéro siret", *COMPANY), r"\d{3} ?\d{3} ?\d{3} ?\d{5}", ""),
    ("FR_TVA", "fr.tva", ("tva", "tva intracommunautaire", "numéro de tva", *VAT),
     r"FR ?[A-Z0-9]{2} ?\d{3} ?\d{3} ?\d{3}", ""),
    ("GR_AFM", "gr.vat", ("αφμ", "afm", "α φ μ", *TAX, *VAT), r"\d{9} || EL\d{9}", ""),
    ("GR_AMKA", "gr.amka", ("αμκα", "amka", *ID), r"\d{11}", ""),
    ("GT_NIT", "gt.nit", ("nit", *TAX), r"\d{4,11}-?\d || \d{4,11}-?K", ""),
    ("HK_ID", "sums.hong_kong", ("hkid", "身份證", "身份證號碼", "香港身份證", *ID),
     r"[A-Z]{1,2}\d{6}[0-9A] || [A-Z]{1,2}\d{6} ?\([0-9A]\)",
     r"[A-Z]{1,2}\d{6}\([0-9A]\)"),
    ("HR_OIB", "hr.oib", ("oib", "osobni identifikacijski broj", *ID, *TAX), r"\d{11}", ""),
    ("HU_TAJ", "sums.taj", ("taj", "taj szám", "tajszám", "társadalombiztosítási", *HEALTH),
     r"\d{3}[- ]?\d{3}[- ]?\d{3}", ""),
    ("HU_TAX_ID", "sums.hungarian_tax", ("adóazonosító", "adóazonosító jel", "adószám", *TAX), r"8\d{9}", ""),
    ("HU_COMPANY_TAX", "hu.anum", ("adószám", "adószáma", "cégadószám", *VAT, *TAX),
     r"\d{8}(?:-\d-\d\d)? || HU\d{8}", ""),
    ("ID_NIK", "id.nik", ("nik", "ktp", "nomor induk kependudukan", *ID), r"\d{16}", ""),
    ("ID_NPWP", "id.npwp", ("npwp", *TAX), r"\d{2}\.?\d{3}\.?\d{3}\.?\d-?\d{3}\.?\d{3}",
     r"\d{2}\.\d{3}\.\d{3}\.\d-\d{3}\.\d{3}"),
    ("IE_PPS", "ie.pps", ("pps", "ppsn", "pps number", "personal public service", "uimhir psp", *ID, *TAX),
     r"\d{7}[A-W][A-IW]?", ""),
    ("IL_ID", "il.idnr", ("תעודת זהות", "ת ז", "מספר זהות", "teudat zehut", *ID), r"\d{8}-?\d", ""),
    ("IN_VID", "in_.vid", ("vid", "virtual id", "aadhaar virtual id"), r"\d{4} ?\d{4} ?\d{4} ?\d{4}", ""),
    ("IR_NATIONAL_CODE", "sums.iran", ("کد ملی", "شماره ملی", "کدملی", *ID), r"\d{3}-?\d{6}-?\d", ""),
    ("IS_KENNITALA", "is_.kennitala", ("kennitala", "kt", *ID), r"\d{6}-?\d{4}", ""),
    ("JP_MY_NUMBER", "jp.in_", ("マイナンバー", "個人番号", "my number", *ID), r"\d{4}[- ]?\d{4}[- ]?\d{4}", ""),
    ("JP_CORPORATE_NUMBER", "jp.cn", ("法人番号", "corporate number", *COMPANY), r"\d{13}", ""),
    ("KE_PIN", "ke.pin", ("kra", "kra pin", "pin", *TAX), r"[AP]\d{9}[A-Z]", ""),
    ("KZ_IIN", "sums.kazakh", ("иин", "iin", "жсн", "бин", "bin", *ID), r"\d{12}", ""),
    ("LT_ASMENS_KODAS", "lt.asmens", ("asmens kodas", "asmens kodo", "a k", *ID), r"[1-6]\d{10}", ""),
    ("LV_PERSONAS_KODS", "lv.pvn", ("personas kods", "personas koda", "pk", *ID), r"\d{6}-?\d{5}", ""),
    ("MA_ICE", "ma.ice", ("ice", "identifiant commun", *COMPANY), r"\d{15}", ""),
    ("MD_IDNP", "md.idno", ("idnp", "idno", "cod personal", *ID, *COMPANY), r"\d{13}", ""),
    ("MK_EMBG", "sums.jmbg", ("ембг", "embg", "матичен број", *ID), r"\d{13}", ""),
    ("MX_CURP", "mx.curp", ("curp", "clave única de registro", *ID), r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d",
     r"[A-Z]{4}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d"),
    ("MX_RFC", "mx.rfc", ("rfc", "registro federal", *TAX), r"[A-Z]{3,4}\d{6}[0-9A-Z]{3}", ""),
    ("MY_NRIC", "my.nric", ("nric", "mykad", "kad pengenalan", "no kp", "ic", "ic no", *ID), r"\d{6}-?\d{2}-?\d{4}",
     r"\d{6}-\d{2}-\d{4}"),
    ("NL_BSN", "nl.bsn", ("bsn", "burgerservicenummer", "sofinummer", "sofi nummer", *ID),
     r"\d{4}[. ]?\d{2}[. ]?\d{3}|\d{3} ?\d{3} ?\d{3}", ""),
    ("NL_BTW", "nl.btw", ("btw", "btw nummer", "btw id", *VAT), r"NL ?\d{9}B\d{2}", r"NL\d{9}B\d{2}"),
    ("NO_FODSELSNUMMER", "no.fodselsnummer", ("fødselsnummer", "fodselsnummer", "fnr", "personnummer", "d nummer", *ID),
     r"\d{6} ?\d{5}", ""),
    ("NO_ORGNR", "no.orgnr", ("organisasjonsnummer", "orgnr", "org nr", "foretaksnummer", *COMPANY),
     r"\d{3} ?\d{3} ?\d{3}", ""),
    ("NZ_IRD", "nz.ird", ("ird", "ird number", "inland revenue", *TAX), r"\d{2,3}[- ]?\d{3}[- ]?\d{3}", ""),
    ("PE_RUC", "pe.ruc", ("ruc", *TAX), r"(?:10|15|17|20)\d{9}", ""),
    ("PE_DNI", "pe.cui", ("dni", "cui", "documento", *ID), r"\d{8}-?\d || \d{8}-?[A-K]", ""),
    ("PK_CNIC", "pk.cnic", ("cnic", "nicop", "شناختی کارڈ", *ID), r"\d{5}-?\d{7}-?\d", r"[1-7]\d{4}-\d{7}-\d"),
    ("PL_NIP", "pl.nip", ("nip", "numer identyfikacji podatkowej", *TAX, *VAT),
     r"\d{3}[- ]?\d{3}[- ]?\d{2}[- ]?\d{2} || PL ?\d{10}", ""),
    ("PL_REGON", "pl.regon", ("regon", *COMPANY), r"\d{9}(?:\d{5})?", ""),
    ("PT_NIF", "pt.nif", ("nif", "contribuinte", "número de contribuinte", "nipc", *TAX),
     r"\d{3}[. ]?\d{3}[. ]?\d{3}", ""),
    ("PT_CC", "pt.cc", ("cartão de cidadão", "cc", "bilhete de identidade", *ID), r"\d{8} ?\d ?[A-Z]{2}\d", ""),
    ("PY_RUC", "py.ruc", ("ruc", *TAX), r"\d{5,8}-\d", ""),
    ("RO_CNP", "ro.cnp", ("cnp", "cod numeric personal", "codul numeric personal", *ID), r"[1-9]\d{12}", ""),
    ("RO_CUI", "ro.cui", ("cui", "cif", "cod fiscal", "cod unic", *COMPANY, *TAX), r"\d{6,10} || RO ?\d{6,10}", ""),
    ("RS_JMBG", "sums.jmbg", ("jmbg", "јмбг", "matični broj", "матични број", "edinstveni matični broj", *ID),
     r"\d{13}", ""),
    ("RS_PIB", "rs.pib", ("pib", "пиб", "poreski broj", *TAX), r"\d{9}", ""),
    ("RU_INN", "ru.inn", ("инн", "inn", "идентификационный номер налогоплательщика", *TAX), r"\d{10}(?:\d{2})?", ""),
    ("RU_OGRN", "ru.ogrn", ("огрн", "огрнип", "ogrn", *COMPANY), r"\d{13}(?:\d{2})?", ""),
    ("RU_SNILS", "sums.snils", ("снилс", "snils", "страховой номер", *ID), r"\d{3}[- ]?\d{3}[- ]?\d{3}[- ]?\d{2}",
     r"\d{3}-\d{3}-\d{3} \d{2}"),
    ("SA_ID", "sums.luhn", ("رقم الهوية", "رقم الإقامة", "هوية", "iqama", "saudi id", *ID), r"[12]\d{9}", ""),
    ("SI_EMSO", "si.emso", ("emšo", "emso", "enotna matična številka", *ID), r"\d{13}", ""),
    ("SI_TAX_NUMBER", "si.ddv", ("davčna številka", "davčna", "id za ddv", *TAX, *VAT), r"\d{8} || SI\d{8}", ""),
    ("SK_RODNE_CISLO", "sk.rc", ("rodné číslo", "rodne cislo", "rodného čísla", *ID), r"\d{6}/?\d{3,4}", ""),
    ("SK_DIC", "sk.dph", ("dič", "ič dph", "dph", *TAX, *VAT), r"\d{10} || SK\d{10}", ""),
    ("SV_NIT", "sv.nit", ("nit", *TAX), r"\d{4}-?\d{6}-?\d{3}-?\d", r"\d{4}-\d{6}-\d{3}-\d"),
    ("TR_TAX_NUMBER", "tr.vkn", ("vkn", "vergi no", "vergi kimlik", "vergi numarası", *TAX), r"\d{10}", ""),
    ("TW_ID", "sums.taiwan", ("身分證", "身分證字號", "身份證字號", "居留證", "taiwan id", *ID), r"[A-Z][1289]\d{8}",
     r"[A-Z][1289]\d{8}"),
    ("TW_UBN", "tw.ubn", ("統一編號", "統編", "ubn", *COMPANY), r"\d{8}", ""),
    ("UA_RNTRC", "ua.rntrc", ("рнокпп", "ідентифікаційний код", "іпн", "інн", *TAX, *ID), r"\d{10}", ""),
    ("UA_EDRPOU", "ua.edrpou", ("єдрпоу", "едрпоу", *COMPANY), r"\d{8}", ""),
    ("UK_UTR", "gb.utr", ("utr", "unique taxpayer reference", *TAX), r"\d{5} ?\d{5} || \d{5} ?\d{5}K", ""),
    ("UK_VAT", "gb.vat", VAT, r"GB ?\d{3} ?\d{4} ?\d{2}", ""),
    ("UY_CI", "sums.uruguay", ("cédula", "cedula", "ci", *ID), r"\d\.?\d{3}\.?\d{3}-?\d", r"\d\.\d{3}\.\d{3}-\d"),
    ("UY_RUT", "uy.rut", ("rut", *TAX), r"\d{12}", ""),
    ("VE_RIF", "ve.rif", ("rif", *TAX), r"[VEJPG]-?\d{8}-?\d", r"[VEJPG]-\d{8}-\d"),
    ("VN_MST", "vn.mst", ("mst", "mã số thuế", *TAX), r"\d{10}(?:-?\d{3})?", ""),
)  # fmt: skip
_COUNTRIES: Final = {"UK": "GB"}
_CAPITALS: Final = frozenset({"MX_CURP", "TW_ID", "CH_UID", "NL_BTW", "HK_ID", "VE_RIF"})


def _identities() -> Iterator[Identity]:
    for entity, module, words, named, alone in _TABLE:
        country = _COUNTRIES.get(entity[:2], entity[:2])
        for form, beside in ((named, words), (alone, ())):
            if form:
                case = "?-i:" if not beside and entity in _CAPITALS else "?:"  # in lower case these are ordinary words
                patterns = tuple(f"{_L}({case}{one}){_R}" for one in form.split(" || "))
                yield Identity(entity, country, module, beside, not beside, patterns)


NUMBERS: Final[tuple[Identity, ...]] = tuple(_identities())
