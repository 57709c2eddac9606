// Real programs on exported GGUF files: llama.cpp (prebuilt, npm package node-llama-cpp) and the parser
// @huggingface/gguf.
//
//   node gguf_clients.mjs NODE_MODULES REQUEST.json ANSWER.json
//
// REQUEST is a list of jobs, each with "file" and any of
//   "parse": true                          the file as @huggingface/gguf reads it: keys, and tensors with their types
//   "greedy": {"start": [ids], "count": n} n more tokens, always the most probable one
//   "loss": [ids]                          mean of -log of the probability of each id but the first
//   "tokenize": [texts]                    ids of each text, without special tokens
// ANSWER is a list of what was asked for, under the same names; "error" is a sentence where it ended early.
import {readFileSync, writeFileSync} from "node:fs";
import {join} from "node:path";
import {pathToFileURL} from "node:url";

const [modules, requestPath, answerPath] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(join(modules, path)).href);
const jobs = JSON.parse(readFileSync(requestPath, "utf8"));

async function parse(file) {
  const {gguf} = await load("@huggingface/gguf/dist/index.mjs");
  const {metadata, tensorInfos} = await gguf(file, {allowLocalFile: true});
  return {
    architecture: metadata["general.architecture"],
    keys: Object.keys(metadata).length,
    tensors: tensorInfos.map((t) => ({name: t.name, type: Number(t.dtype), shape: t.shape.map(Number)})),
  };
}

async function greedy(sequence, {start, count}) {
  const out = [...start];
  for await (const token of sequence.evaluate(start, {temperature: 0, yieldEogToken: true})) {
    out.push(token);
    if (out.length >= start.length + count) break;
  }
  return out;
}

async function loss(sequence, ids) {
  let sum = 0;
  const input = ids.slice(0, -1).map((id) => [id, {generateNext: {probabilities: true}}]);
  const output = await sequence.controlledEvaluate(input);
  for (let i = 0; i + 1 < ids.length; i++) sum -= Math.log(output[i].next.probabilities.get(ids[i + 1]));
  return sum / (ids.length - 1);
}

async function run(llama, job, answer) {
  if (job.parse) answer.parse = await parse(job.file);
  if (!job.greedy && !job.loss && !job.tokenize) return;
  const model = await llama.loadModel({modelPath: job.file});
  try {
    if (job.tokenize) answer.tokenize = job.tokenize.map((text) => model.tokenize(text, false));
    if (job.greedy || job.loss) {
      const context = await model.createContext({contextSize: 512, threads: 1, batchSize: 512, flashAttention: false,
        experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32"});
      const sequence = context.getSequence();
      if (job.greedy) answer.greedy = await greedy(sequence, job.greedy);
      await sequence.clearHistory();
      if (job.loss) answer.loss = await loss(sequence, job.loss);
      await context.dispose();
    }
  } finally {
    await model.dispose();
  }
}

const {getLlama, LlamaLogLevel} = await load("node-llama-cpp/dist/index.js");
const llama = await getLlama({gpu: false, build: "never", usePrebuiltBinaries: true, logLevel: LlamaLogLevel.error});
const answers = [];
for (const job of jobs) {
  const answer = {};
  answers.push(answer);
  try {
    await run(llama, job, answer);
  } catch (error) {
    answer.error = String(error.message ?? error);
  }
}
writeFileSync(answerPath, JSON.stringify(answers));
process.exit(0);
