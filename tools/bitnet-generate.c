/* bitnet-generate - text from a model. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/stream.h"
#include "model_options.h"
#include "text/bpe.h"
#include "text/buffer.h"
#include "text/chat.h"
#include "text/separators.h"
#include "train/generate.h"

/* Room for tokens, unless --context asks for another one: the model's own, up to this. */
enum { USUAL_CONTEXT = 8192 };

struct request {
    const char *model, *file, *head, *before, *chat_format, *system;
    bool chat, echo, show_special, ignore_eos;
    struct bt_option_list stops;
    struct bt_sampling sampling;
    uint64_t max_tokens, context;
    struct bt_model_options_given given;
    bool quiet;
};

/* All that a text is made with. */
struct session {
    const struct request *request;
    struct bt_compute compute;
    struct bt_loaded_model *model;
    struct bt_tokenizer *tokenizer;
    struct bt_tokenizer_scratch *scratch;
    struct bt_chat *chat; /* NULL without --chat */
    struct bt_infer *engine;
    struct bt_generator *generator;
    struct bt_end_ids ends;
};

static enum bt_infer_head head_of(const char *word)
{
    static const char *const words[] = {[BT_INFER_HEAD_AUTO] = "auto",
                                        [BT_INFER_HEAD_F32] = "f32",
                                        [BT_INFER_HEAD_BF16] = "bf16",
                                        [BT_INFER_HEAD_INT8] = "int8"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(words[i], word))
            return (enum bt_infer_head)i;
    return BT_INFER_HEAD_AUTO;
}

static enum bt_err choose_context(const struct session *s, size_t *ret_context, struct bt_diag *diag)
{
    const uint64_t most = s->model->config->max_position_embeddings, asked = s->request->context;
    if (asked > most)
        return bt_fail(diag, BT_EUSAGE, "--context: found %" PRIu64 ", but the model has %" PRIu64 " positions", asked,
                       most);
    *ret_context = (size_t)(asked ? asked : most < USUAL_CONTEXT ? most : USUAL_CONTEXT);
    return BT_OK;
}

/* The engine takes over the weights: those of the folder are given back. */
static enum bt_err make_engine(struct session *s, struct bt_diag *diag)
{
    const struct bt_run_as run_as = bt_model_options_run_as(&s->request->given, s->model);
    struct bt_infer_options options = {.ternary_weights = run_as.ternary,
                                       .int8_activations = run_as.int8,
                                       .lambda = (float)run_as.lambda,
                                       .head = head_of(s->request->head)};
    enum bt_err err = choose_context(s, &options.context, diag);
    if (!err)
        err = bt_infer_create(&s->model->params, &options, bt_infer_flat_tensor, s->model->weights, &s->compute,
                              &s->engine, diag);
    if (err)
        return err;
    bt_arena_finish(&s->model->memory);
    s->model->weights = NULL;
    return bt_generator_create(s->engine, s->tokenizer, s->model->shape.vocab, options.context, &s->generator, diag);
}

static enum bt_err read_ends(struct session *s, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    if (!s->request->ignore_eos)
        err = bt_end_ids_read(s->model, &s->ends, diag);
    if (!err && s->chat && !s->request->ignore_eos)
        err = bt_end_ids_add(&s->ends, bt_chat_end_token(s->chat), diag);
    return err;
}

static enum bt_err open_session(struct session *s, struct bt_diag *diag)
{
    const struct request *r = s->request;
    enum bt_err err;
    if ((err = bt_model_options_begin(&r->given, &s->compute, diag)) ||
        (err = bt_model_load(r->model, &s->model, diag)) ||
        (err = bt_model_open_tokenizer(s->model, &s->tokenizer, diag)) ||
        (err = bt_tokenizer_scratch_create(s->tokenizer, &s->scratch, diag)))
        return err;
    if (r->chat && (err = bt_chat_open(s->model->path, s->tokenizer, r->chat_format, &s->chat, diag)))
        return err;
    if (s->chat && bt_chat_is_none(s->chat))
        return bt_fail(diag, BT_EUSAGE, "%s has no chat template; --chat-format names one, or leave --chat out",
                       r->model);
    err = read_ends(s, diag);
    return err ? err : make_engine(s, diag);
}

static void close_session(struct session *s)
{
    bt_end_ids_finish(&s->ends);
    bt_generator_destroy(s->generator);
    bt_infer_destroy(s->engine);
    bt_chat_close(s->chat);
    bt_tokenizer_scratch_destroy(s->scratch);
    bt_tokenizer_close(s->tokenizer);
    bt_model_unload(s->model);
}

struct collected { /* where text goes: stdout, and here when a conversation goes on with it */
    struct bt_buffer text;
    bool keep, failed;
};

static bool show_text(void *context, const char *text, size_t size)
{
    struct collected *to = context;
    if (to->keep && !bt_buffer_put(&to->text, text, size))
        to->failed = true;
    return fwrite(text, 1, size, stdout) == size && !fflush(stdout) && !to->failed;
}

static double rate(size_t tokens, double seconds)
{
    return seconds > 0.0 ? (double)tokens / seconds : 0.0;
}

static void say_speed(const struct bt_generation_report *r)
{
    fprintf(stderr, "prompt %zu tokens, %.1f tokens/s; made %zu tokens, %.1f tokens/s; ended by %s\n", r->prompt_tokens,
            rate(r->prompt_tokens, r->prompt_seconds), r->tokens, rate(r->tokens, r->decode_seconds),
            bt_generation_end_name(r->end));
}

static enum bt_err generate(struct session *s, const struct bt_ids *ids, struct collected *to, struct bt_diag *diag)
{
    const struct request *r = s->request;
    struct bt_generation_report report;
    const struct bt_generation generation = {.sampling = r->sampling,
                                             .stops = r->stops.values,
                                             .stop_count = r->stops.count,
                                             .ends = &s->ends,
                                             .max_tokens = r->max_tokens,
                                             .show_special = r->show_special};
    if (!ids->count)
        return bt_fail(diag, BT_EUSAGE, "there is nothing to begin with: the prompt is empty and the model has no BOS");
    enum bt_err err = bt_generate(s->generator, &generation, ids->at, ids->count, show_text, to, &report, diag);
    if (!err && to->failed)
        err = bt_fail_nomem(diag);
    if (err)
        return err;
    putchar('\n');
    if (!r->quiet)
        say_speed(&report);
    return BT_OK;
}

/* A prompt begins as documents do in training, and special tokens that are spelled out in it count. */
static enum bt_err continue_text(struct session *s, const char *prompt, size_t size, struct bt_diag *diag)
{
    struct bt_separators separators;
    struct bt_ids ids = {0};
    struct collected to = {.keep = false};
    enum bt_err err = bt_separators_choose(s->model->path, s->tokenizer, s->request->before, "none", &separators, diag);
    if (!err && separators.before != BT_NO_TOKEN && !bt_ids_put(&ids, &separators.before, 1))
        err = bt_fail_nomem(diag);
    if (!err)
        err = bt_tokenizer_encode(s->tokenizer, s->scratch, prompt, size, false, &ids, diag);
    if (!err && s->request->echo)
        show_text(&to, prompt, size);
    if (!err)
        err = generate(s, &ids, &to, diag);
    bt_ids_finish(&ids);
    return err;
}

/* ---- conversations ---- */

struct conversation {
    struct bt_chat_message *messages;
    size_t count;
};

static void finish_conversation(struct conversation *c)
{
    for (size_t i = 0; i < c->count; i++)
        bt_free((void *)c->messages[i].text);
    bt_free(c->messages);
}

/* Adds a message with a text of its own. */
static enum bt_err add_message(struct conversation *c, enum bt_chat_role role, const char *text, size_t size,
                               struct bt_diag *diag)
{
    struct bt_chat_message *messages = bt_realloc(c->messages, c->count + 1, sizeof *messages);
    if (messages)
        c->messages = messages;
    char *copy = bt_strndup(text, size);
    if (!messages || !copy) {
        bt_free(copy);
        return bt_fail_nomem(diag);
    }
    messages[c->count++] = (struct bt_chat_message){.role = role, .text = copy, .size = size};
    return BT_OK;
}

/* What the user says, and the model's answer, which the conversation goes on with. */
static enum bt_err one_turn(struct session *s, struct conversation *c, const char *text, size_t size,
                            struct bt_diag *diag)
{
    struct bt_labelled prompt = {0};
    struct collected answer = {.keep = true};
    enum bt_err err = add_message(c, BT_CHAT_USER, text, size, diag);
    if (!err)
        err = bt_chat_encode_prompt(s->chat, s->scratch, c->messages, c->count, &prompt, diag);
    if (!err)
        err = generate(s, &prompt.ids, &answer, diag);
    if (!err)
        err = add_message(c, BT_CHAT_ASSISTANT, answer.text.size ? answer.text.at : "", answer.text.size, diag);
    bt_labelled_finish(&prompt);
    bt_buffer_finish(&answer.text);
    return err;
}

/* Every line of stdin is something that the user says. */
static enum bt_err talk(struct session *s, struct conversation *c, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    while (!err && (size = getline(&line, &capacity, stdin)) >= 0) {
        size -= size && line[size - 1] == '\n';
        if (size)
            err = one_turn(s, c, line, (size_t)size, diag);
    }
    if (!err && ferror(stdin))
        err = bt_fail(diag, BT_EINPUT, "standard input cannot be read");
    free(line);
    return err;
}

static enum bt_err converse(struct session *s, const char *prompt, size_t size, struct bt_diag *diag)
{
    struct conversation c = {0};
    const char *system = s->request->system;
    enum bt_err err = system ? add_message(&c, BT_CHAT_SYSTEM, system, strlen(system), diag) : BT_OK;
    if (!err)
        err = prompt ? one_turn(s, &c, prompt, size, diag) : talk(s, &c, diag);
    finish_conversation(&c);
    return err;
}

/* ---- the command line ---- */

/* The whole file ("-": stdin) without the line break at its end. */
static enum bt_err read_prompt(const char *path, struct bt_buffer *prompt, struct bt_diag *diag)
{
    struct bt_stream *stream = NULL;
    size_t size = 1;
    enum bt_err err = bt_stream_open(strcmp(path, "-") ? path : "/dev/stdin", &stream, diag);
    while (!err && size) {
        if (!bt_buffer_reserve(prompt, 1 << 16))
            err = bt_fail_nomem(diag);
        else if (!(err = bt_stream_read(stream, prompt->at + prompt->size, 1 << 16, &size, diag)))
            prompt->size += size;
    }
    bt_stream_close(stream);
    prompt->size -= !err && prompt->size && prompt->at[prompt->size - 1] == '\n';
    return err;
}

static enum bt_err check_request(const struct request *r, const struct bt_command_line *line, struct bt_diag *diag)
{
    if (!r->model)
        return bt_fail(diag, BT_EUSAGE, "--model DIR is missing; --help says more");
    if (line->operand_count > 1)
        return bt_fail(diag, BT_EUSAGE, "there is no use for the argument \"%s\": a prompt is one argument",
                       line->operands[1]);
    if (line->operand_count && r->file)
        return bt_fail(diag, BT_EUSAGE, "a prompt and --file exclude each other");
    if (!line->operand_count && !r->file && !r->chat)
        return bt_fail(diag, BT_EUSAGE, "a prompt is missing: give it as an argument, or --file FILE");
    if ((r->system || r->chat_format) && !r->chat)
        return bt_fail(diag, BT_EUSAGE, "--%s belongs to --chat", r->system ? "system" : "chat-format");
    if (r->chat && (r->echo || r->before))
        return bt_fail(diag, BT_EUSAGE, "--%s has no use with --chat", r->echo ? "echo" : "before");
    for (size_t i = 0; i < r->stops.count; i++)
        if (!*r->stops.values[i])
            return bt_fail(diag, BT_EUSAGE, "--stop: found \"\", expected a text");
    return bt_sampling_check(&r->sampling, diag);
}

static enum bt_err run(void *context, const struct bt_command_line *line, struct bt_diag *diag)
{
    struct request *r = context;
    struct bt_buffer file = {0};
    struct session session = {.request = r};
    const char *prompt = line->operand_count ? line->operands[0] : NULL;
    size_t size = prompt ? strlen(prompt) : 0;
    enum bt_err err = check_request(r, line, diag);
    r->quiet = line->quiet;
    if (!err && r->file && !(err = read_prompt(r->file, &file, diag))) {
        prompt = file.size ? file.at : "";
        size = file.size;
    }
    if (!err)
        err = open_session(&session, diag);
    if (!err)
        err = session.chat ? converse(&session, prompt, size, diag) : continue_text(&session, prompt, size, diag);
    close_session(&session);
    bt_buffer_finish(&file);
    return err;
}

int main(int argc, char **argv)
{
    struct request r = {.head = "auto",
                        .max_tokens = 256,
                        .sampling = {.temperature = 0.8, .top_p = 0.95, .repetition_penalty = 1.0},
                        .given = BT_MODEL_OPTIONS_NONE};
    const struct bt_option options[] = {
        {"model", "DIR", BT_OPTION_TEXT, &r.model, 0, "a model folder, a checkpoint or a GGUF file"},
        {"file", "FILE", BT_OPTION_TEXT, &r.file, 0, "the prompt, without its last line break; - is stdin"},
        {"max-tokens", "N", BT_OPTION_NUMBER, &r.max_tokens, 1, "tokens to make at most; default 256"},
        {"context", "N", BT_OPTION_NUMBER, &r.context, 2,
         "tokens of prompt and text at most; default: as many as the model has positions, up to 8192"},
        {"temperature", "X", BT_OPTION_REAL, &r.sampling.temperature, 0, "0 takes the likeliest token; default 0.8"},
        {"top-k", "N", BT_OPTION_NUMBER, &r.sampling.top_k, 0, "of the N likeliest tokens; 0, the default: of all"},
        {"top-p", "X", BT_OPTION_REAL, &r.sampling.top_p, 0,
         "of the likeliest tokens with this share together; default 0.95, 1: of all"},
        {"min-p", "X", BT_OPTION_REAL, &r.sampling.min_p, 0,
         "of tokens at least X times as likely as the likeliest; default 0"},
        {"repetition-penalty", "X", BT_OPTION_REAL, &r.sampling.repetition_penalty, 0,
         "makes tokens of the text less likely; default 1, which does not"},
        {"seed", "N", BT_OPTION_NUMBER, &r.sampling.seed, 0, "same seed, same text; default 0"},
        {"stop", "TEXT", BT_OPTION_LIST, &r.stops, 0, "ends the text where TEXT would begin; may be repeated"},
        {"ignore-eos", NULL, BT_OPTION_FLAG, &r.ignore_eos, 0, "go on behind the model's end-of-text tokens"},
        {"before", "ID|bos|none", BT_OPTION_TEXT, &r.before, 0,
         "what stands before the prompt; default: BOS where the model has one"},
        {"echo", NULL, BT_OPTION_FLAG, &r.echo, 0, "write the prompt in front of the text"},
        {"special", NULL, BT_OPTION_FLAG, &r.show_special, 0, "write special tokens as well"},
        {"chat", NULL, BT_OPTION_FLAG, &r.chat, 0,
         "the prompt is what a user says; without one, every line of stdin is"},
        {"chat-format", "NAME", BT_OPTION_TEXT, &r.chat_format, 0,
         "in place of the model's own: chatml, qwen3, llama3, llama2, mistral-v3 ..."},
        {"system", "TEXT", BT_OPTION_TEXT, &r.system, 0, "the system message of the conversation"},
        {"head", "auto|f32|bf16|int8", BT_OPTION_CHOICE, &r.head, 0,
         "how the output head is kept; auto, the default, changes no weight"},
        BT_MODEL_OPTION_ROWS(&r.given),
    };
    const struct bt_program program = {
        .name = "bitnet-generate",
        .usage = "bitnet-generate --model DIR [OPTION]... PROMPT\n"
                 "       bitnet-generate --model DIR --chat [OPTION]... [PROMPT]",
        .purpose =
            "Writes text that goes on behind a prompt, or answers in a conversation, as it is made. Speeds go to\n"
            "stderr.",
        .options = options,
        .option_count = sizeof options / sizeof *options};
    r.stops.values = bt_zalloc((size_t)argc, sizeof *r.stops.values);
    if (!r.stops.values) {
        struct bt_diag diag = {""};
        return bt_program_end(&program, bt_fail_nomem(&diag), &diag);
    }
    const int status = bt_program_run(&program, argc, argv, run, &r);
    bt_free(r.stops.values);
    return status;
}
