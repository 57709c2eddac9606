// Tokens a second of bench_decode and of llama.cpp (node-llama-cpp), one after the other in turns: the shape of
// TinyLlama-1.1B, random ternary weights in 2 bits (TQ2_0 there), the same threads. Machines are noisy, so the best of
// several turns counts for both; and with one thread seconds are of the processor, so that a busy machine can be
// measured too. A table comes at the end.
//
//   npm install --prefix FOLDER node-llama-cpp
//   node tests/bench/llama_cpp.mjs FOLDER build/tests/bench/bench_decode [threads] [head] [turns]
//
// head: q8_0 (ours: int8) or bf16 (ours: bf16).
import {execFileSync} from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const shape = {vocab: 32000, hidden: 2048, ffn: 5632, layers: 22, heads: 32, kvHeads: 4, headDim: 64};
const [packages, bench, threads = "2", head = "q8_0", turns = "3"] = process.argv.slice(2);
const promptTokens = 256, newTokens = 48;

// ---- a GGUF file ----

const types = {f32: [0, 1, 4], q8_0: [8, 32, 34], bf16: [30, 1, 2], tq2_0: [35, 256, 66]}; // code, values, bytes

const u32 = (x) => { const b = Buffer.alloc(4); b.writeUInt32LE(x); return b; };
const u64 = (x) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(x)); return b; };
const f32 = (x) => { const b = Buffer.alloc(4); b.writeFloatLE(x); return b; };
const str = (s) => Buffer.concat([u64(Buffer.byteLength(s)), Buffer.from(s)]);
const key = (name, type, value) => Buffer.concat([str(name), u32(type), value]);
const array = (name, type, values) => key(name, 9, Buffer.concat([u32(type), u64(values.length), ...values]));

function metadata() {
    const tokens = Array.from({length: shape.vocab}, (_, i) => i < 3 ? ["<unk>", "<s>", "</s>"][i] :
        i < 259 ? `<0x${(i - 3).toString(16).toUpperCase().padStart(2, "0")}>` : `t${i}`);
    const number = (name, x) => key(`llama.${name}`, 4, u32(x));
    return [
        key("general.architecture", 8, str("llama")), key("general.name", 8, str("random")),
        number("context_length", 2048), number("embedding_length", shape.hidden), number("block_count", shape.layers),
        number("feed_forward_length", shape.ffn), number("attention.head_count", shape.heads),
        number("attention.head_count_kv", shape.kvHeads), number("rope.dimension_count", shape.headDim),
        number("vocab_size", shape.vocab), key("llama.attention.layer_norm_rms_epsilon", 6, f32(1e-5)),
        key("tokenizer.ggml.model", 8, str("llama")), array("tokenizer.ggml.tokens", 8, tokens.map(str)),
        array("tokenizer.ggml.scores", 6, tokens.map((_, i) => f32(-i))),
        array("tokenizer.ggml.token_type", 5, tokens.map((_, i) => u32(i === 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1))),
        key("tokenizer.ggml.bos_token_id", 4, u32(1)), key("tokenizer.ggml.eos_token_id", 4, u32(2)),
    ];
}

function tensorList() {
    const {hidden, ffn, vocab, heads, kvHeads, headDim} = shape, list = [["token_embd", "q8_0", hidden, vocab]];
    for (let i = 0; i < shape.layers; i++)
        list.push([`blk.${i}.attn_norm`, "f32", hidden], [`blk.${i}.attn_q`, "tq2_0", hidden, heads * headDim],
                  [`blk.${i}.attn_k`, "tq2_0", hidden, kvHeads * headDim],
                  [`blk.${i}.attn_v`, "tq2_0", hidden, kvHeads * headDim],
                  [`blk.${i}.attn_output`, "tq2_0", heads * headDim, hidden], [`blk.${i}.ffn_norm`, "f32", hidden],
                  [`blk.${i}.ffn_gate`, "tq2_0", hidden, ffn], [`blk.${i}.ffn_up`, "tq2_0", hidden, ffn],
                  [`blk.${i}.ffn_down`, "tq2_0", ffn, hidden]);
    list.push(["output_norm", "f32", hidden], ["output", head, hidden, vocab]);
    return list.map(([name, type, ...ne]) => ({name: `${name}.weight`, type, ne,
        bytes: ne.reduce((a, b) => a * b) / types[type][1] * types[type][2]}));
}

let seed = 1;
const random = () => (seed = Math.imul(seed, 1664525) + 1013904223 >>> 0) >>> 8;

function fill(tensor) {
    const data = Buffer.alloc(tensor.bytes), [, values, size] = types[tensor.type];
    for (let at = 0; at < data.length; at += size)
        if (values === 1 && size === 4)
            data.writeFloatLE(1, at);
        else if (tensor.type === "bf16")
            data.writeUInt16LE(0x3c00 + (random() & 0x807f), at);
        else if (tensor.type === "q8_0") {
            data.writeUInt16LE(0x1000, at);
            for (let j = 2; j < size; j++)
                data[at + j] = random();
        } else {
            for (let j = 0; j < 64; j++)
                data[at + j] = random() % 3 | random() % 3 << 2 | random() % 3 << 4 | random() % 3 << 6;
            data.writeUInt16LE(0x2500, at + 64);
        }
    return data;
}

function writeModel(file) {
    const keys = metadata(), tensors = tensorList(), infos = [], pad = (n) => (n + 31) / 32 >>> 0 << 5;
    let offset = 0;
    for (const t of tensors) {
        infos.push(str(t.name), u32(t.ne.length), ...t.ne.map(u64), u32(types[t.type][0]), u64(offset));
        offset += Math.ceil(t.bytes / 32) * 32;
    }
    const header = Buffer.concat([Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(keys.length), ...keys, ...infos]);
    const out = fs.openSync(file, "w");
    fs.writeSync(out, Buffer.concat([header, Buffer.alloc(pad(header.length) - header.length)]));
    for (const t of tensors)
        fs.writeSync(out, Buffer.concat([fill(t), Buffer.alloc(Math.ceil(t.bytes / 32) * 32 - t.bytes)]));
    fs.closeSync(out);
}

// ---- both programs ----

function ours() {
    const text = execFileSync(bench, ["--threads", threads, "--prompt", promptTokens, "--tokens", newTokens, "--head",
                                      head === "q8_0" ? "int8" : head, "--json", "-"].map(String), {encoding: "utf8"});
    const row = JSON.parse(text).rows[0], speeds = [row.prompt_tokens_per_second, row.tokens_per_second];
    console.log(`bitnet-train  threads ${threads}  head ${head}  prompt ${speeds[0].toFixed(1)} tokens/s  ` +
                `decode ${speeds[1].toFixed(2)} tokens/s`);
    return speeds;
}

// Seconds: of the processor with one thread, so that other programs on the machine do not count, else of the clock.
function seconds() {
    const {user, system} = process.cpuUsage();
    return Number(threads) === 1 ? (user + system) / 1e6 : performance.now() / 1e3;
}

async function theirs(model) {
    const context = await model.createContext({contextSize: 512, batchSize: promptTokens, threads: Number(threads)});
    const sequence = context.getSequence(), tokens = Array.from({length: promptTokens}, (_, i) => 300 + i * 7);
    const begin = seconds();
    await sequence.evaluateWithoutGeneratingNewTokens(tokens);
    const prompt = seconds();
    let made = 0;
    for await (const token of sequence.evaluate([400], {temperature: 0, yieldEogToken: true})) // eslint-disable-line
        if (++made === newTokens)
            break;
    const end = seconds();
    await context.dispose();
    const speeds = [promptTokens / (prompt - begin), made / (end - prompt)];
    console.log(`llama.cpp     threads ${threads}  head ${head}  prompt ${speeds[0].toFixed(1)} tokens/s  ` +
                `decode ${speeds[1].toFixed(2)} tokens/s`);
    return speeds;
}

// The table of docs/evaluate.md.
function printTable({ours, theirs}) {
    const row = (name, [prompt, decode], digits) => console.log(
        `| ${name} | ${prompt.toFixed(digits)} | ${decode.toFixed(2)} |`);
    const unit = Number(threads) === 1 ? "a second of the processor" : "a second";
    const head8 = head === "q8_0";
    console.log(`\n| TinyLlama-1.1B's shape, threads ${threads} | prompt tokens ${unit} | decode tokens ${unit} |`);
    console.log("|---|---:|---:|");
    row(`bitnet-train, 2 bits, head ${head8 ? "int8" : head}, float32 cache`, ours, 1);
    row(`llama.cpp, TQ2_0, head ${head}, float16 cache`, theirs, 1);
    row("ratio", ours.map((x, i) => x / theirs[i]), 2);
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "bench-llama-"));
try {
    const require = createRequire(path.join(path.resolve(packages), "x.js"));
    const {getLlama} = await import(pathToFileURL(require.resolve("node-llama-cpp")));
    const file = path.join(folder, "random.gguf");
    writeModel(file);
    const llama = await getLlama({gpu: false, build: "never", maxThreads: Number(threads), logLevel: "error"});
    const model = await llama.loadModel({modelPath: file, useMmap: false});
    const best = {ours: [0, 0], theirs: [0, 0]};
    for (let turn = 0; turn < Number(turns); turn++) {
        best.ours = ours().map((x, i) => Math.max(x, best.ours[i]));
        best.theirs = (await theirs(model)).map((x, i) => Math.max(x, best.theirs[i]));
    }
    printTable(best);
    await model.dispose();
    await llama.dispose();
} finally {
    fs.rmSync(folder, {recursive: true, force: true});
}
