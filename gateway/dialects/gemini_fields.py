"""The fields of a request in Gemini's dialect (Gemini API reference: models.generateContent, Content, Tool).

Left out on purpose, so that strict providers do not get them: fields that continue a state that is not in the request
(`cachedContent`, `store`).
"""

from __future__ import annotations

from typing import Final

from gateway.dialects.field_table import Table, table
from gateway.dialects.gemini_tables import snake


def _table(names: str = "", **below: Table | None) -> Table:
    """A table of names in camel case, each with its other spelling."""
    found = table(names, **below).keys
    return Table({**found, **{snake(name): value for name, value in found.items()}})


_CONTENT_OF: Final = _table("mimeType data displayName fileUri")
_MEDIA: Final = _table("startOffset endOffset fps level")
PART: Final = _table(
    "text thought thoughtSignature",
    inlineData=_CONTENT_OF,
    fileData=_CONTENT_OF,
    functionCall=_table("id name willContinue", args=None, partialArgs=None),
    functionResponse=_table(
        "id name willContinue scheduling", response=None, parts=_table("", inlineData=_CONTENT_OF, fileData=_CONTENT_OF)
    ),
    executableCode=_table("id language code"),
    codeExecutionResult=_table("id outcome output"),
    toolCall=_table("id toolType", args=None),
    toolResponse=_table("id toolType", response=None),
    videoMetadata=_MEDIA,
    mediaResolution=_MEDIA,
    partMetadata=None,
)
CONTENT: Final = _table("role", parts=PART)
_TOOL: Final = _table(
    "",
    functionDeclarations=_table(
        "name description behavior", parameters=None, parametersJsonSchema=None, response=None, responseJsonSchema=None
    ),
    googleSearch=None,
    googleSearchRetrieval=None,
    googleMaps=None,
    codeExecution=None,
    urlContext=None,
    computerUse=None,
    fileSearch=None,
    mcpServers=None,
    retrieval=None,
    enterpriseWebSearch=None,
)
SETTINGS: Final = _table(
    "stopSequences responseMimeType responseModalities candidateCount maxOutputTokens temperature topP topK seed "
    "presencePenalty frequencyPenalty responseLogprobs logprobs enableEnhancedCivicAnswers mediaResolution "
    "audioTimestamp",
    responseSchema=None,
    responseJsonSchema=None,
    responseFormat=None,
    speechConfig=None,
    imageConfig=None,
    thinkingConfig=_table("includeThoughts thinkingBudget thinkingLevel"),
)
BODY: Final = _table(
    "model serviceTier",
    contents=CONTENT,
    systemInstruction=CONTENT,
    tools=_TOOL,
    toolConfig=_table(
        "includeServerSideToolInvocations",
        functionCallingConfig=_table("mode allowedFunctionNames streamFunctionCallArguments"),
        retrievalConfig=None,
    ),
    safetySettings=_table("category threshold method"),
    generationConfig=SETTINGS,
    labels=None,
    generateContentRequest=None,
)
_EMBEDDED: Final = "model taskType title outputDimensionality autoTruncate"
EMBEDDING: Final = _table(_EMBEDDED, content=CONTENT, embedContentConfig=None)
"""The fields of a request for an embedding."""
EMBEDDINGS: Final = _table("model", requests=EMBEDDING)
"""The fields of a batch of such requests."""
