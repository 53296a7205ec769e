// What both servers of the conformance tests offer: tools that ask nothing, resources and prompts.
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
const WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA==";
export const text = (said) => ({ type: "text", text: said });
export const image = { type: "image", data: PNG, mimeType: "image/png" };
export const resource = (uri, mimeType, said) => ({ type: "resource", resource: { uri, mimeType, text: said } });
export const content = (...parts) => ({ content: parts });

export const plain = {
  test_simple_text: () => content(text("This is a simple text response for testing.")),
  test_image_content: () => content(image),
  test_audio_content: () => content({ type: "audio", data: WAV, mimeType: "audio/wav" }),
  test_embedded_resource: () =>
    content(resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")),
  test_multiple_content_types: () =>
    content(
      text("Multiple content types test:"),
      image,
      resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ),
  test_error_handling: () => ({ ...content(text("This tool intentionally returns an error for testing")), isError: true }),
  json_schema_2020_12_tool: () => content(text("ok")),
};
export const schemas = {
  test_sampling: { type: "object", properties: { prompt: { type: "string" } }, required: ["prompt"] },
  json_schema_2020_12_tool: {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    $defs: { address: { $anchor: "place", type: "object", properties: { street: { type: "string" }, city: { type: "string" } } } },
    properties: {
      name: { type: "string" },
      address: { $ref: "#/$defs/address" },
      by: { enum: ["phone", "email"] },
      phone: { type: "string" },
      email: { type: "string" },
    },
    allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
    if: { properties: { by: { const: "phone" } }, required: ["by"] },
    then: { required: ["phone"] },
    else: { required: ["email"] },
    additionalProperties: false,
  },
};
export const resources = [
  { uri: "test://static-text", name: "Text", description: "A text", mimeType: "text/plain" },
  { uri: "test://static-binary", name: "Image", description: "An image", mimeType: "image/png" },
  { uri: "test://watched-resource", name: "Watched", description: "A text that changes", mimeType: "text/plain" },
];
export const templates = [
  { uriTemplate: "test://template/{id}/data", name: "Template", description: "Data", mimeType: "application/json" },
];
const user = (said) => ({ role: "user", content: said });
const needed = (name) => ({ name, description: "A test argument", required: true });
export const prompts = {
  test_simple_prompt: { arguments: [], says: () => [user(text("This is a simple prompt for testing."))] },
  test_prompt_with_arguments: {
    arguments: [needed("arg1"), needed("arg2")],
    says: ({ arg1, arg2 }) => [user(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))],
  },
  test_prompt_with_embedded_resource: {
    arguments: [needed("resourceUri")],
    says: ({ resourceUri }) => [
      user(resource(resourceUri, "text/plain", "Embedded resource content for testing.")),
      user(text("Please process the embedded resource above.")),
    ],
  },
  test_prompt_with_image: { arguments: [], says: () => [user(image), user(text("Please analyze the image above."))] },
};

export function read(uri) {
  const id = /^test:\/\/template\/(.+)\/data$/.exec(uri)?.[1];
  const said = id && JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
  if (id) return { uri, mimeType: "application/json", text: said };
  if (uri === "test://static-binary") return { uri, mimeType: "image/png", blob: PNG };
  const found = { uri, mimeType: "text/plain", text: "This is the content of the static text resource." };
  return resources.some((one) => one.uri === uri) ? found : undefined;
}
