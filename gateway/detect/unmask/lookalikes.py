"""Letters that look like Latin letters: one table for disguised values, disguised words and host names."""

from __future__ import annotations

from typing import Final

SAME: Final = {
    **dict(zip("асеорхуіјѕԁһӏԛԝпАВСЕНІЈКМОРЅТХУԌԚԜ", "aceopxyijsdhlqwnABCEHIJKMOPSTXYGQW", strict=True)),  # Cyrillic
    **dict(zip("αιορυνκΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aiopuvkABEZHIKMNOPTYX", strict=True)),  # Greek
    **dict(zip("ɑɡı", "agi", strict=True)),
    **dict(zip("ոօսցհ", "nough", strict=True)),  # Armenian
}
"""Letters of the same shape as Latin letters."""
SIMILAR: Final = {
    # Small capitals; letters of phonetics, with strokes, turned; Armenian; Cherokee, as `str.lower` leaves it.
    **dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnopqrstuvwyz", strict=True)),
    **dict(zip("ɛɩɾʋʂʐɦɓɗɠƙɱŋɲƥƭɣøłɨŧʉđħƀ", "eirvszhbdgkmnnptyolitudhb", strict=True)),
    **dict(zip("ɐǝɥᴉɯɹʇʌʍʎɔ", "aehimrtvwyc", strict=True)),
    **dict(zip("զ", "q", strict=True)),
    **dict(zip("ꭺꭼꮐꮖꮮꮎꮲꭱꮪꭲꮜꮩꮃꮋꮇꮶꭰꮯ", "aegiloprstuvwhmkdc", strict=True)),
}
"""Further lower-case letters that are read as Latin letters within words."""
HOSTS: Final = frozenset([*(char for char in SAME if char.islower()), *SIMILAR, *"вќτкмнт"]) - set("пκ")
"""Lower-case letters that pass for Latin letters in a host name, except those that many words of their own alphabet
have next to the others."""
