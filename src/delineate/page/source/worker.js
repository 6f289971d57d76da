// In a worker of the page, after ONNX Runtime's program, which has made `ort`: loads the model, then runs it on picture after picture.

let session;

self.onmessage = async ({ data: { id, wasm, model, input } }) => {
  try {
    if (model) await load(wasm, model);
    const answer = input ? await run(input) : {};
    self.postMessage({ id, ...answer }, input ? [answer.probabilities.buffer] : []);
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
};

async function load(wasm, model) {
  Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: wasm }); // threads need headers that a file does not have
  ort.env.logLevel = "error";
  // No arena and no pattern: memory of a large picture is given back after it.
  const memory = { enableCpuMemArena: false, enableMemPattern: false };
  // Errors alone: of half precision the runtime says that it cannot fold constants, which changes no result.
  session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], logSeverityLevel: 3, ...memory });
}

async function run({ width, height, numbers, data }) {
  const image = new ort.Tensor(numbers, data, [1, height, width, data.length / (width * height)]);
  const { probabilities } = await session.run({ image }, ["probabilities"]);
  return { probabilities: await probabilities.getData() };
}
