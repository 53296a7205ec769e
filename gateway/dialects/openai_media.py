"""OpenAI's images and audio (OpenAI API reference: images, audio), passed through."""

from __future__ import annotations

from typing import Final

from gateway.dialects.field_table import table
from gateway.dialects.passed import Passed

FILE: Final = table("filename type text data", lines=None)
_IMAGE: Final = "model prompt n size quality style response_format user background moderation output_format "
_MADE: Final = table(_IMAGE + "output_compression stream partial_images")
_EDITED: Final = table(
    _IMAGE + "output_compression stream partial_images input_fidelity",
    image=FILE,
    mask=FILE,
    images=table("file_id image_url"),
    **{"image[]": FILE},
)
_HEARD: Final = table(
    "model prompt language response_format temperature stream timestamp_granularities[] include[] chunking_strategy "
    "known_speaker_names[] known_speaker_references[]",
    file=FILE,
    **{"include": None, "timestamp_granularities": None, "chunking_strategy[type]": None},
)
IMAGES: Final = Passed("openai_images", "a list of images", "/images/generations", _MADE, needs=["prompt"], says="data")
IMAGE_EDITS: Final = Passed(
    "openai_image_edits", "a list of edited images", "/images/edits", _EDITED, needs=["prompt"], forms=True, says="data"
)
IMAGE_VARIATIONS: Final = Passed(
    "openai_image_variations",
    "a list of variations",
    "/images/variations",
    _EDITED,
    needs=["image"],
    forms=True,
    says="data",
)
SPEECH: Final = Passed(
    "openai_speech",
    "speech",
    "/audio/speech",
    table("model input voice instructions response_format speed stream_format"),
    needs=["input"],
)
TRANSCRIPTIONS: Final = Passed(
    "openai_transcriptions", "a transcript", "/audio/transcriptions", _HEARD, needs=["file"], forms=True, says="text"
)
TRANSLATIONS: Final = Passed(
    "openai_translations", "a translation", "/audio/translations", _HEARD, needs=["file"], forms=True, says="text"
)
