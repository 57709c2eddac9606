// Hugging Face's tokenizers as a server: one JSON value a line on stdin, the answer as one line on stdout.
//   node peer.mjs FOLDER      FOLDER has node_modules/tokenizers
//   {"open": PATH}                                    {"vocab": N}
//   {"encode": [TEXT...], "special": BOOL}            {"ids": [[ID...]...]}
//   {"decode": [[ID...]...], "skip": BOOL}            {"texts": [TEXT...]}
//   {"nfc": [TEXT...]}                                {"texts": [TEXT...]}
//   {"train": PATH, "save": PATH}                     {}: a byte-level BPE as its trainer makes it, without options
//   {"split": [TEXT...]}                              {"pieces": [[PIECE...]...]}, by the open tokenizer's pre_tokenizer
//   {"time": [TEXT...], "rounds": N, "batch": BOOL}   {"seconds": N, "cpu": N, "tokens": N}
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

const folder = process.argv[2]
const { BPE, Tokenizer, byteLevelPreTokenizer, nfcNormalizer } = createRequire(folder + '/')('tokenizers')
const nfc = nfcNormalizer()
const plain = { addSpecialTokens: false }
let tokenizer

async function encodeAll(texts, batch) {
  if (batch) return tokenizer.encodeBatch(texts, plain)
  const encodings = []
  for (const text of texts) encodings.push(await tokenizer.encode(text, null, plain))
  return encodings
}

async function time({ time: texts, rounds, batch }) {
  const best = { tokens: 0 } // the round with the least processor time
  for (let round = 0; round < rounds; round++) {
    const cpuBefore = process.cpuUsage()
    const start = performance.now()
    const encodings = await encodeAll(texts, batch)
    const seconds = (performance.now() - start) / 1e3
    const cpu = process.cpuUsage(cpuBefore)
    best.tokens = encodings.reduce((sum, encoding) => sum + encoding.getLength(), 0)
    const used = (cpu.user + cpu.system) / 1e6
    if (round === 0 || used < best.cpu) Object.assign(best, { seconds, cpu: used })
  }
  return best
}

function train(path, save) {
  const fresh = new Tokenizer(BPE.empty())
  fresh.setPreTokenizer(byteLevelPreTokenizer(false))
  fresh.train([path])
  fresh.save(save)
}

async function answer(request) {
  if (request.open) {
    tokenizer = Tokenizer.fromFile(request.open)
    return { vocab: tokenizer.getVocabSize(true) }
  }
  if (request.encode) {
    const encodings = await tokenizer.encodeBatch(request.encode, { addSpecialTokens: request.special })
    return { ids: encodings.map((encoding) => encoding.getIds()) }
  }
  if (request.decode) return { texts: await tokenizer.decodeBatch(request.decode, request.skip) }
  if (request.nfc) return { texts: request.nfc.map((text) => nfc.normalizeString(text)) }
  if (request.split) {
    const splitter = tokenizer.getPreTokenizer()
    return { pieces: request.split.map((text) => splitter.preTokenizeString(text).map(([piece]) => piece)) }
  }
  if (request.train) {
    train(request.train, request.save)
    return {}
  }
  return time(request)
}

for await (const line of createInterface({ input: process.stdin })) {
  const reply = await answer(JSON.parse(line)).catch((error) => ({ error: String(error) }))
  process.stdout.write(JSON.stringify(reply) + '\n')
}
