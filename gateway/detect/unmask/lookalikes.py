"""Letters that look like Latin ones: one table for values in disguise, words in disguise and names of hosts."""

from __future__ import annotations

from typing import Final

SAME: Final = {
    **dict(zip("асеорхуіјѕԁһӏԛԝпАВСЕНІЈКМОРЅТХУԌԚԜ", "aceopxyijsdhlqwnABCEHIJKMOPSTXYGQW", strict=True)),  # Cyrillic
    **dict(zip("αιορυνκΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aiopuvkABEZHIKMNOPTYX", strict=True)),  # Greek
    **dict(zip("ɑɡı", "agi", strict=True)),
    **dict(zip("ոօսցհ", "nough", strict=True)),  # Armenian
}
"""Letters of the same shape, which a reader takes for the Latin ones."""
SIMILAR: Final = {
    # Small capitals; letters of phonetics, with strokes, turned; Armenian; Cherokee, as `str.lower` leaves it.
    **dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘꞯʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnopqrstuvwyz", strict=True)),
    **dict(zip("ɛɩɾʋʂʐɦɓɗɠƙɱŋɲƥƭɣøłɨŧʉđħƀ", "eirvszhbdgkmnnptyolitudhb", strict=True)),
    **dict(zip("ɐǝɥᴉɯɹʇʌʍʎɔ", "aehimrtvwyc", strict=True)),
    **dict(zip("զ", "q", strict=True)),
    **dict(zip("ꭺꭼꮐꮖꮮꮎꮲꭱꮪꭲꮜꮩꮃꮋꮇꮶꭰꮯ", "aegiloprstuvwhmkdc", strict=True)),
}
"""Further small letters that people read as Latin ones in words."""
HOSTS: Final = frozenset([*(char for char in SAME if char.islower()), *SIMILAR, *"вќτкмнт"]) - set("пκ")
"""Small letters that pass for Latin ones in the name of a host. Without those that many words of their own alphabet
need beside the others."""
