"""The table of providers: a row has everything that differs from one provider to the next.

A provider of the configuration is of a kind, the name of a row. Values in the file have precedence over the row. A
column that no page of the provider states is left empty: then nothing is changed. The page is in `source`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

# fmt: off
Kind = Literal[
    "openai", "azure", "anthropic", "mistral", "groq", "deepseek", "xai", "together", "fireworks", "openrouter",
    "cohere", "cerebras", "moonshot", "qwen", "zai", "gemini", "vertex", "vertex-anthropic", "bedrock", "ollama",
    "vllm", "llamacpp", "lmstudio"
]
# fmt: on
Auth = Literal["bearer", "x-api-key", "api-key", "google", "aws"]
CLOUDS: Final = frozenset({"google", "aws"})  # need no key: the credentials are those of the machine
Ceiling = Literal["max_tokens", "max_completion_tokens", "as_sent"]
Role = Literal["system", "developer", "as_sent"]


class Row(NamedTuple):
    """One provider.

    `url`: the base URL; `{}` stands for the value of a variable of `places`, `{project}` for one of `projects`, without
    which `base_url` is required.
    `domain`: the key of the environment is sent to hosts of this domain only. `path`: the end of the base URL, added if
    it is missing. `keys`, `places`: variables of the environment, the first that is set counts. `ceiling`: the field
    that limits output tokens. `role`: the role of instructions. `reasoning`: the field of a message with the text of
    the model's reasoning. `unsupported`: parameters that the provider refuses, as names or paths (`messages[].name`).
    `stream_usage`: whether the usage of a stream must be asked for. `responses`: whether it has
    `/responses` for all its models and fields; otherwise, requests of this dialect are translated, which serves every
    model. `dialects`: names of the dialects that it has; all of its format if empty. `litellm`: names in LiteLLM's
    files.
    """

    source: str
    url: str
    domain: str = ""
    path: str = ""
    keys: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    format: Literal["openai", "anthropic", "gemini"] = "openai"
    auth: Auth = "bearer"
    ceiling: Ceiling = "as_sent"
    role: Role = "as_sent"
    reasoning: str = ""
    unsupported: tuple[str, ...] = ()
    stream_usage: bool = True
    responses: bool = False
    dialects: frozenset[str] = frozenset()
    litellm: tuple[str, ...] = ()


_VERTEX: Final = "https://{}-aiplatform.googleapis.com/v1/projects/{project}/locations/{}"
_GOOGLE_PLACES: Final = ("GOOGLE_CLOUD_LOCATION", "GOOGLE_CLOUD_REGION", "CLOUD_ML_REGION")
_GOOGLE_PROJECTS: Final = ("GOOGLE_CLOUD_PROJECT", "ANTHROPIC_VERTEX_PROJECT_ID")
ROWS: Final[Mapping[str, Row]] = {
    "openai": Row(
        # max_tokens is deprecated, and reasoning models refuse it.
        source="https://platform.openai.com/docs/api-reference/chat/create",
        url="https://api.openai.com/v1",
        domain="openai.com",
        keys=("OPENAI_API_KEY",),
        ceiling="max_completion_tokens",
        responses=True,
        litellm=("openai",),
    ),
    "azure": Row(
        # Models of other makers on Azure refuse max_completion_tokens, so the limit stays as sent.
        source="https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle",
        url="{}",
        domain="azure.com",
        path="/openai/v1",
        keys=("AZURE_OPENAI_API_KEY", "AZURE_API_KEY"),
        places=("AZURE_OPENAI_ENDPOINT", "AZURE_API_BASE"),
        auth="api-key",
        responses=True,
        litellm=("azure",),
    ),
    "anthropic": Row(
        source="https://platform.claude.com/docs/en/api/overview",
        url="https://api.anthropic.com",
        domain="anthropic.com",
        keys=("ANTHROPIC_API_KEY",),
        format="anthropic",
        auth="x-api-key",
        litellm=("anthropic",),
    ),
    "mistral": Row(
        # Fields that are not in the reference are refused with 422; the last chunk of a stream always has the usage:
        # https://docs.mistral.ai/resources/release-note/2024-01-16-token-usage-in-streaming-requests
        # Has /responses, which stores nothing (docs.mistral.ai/inference/conversations, 2026-11).
        source="https://docs.mistral.ai/api",
        url="https://api.mistral.ai/v1",
        domain="mistral.ai",
        keys=("MISTRAL_API_KEY",),
        ceiling="max_tokens",
        role="system",
        unsupported=("store",),
        stream_usage=False,
        litellm=("mistral",),
    ),
    "groq": Row(
        source="https://console.groq.com/docs/openai",
        url="https://api.groq.com/openai/v1",
        domain="groq.com",
        keys=("GROQ_API_KEY",),
        unsupported=("logprobs", "top_logprobs", "logit_bias", "messages[].name"),
        responses=True,
        litellm=("groq",),
    ),
    "deepseek": Row(
        # Has /responses for some models, which stores nothing (api-docs.deepseek.com/guides/responses_api, 2026-11).
        source="https://api-docs.deepseek.com/api/create-chat-completion",
        url="https://api.deepseek.com",
        domain="deepseek.com",
        keys=("DEEPSEEK_API_KEY",),
        ceiling="max_tokens",
        role="system",
        reasoning="reasoning_content",
        litellm=("deepseek",),
    ),
    "xai": Row(
        source="https://docs.x.ai/developers/api-reference",
        url="https://api.x.ai/v1",
        domain="x.ai",
        keys=("XAI_API_KEY",),
        responses=True,
        litellm=("xai",),
    ),
    "together": Row(
        # Has /responses in beta: it stores nothing, and with models that are not listed, answers may be malformed
        # (docs.together.ai/docs/inference/responses-api, 2026-11).
        source="https://docs.together.ai/docs/openai-api-compatibility",
        url="https://api.together.ai/v1",
        domain="together.ai",
        keys=("TOGETHER_API_KEY", "TOGETHERAI_API_KEY"),
        litellm=("together_ai",),
    ),
    "fireworks": Row(
        # The last chunk of a stream always has the usage.
        source="https://docs.fireworks.ai/tools-sdks/openai-compatibility",
        url="https://api.fireworks.ai/inference/v1",
        domain="fireworks.ai",
        keys=("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
        stream_usage=False,
        responses=True,
        litellm=("fireworks_ai",),
    ),
    "openrouter": Row(
        source="https://openrouter.ai/docs/api-reference/overview",
        url="https://openrouter.ai/api/v1",
        domain="openrouter.ai",
        keys=("OPENROUTER_API_KEY",),
        reasoning="reasoning",
        responses=True,
        litellm=("openrouter",),
    ),
    "cohere": Row(
        source="https://docs.cohere.com/docs/compatibility-api",
        url="https://api.cohere.ai/compatibility/v1",
        domain="cohere.ai",
        keys=("COHERE_API_KEY", "CO_API_KEY"),
        litellm=("cohere", "cohere_chat"),
    ),
    "cerebras": Row(
        # The role developer is not exposed; system acts as it.
        source="https://inference-docs.cerebras.ai/resources/openai",
        url="https://api.cerebras.ai/v1",
        domain="cerebras.ai",
        keys=("CEREBRAS_API_KEY",),
        role="system",
        litellm=("cerebras",),
    ),
    "moonshot": Row(
        source="https://platform.moonshot.ai/docs/api/chat",
        url="https://api.moonshot.ai/v1",
        domain="moonshot.ai",
        keys=("MOONSHOT_API_KEY",),
        reasoning="reasoning_content",
        litellm=("moonshot",),
    ),
    "qwen": Row(
        # Has /responses, which ignores what it does not know, such as `instructions` and `background`
        # (alibabacloud.com/help/en/model-studio/qwen-api-via-openai-responses, 2026-02): translated, nothing is lost.
        # max_completion_tokens replaced max_tokens on 2026-05-30:
        # https://www.alibabacloud.com/en/notice/model_studio_notice_of_changes_to_certain_model_fields_724
        source="https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope",
        url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        domain="aliyuncs.com",
        keys=("DASHSCOPE_API_KEY",),
        ceiling="max_completion_tokens",
        reasoning="reasoning_content",
        litellm=("dashscope",),
    ),
    "zai": Row(
        source="https://docs.z.ai/api-reference/introduction",
        url="https://api.z.ai/api/paas/v4",
        domain="z.ai",
        keys=("ZAI_API_KEY",),
        litellm=("zai",),
    ),
    "gemini": Row(
        source="https://ai.google.dev/gemini-api/docs/openai",
        url="https://generativelanguage.googleapis.com/v1beta/openai",
        domain="googleapis.com",
        keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        litellm=("gemini",),
    ),
    "vertex": Row(
        source="https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference",
        url=_VERTEX,
        domain="googleapis.com",
        places=_GOOGLE_PLACES,
        projects=_GOOGLE_PROJECTS,
        format="gemini",
        auth="google",
        dialects=frozenset({"gemini", "gemini_stream", "gemini_count", "gemini_embedding"}),
    ),
    "vertex-anthropic": Row(
        source="https://platform.claude.com/docs/en/api/claude-on-vertex-ai",
        url=_VERTEX,
        domain="googleapis.com",
        places=_GOOGLE_PLACES,
        projects=_GOOGLE_PROJECTS,
        format="anthropic",
        auth="google",
        dialects=frozenset({"anthropic_messages", "anthropic_count"}),
    ),
    "bedrock": Row(
        # Has /responses, for other models at this URL than at bedrock-mantle
        # (docs.aws.amazon.com/bedrock/latest/userguide/inference-responses-api.html, 2026-11).
        source="https://docs.aws.amazon.com/bedrock/latest/userguide/models-api-compatibility.html",
        url="https://bedrock-runtime.{}.amazonaws.com/openai/v1",
        domain="amazonaws.com",
        keys=("AWS_BEARER_TOKEN_BEDROCK",),
        places=("AWS_REGION", "AWS_DEFAULT_REGION"),
    ),
    "ollama": Row(
        source="https://docs.ollama.com/api/openai-compatibility",
        url="http://localhost:11434/v1",
        path="/v1",
        ceiling="max_tokens",
        reasoning="reasoning",
        responses=True,
        litellm=("ollama", "ollama_chat"),
    ),
    "vllm": Row(
        source="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        url="http://localhost:8000/v1",
        path="/v1",
        responses=True,
        litellm=("hosted_vllm",),
    ),
    "llamacpp": Row(
        source="https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
        url="http://localhost:8080/v1",
        path="/v1",
        responses=True,
    ),
    "lmstudio": Row(
        source="https://lmstudio.ai/docs/developer/openai-compat",
        url="http://localhost:1234/v1",
        path="/v1",
        responses=True,
        litellm=("lm_studio",),
    ),
}
LITELLM: Final[Mapping[str, str]] = {prefix: kind for kind, row in ROWS.items() for prefix in row.litellm}
"""LiteLLM's name of a provider -> its kind."""
