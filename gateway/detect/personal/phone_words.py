"""Words before a phone number: those that name a phone number, those that may, and those that name other numbers."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


NAMES: Final = _words("""
    phone, phones, telephone, tel, tele, telno, tel no, mobile, mob, cell, cellphone, cellular, fax, telefax, sms,
    whatsapp, telegram, viber, wechat, imo, hotline, helpline, landline, voicemail, pager, toll free, switchboard,
    callback, call back, dial, call center, phone number, phonenumber, phoneno, phone no, telephone number,
    mobilenumber, mobileno, faxnumber, faxno, homephone, workphone, cell no, contact no, contactno, contact number,
    my number, his number, her number, our number, your number, their number, ph, ph no, mobilephone, telnr, msisdn,
    emergency contact, direct line, office line, call us, call me, call him, call her, text me, ring me, reach me,
    telefon, telefonnummer, telefonnr, tel nr, handy, handynummer, handynr, mobil, mobilnummer, mobiltelefon, festnetz,
    anrufen, anruf, rufnummer, durchwahl, rückruf, angerufen, erreichbar, ruf, rufen, ruft, rückrufnummer,
    mobilfunknummer, telefonisch, faxnummer,
    téléphone, téléphoner, téléphonique, numéro de téléphone, télécopie, télécopieur, appelez, appeler, appel, appelle,
    joindre, joignable, numéro de portable, portable, tél, gsm, fixe, rappeler, rappelez,
    teléfono, teléfonos, telefónico, móvil, celular, llamar, llame, llama, llámame, llámeme, llamada, número de
    teléfono, cel, fono, teléf, telf, tlf, llamen,
    telefone, telefones, telemóvel, telemovel, ligue, ligar, liga, celulares, contacto, contato, fone, zap, chamar,
    telefono, telefoni, cellulare, cell, cellulari, chiamare, chiamami, chiamate, chiami, chiama, numero di telefono,
    recapito, telefonico, numero di cellulare,
    telefoon, telefoonnummer, mobiel, mobiele, bellen, belt, bel, bereikbaar, tel.nr, mobiel nummer, gsm-nummer,
    telefonnumber, ring, ringa, ringe, telefonnumret, mobilnr, tlf nr, tlfnr, mobilen, mobiltelefonnummer, telf nr,
    puhelin, puhelinnumero, puh, soita, soittaa, matkapuhelin, gsm numero, kännykkä, numerosta, numeroon,
    sími, símanúmer, farsími, gsm,
    telefonszám, telefonszáma, mobilszám, hívja, hívjon, hívd, telefonon, mobilon, tel.szám,
    komórka, komórkowy, komórki, zadzwoń, zadzwonić, dzwonić, dzwoń, numer telefonu, telefonu, telefonem, telefony,
    telefonní, telefonní číslo, telefonu číslo, mobilní, volejte, zavolejte, zavolat, volat, volejte na, telefónne,
    telefónne číslo, telefónu, mobilné, zavolajte, volajte, mobilu,
    telefonska, telefonska številka, telefonski, pokličite, pokliči, mobilni, gsm številka, mobitel, nazovite, nazvati,
    pozovite, broj telefona, telefonski broj, mobilna,
    telefoninumber, helista, helistage, mobiilinumber, mobiil, tālrunis, tālruņa, zvaniet, telefonas, telefono numeris,
    skambinkite, mobilusis,
    telefonul, telefon fix, număr de telefon, sunați, sunati, apelați, mobilul,
    cep, cep telefonu, telefon no, telefon numarası, telefon numarasi, arayın, arayınız, ara, gsm no, numaram, cep no,
    numarası, tel no,
    телефон, телефона, телефону, телефоны, тел, моб, мобильный, мобильного, звоните, позвоните, звонить, номер телефона,
    сотовый, факс, мобільний, телефонуйте, дзвоніть, телефонен, обадете, мобилен, телефонот, позовите, позвоніть,
    τηλέφωνο, τηλ, κινητό, τηλεφώνου, καλέστε, φαξ, κιν, τηλεφωνήστε,
    טלפון, נייד, טל, פקס, התקשרו, להתקשר, הטלפון, בטלפון,
    هاتف, الهاتف, جوال, الجوال, موبايل, تلفون, فاكس, اتصل, تلفن, موبایل, تماس, شماره تلفن, شماره, همراه, رقم الهاتف,
    فون, موبائل,
    電話, 携帯, 電話番号, 携帯番号, 電, 电话, 手机, 手機, 联系电话, 行動電話, 傳真, 传真, ファックス, 致电, 拨打, 来电,
    전화, 휴대폰, 핸드폰, 연락처, 전화번호, 팩스, 휴대전화,
    โทร, โทรศัพท์, มือถือ, เบอร์, แฟกซ์, โทรสาร,
    điện thoại, số điện thoại, di động, sđt, gọi, liên hệ, đt,
    telepon, nomor telepon, hp, no hp, nomor hp, hubungi, ponsel, telefon bimbit, no tel, nombor telefon, handphone,
    फोन, मोबाइल, फ़ोन, दूरभाष, कॉल, फोन नंबर, ফোন, মোবাইল, தொலைபேசி, ఫోన్, simu, nambari ya simu, selfoon,
    telefoonnommer, namba ya simu, telepono, numero ng telepono, tawagan
""")
"""Words that name a phone, a call, or a number to be called."""

HINTS: Final = _words("""
    call, calls, called, calling, text, texted, message, messages, messaging, signal, reach, reached, contact,
    contacts, registered, extension, t, m, p, f, ring, rang, number is, num, nr, office, home, work,
    direct, urgent, emergency, reservations, booking, voice, caller, callers, kontaktnummer,
    skype, speak, spoke, talk, talked, sent to, forward, forwarded, verify, otp, recipient, from number,
    numéro, numero, número, nummer, numer, číslo, število, número es, numaram, kontakt, kontakta, contattare,
    contactar, contacter, contattami, contactez, contacteer, kontaktieren, yhteystiedot, escríbeme, номер, контакт,
    επικοινωνία, nomor, nombor, συσ, skambinti, zvan, szám
""")
"""Words that stand beside phone numbers, and as often beside others: the number must look like one."""

OTHERS: Final = _words("""
    order, orders, invoice, ticket, tickets, tracking, track, serial, sku, isbn, issn, account, acct, card, ssn,
    social security, passport, license, licence, id, ids, reference, ref, version, date, dated, born, dob, iban, zip,
    zipcode, postcode, postal, price, total, amount, usd, eur, gbp, code, pin, error, errors, port, ports, vat, tax,
    part, parts, part number, model, item, items, product, catalog, catalogue, sku number, batch, lot, case, docket,
    bug, bugs, closes, closed, fixes, cve, cves, cwe,
    issue, pr, pull request, commit, rev, revision, build, release, line, lines, page, pages, pp, vol, volume,
    chapter, section, figure, fig, table, row, rows, column, no order, pid, size, bytes, width, height, resolution,
    range, ranges, score, result, results, timestamp, time, epoch, seed, offset, index, key, hash, digest, md5, sha,
    uuid, guid, lat, lon, lng, latitude, longitude, coordinates, coordinate, doi, rfc, iso, patent, standard, oid,
    loss, step, steps, iteration, steuernummer, bestellnummer, rechnungsnummer, auftragsnummer, artikelnummer,
    kundennummer, commande, facture, pedido, factura, fattura, ordine, bestelling, factuur, zamówienie, faktura,
    zipdfar, dfars, dfar, far, handle, npi, ein, medicare, member, policy, policy number, claim, mrn, patient,
    employee, student, isin, cusip, swift, bic, routing, sort code, meter, vin, imei, imsi, mac, ip, bin, luhn
""")
"""Words that name another number."""
