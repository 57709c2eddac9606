/* bitnet-eval - how well models predict text: loss, perplexity, multiple choice. */
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"
#include "model_options.h"
#include "text/documents.h"
#include "text/separators.h"
#include "text/tokenize.h"
#include "train/choices.h"
#include "train/shard_manifest.h"
#include "train/sliding.h"

struct request {
    struct bt_option_list models, data;
    const char *format, *key, *separator, *before, *after, *choices, *delimiter;
    bool packing, json;
    uint64_t seq, stride, batch, tokens;
    struct bt_model_options_given given;
    bool quiet;
};

struct result { /* of one model */
    const char *model;
    struct bt_run_as run_as;
    struct bt_evaluation loss; /* with data */
    uint64_t bytes;            /* of the text that was tokenised; 0: data were shards */
    struct bt_choices_result choices;
    double seconds;
};

/* One model while it is evaluated. */
struct session {
    const struct request *request;
    struct bt_compute compute;
    struct bt_loaded_model *model;
    struct bt_tokenizer *tokenizer; /* NULL where nothing asks for it */
    struct bt_separators separators;
    size_t seq;
    struct result *result;
};

/* ---- data ---- */

static bool is_text(const char *path)
{
    struct bt_diag unused;
    enum bt_text_format format;
    return bt_text_format_of(path, &format, &unused) == BT_OK;
}

/* Config sources of the given paths; the strings are borrowed. */
static struct bt_cfg_source *sources_of(const char *const *paths, size_t count, const char *format)
{
    struct bt_cfg_source *sources = bt_zalloc(count, sizeof *sources);
    for (size_t i = 0; sources && i < count; i++)
        sources[i] = (struct bt_cfg_source){.path = (char *)(uintptr_t)paths[i],
                                            .weight = 1.0,
                                            .format = strcmp(format, "nanogpt") ? BT_CFG_LLMC : BT_CFG_NANOGPT};
    return sources;
}

/* Rows of either kind, over shards. */
struct rows {
    struct bt_rows *plan;
    struct bt_sliding *sliding;
};

static void close_rows(struct rows *rows)
{
    bt_rows_close(rows->plan);
    bt_sliding_close(rows->sliding);
}

static enum bt_err open_rows(const struct session *s, const char *const *paths, size_t count, const char *format,
                             struct rows *rows, struct bt_diag *diag)
{
    const struct request *r = s->request;
    const struct bt_rows_options options = {.seq = s->seq,
                                            .packing = r->packing,
                                            .before = s->separators.before,
                                            .after = s->separators.after,
                                            .stage = "eval",
                                            .vocab_size = s->model->shape.vocab};
    enum bt_err err = BT_OK;
    for (size_t i = 0; !err && i < count; i++)
        err = bt_check_shard_tokenizer(paths[i], s->model->path, diag);
    if (err)
        return err;
    struct bt_cfg_source *sources = sources_of(paths, count, format);
    if (!sources)
        return bt_fail_nomem(diag);
    if (r->stride)
        err = bt_sliding_open(sources, count, s->seq, (size_t)r->stride, options.vocab_size, &rows->sliding, diag);
    else
        err = bt_rows_open(sources, count, &options, &rows->plan, diag);
    bt_free(sources);
    return err;
}

/* Text becomes shards of the model's tokenizer in a folder that is removed as soon as they are mapped. */
static enum bt_err open_text(const struct session *s, struct rows *rows, struct bt_diag *diag)
{
    const struct request *r = s->request;
    const char *temporary = getenv("TMPDIR");
    char *folder = bt_sprintf("%s/bitnet-eval-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    char *prefix = NULL, *shards = NULL;
    struct bt_tokenize_report report;
    enum bt_err err = BT_OK;
    if (!folder)
        return bt_fail_nomem(diag);
    if (!mkdtemp(folder)) {
        err = bt_fail(diag, BT_EIO, "%s: a temporary folder cannot be made there", folder);
        bt_free(folder);
        return err;
    }
    prefix = bt_path_join(folder, "text");
    shards = bt_path_join(folder, "text-*.bin");
    const struct bt_tokenize_options options = {.tokenizer = s->tokenizer,
                                                .tokenizer_path = s->model->path,
                                                .separators = s->separators,
                                                .inputs = r->data.values,
                                                .input_count = r->data.count,
                                                .key = r->key,
                                                .separator = r->separator,
                                                .prefix = prefix,
                                                .shard_tokens = (uint64_t)1 << 30,
                                                .threads = omp_get_max_threads()};
    if (!prefix || !shards)
        err = bt_fail_nomem(diag);
    if (!err)
        err = bt_tokenize(&options, &report, diag);
    if (!err)
        err = open_rows(s, (const char *const[]){shards}, 1, "llmc", rows, diag);
    if (!err)
        s->result->bytes = report.done.bytes;
    bt_dir_remove(folder, NULL);
    bt_free(shards);
    bt_free(prefix);
    bt_free(folder);
    return err;
}

/* ---- one model ---- */

static enum bt_err run_rows(struct session *s, const struct rows *rows, struct bt_diag *diag)
{
    const struct request *r = s->request;
    const struct bt_run_as *as = &s->result->run_as;
    const struct bt_model_options options = {
        .rows = (size_t)r->batch, .seq = s->seq, .ternary_weights = as->ternary, .int8_activations = as->int8};
    const struct bt_row_source sliding = {
        .context = rows->sliding, .count = rows->sliding ? bt_sliding_rows(rows->sliding) : 0, .fill = bt_sliding_fill};
    struct bt_model *model = NULL;
    struct bt_arena arena = {0};
    struct bt_batch batch;
    bt_batch_carve(&batch, &arena, options.rows, options.seq);
    if (arena.overflow || !bt_arena_init(&arena, arena.used))
        return bt_fail_nomem(diag);
    const enum bt_err err =
        bt_model_create(&s->model->params, &options, s->model->weights, NULL, &s->compute, &model, diag);
    if (!err) {
        bt_batch_carve(&batch, &arena, options.rows, options.seq);
        bt_model_prepare(model);
        if (rows->sliding)
            bt_evaluate_rows(model, &sliding, (int64_t)r->tokens, &batch, (float)as->lambda, &s->result->loss);
        else
            bt_evaluate(model, rows->plan, (int64_t)r->tokens, &batch, (float)as->lambda, &s->result->loss);
    }
    bt_model_destroy(model);
    bt_arena_finish(&arena);
    return err;
}

static enum bt_err run_data(struct session *s, struct bt_diag *diag)
{
    const struct request *r = s->request;
    struct rows rows = {0};
    enum bt_err err = is_text(r->data.values[0]) ? open_text(s, &rows, diag)
                                                 : open_rows(s, r->data.values, r->data.count, r->format, &rows, diag);
    if (!err)
        err = run_rows(s, &rows, diag);
    close_rows(&rows);
    return err;
}

static enum bt_err run_choices(struct session *s, struct bt_diag *diag)
{
    const struct bt_run_as *as = &s->result->run_as;
    const struct bt_infer_options options = {
        .context = s->seq, .ternary_weights = as->ternary, .int8_activations = as->int8, .lambda = (float)as->lambda};
    struct bt_infer *engine = NULL;
    enum bt_err err = bt_infer_create(&s->model->params, &options, bt_infer_flat_tensor, s->model->weights, &s->compute,
                                      &engine, diag);
    if (err)
        return err;
    const struct bt_choices_options choices = {.engine = engine,
                                               .compute = &s->compute,
                                               .tokenizer = s->tokenizer,
                                               .vocab = s->model->shape.vocab,
                                               .context = s->seq,
                                               .before = s->separators.before,
                                               .delimiter = s->request->delimiter};
    err = bt_choices_run(s->request->choices, &choices, NULL, NULL, &s->result->choices, diag);
    bt_infer_destroy(engine);
    return err;
}

/* The tokenizer where text is read, and the separators: without a tokenizer those that config.json names. */
static enum bt_err choose_separators(struct session *s, struct bt_diag *diag)
{
    const struct request *r = s->request;
    const struct bt_hf_config *config = s->model->config;
    const bool text = r->choices || (r->data.count && is_text(r->data.values[0]));
    if (text || r->before || r->after) {
        const enum bt_err err = bt_model_open_tokenizer(s->model, &s->tokenizer, diag);
        return err ? err
                   : bt_separators_choose(s->model->path, s->tokenizer, r->before, r->after, &s->separators, diag);
    }
    s->separators = (struct bt_separators){(int32_t)config->bos_token_id, (int32_t)config->eos_token_id};
    return BT_OK;
}

static enum bt_err choose_length(struct session *s, struct bt_diag *diag)
{
    const uint64_t positions = s->model->config->max_position_embeddings, seq = s->request->seq;
    if (seq > positions)
        return bt_fail(diag, BT_EUSAGE, "--max-seq-length: found %" PRIu64 ", but %s has %" PRIu64 " positions", seq,
                       s->model->path, positions);
    s->seq = (size_t)(seq ? seq : positions < 512 ? positions : 512);
    if (s->request->stride > s->seq)
        return bt_fail(diag, BT_EUSAGE, "--stride: found %" PRIu64 ", more than the %zu tokens of a window",
                       s->request->stride, s->seq);
    return BT_OK;
}

static enum bt_err evaluate(const struct request *r, const struct bt_compute *compute, const char *path,
                            struct result *result, struct bt_diag *diag)
{
    struct session s = {.request = r, .compute = *compute, .result = result};
    const double begin = bt_clock_seconds();
    enum bt_err err = bt_model_load(path, &s.model, diag);
    *result = (struct result){.model = path};
    if (!err && !(err = choose_length(&s, diag)))
        err = choose_separators(&s, diag);
    if (!err)
        result->run_as = bt_model_options_run_as(&r->given, s.model);
    if (!err && r->data.count)
        err = run_data(&s, diag);
    if (!err && r->choices)
        err = run_choices(&s, diag);
    result->seconds = bt_clock_seconds() - begin;
    bt_tokenizer_close(s.tokenizer);
    bt_model_unload(s.model);
    return err;
}

/* ---- what is written ---- */

static double bits_per_byte(const struct result *r)
{
    return r->loss.loss * (double)r->loss.labels / (log(2.0) * (double)r->bytes);
}

static double share(uint64_t part, uint64_t of)
{
    return of ? (double)part / (double)of : NAN;
}

static size_t widest_name(const struct result *results, size_t count)
{
    size_t most = strlen("model");
    for (size_t i = 0; i < count; i++)
        most = strlen(results[i].model) > most ? strlen(results[i].model) : most;
    return most;
}

static void print_table(const struct request *r, const struct result *results, size_t count)
{
    const int width = (int)widest_name(results, count);
    const bool text = results[0].bytes && !r->tokens;
    printf("%-*s", width, "model");
    if (r->data.count)
        printf("  %9s  %11s  %10s%s", "loss", "perplexity", "labels", text ? "  bits/byte" : "");
    if (r->choices)
        printf("  %8s  %9s  %6s", "accuracy", "by length", "items");
    printf("  run as\n");
    for (size_t i = 0; i < count; i++) {
        const struct result *x = &results[i];
        char as[96];
        bt_run_as_text(as, sizeof as, &x->run_as);
        printf("%-*s", width, x->model);
        if (r->data.count)
            printf("  %9.4f  %11.4f  %10" PRIu64, x->loss.loss, x->loss.perplexity, x->loss.labels);
        if (text)
            printf("  %9.4f", bits_per_byte(x));
        if (r->choices)
            printf("  %8.4f  %9.4f  %6" PRIu64, share(x->choices.right, x->choices.items),
                   share(x->choices.right_by_length, x->choices.items), x->choices.items);
        printf("  %s\n", as);
    }
}

static json_t *loss_object(const struct request *r, const struct result *x)
{
    json_t *object = json_pack("{s:o,s:o,s:I,s:I}", "loss", bt_json_real(x->loss.loss), "perplexity",
                               bt_json_real(x->loss.perplexity), "tokens", (json_int_t)x->loss.tokens, "labels",
                               (json_int_t)x->loss.labels);
    if (object && x->bytes && !r->tokens)
        json_object_set_new(object, "bits_per_byte", bt_json_real(bits_per_byte(x)));
    return object;
}

static json_t *choices_object(const struct result *x)
{
    return json_pack("{s:I,s:I,s:I,s:o,s:o}", "items", (json_int_t)x->choices.items, "right",
                     (json_int_t)x->choices.right, "right_by_length", (json_int_t)x->choices.right_by_length,
                     "accuracy", bt_json_real(share(x->choices.right, x->choices.items)), "accuracy_by_length",
                     bt_json_real(share(x->choices.right_by_length, x->choices.items)));
}

static json_t *result_object(const struct request *r, const struct result *x)
{
    json_t *object =
        json_pack("{s:s,s:s,s:s,s:o}", "model", x->model, "weights", x->run_as.ternary ? "ternary" : "none",
                  "activations", x->run_as.int8 ? "int8" : "none", "lambda", bt_json_real(x->run_as.lambda));
    if (object && r->data.count)
        json_object_set_new(object, "text", loss_object(r, x));
    if (object && r->choices)
        json_object_set_new(object, "choices", choices_object(x));
    if (object)
        json_object_set_new(object, "seconds", bt_json_real(x->seconds));
    return object;
}

static enum bt_err print_json(const struct request *r, const struct result *results, size_t count, struct bt_diag *diag)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, result_object(r, &results[i]));
    json_t *all = json_pack("{s:o}", "results", list);
    char *text = all ? bt_json_text(all, JSON_INDENT(2)) : NULL;
    json_decref(all);
    if (!text)
        return bt_fail_nomem(diag);
    puts(text);
    bt_free(text);
    return BT_OK;
}

/* ---- the command line ---- */

static enum bt_err check_request(const struct request *r, const struct bt_command_line *line, struct bt_diag *diag)
{
    if (line->operand_count)
        return bt_fail(diag, BT_EUSAGE, "there is no use for the argument \"%s\"", line->operands[0]);
    if (!r->models.count)
        return bt_fail(diag, BT_EUSAGE, "--model DIR is missing; --help says more");
    if (!r->data.count && !r->choices)
        return bt_fail(diag, BT_EUSAGE, "there is nothing to evaluate on: --data FILE or --choices FILE is missing");
    for (size_t i = 1; i < r->data.count; i++)
        if (is_text(r->data.values[i]) != is_text(r->data.values[0]))
            return bt_fail(diag, BT_EUSAGE, "--data: \"%s\" is text and \"%s\" is not; expected one kind",
                           r->data.values[is_text(r->data.values[0]) ? 0 : i],
                           r->data.values[is_text(r->data.values[0]) ? i : 0]);
    if (r->packing && r->stride)
        return bt_fail(diag, BT_EUSAGE, "--packing and --stride exclude each other");
    return r->tokens > INT64_MAX || r->batch > 1 << 20
               ? bt_fail(diag, BT_EUSAGE, "--%s is too large", r->tokens > INT64_MAX ? "tokens" : "batch-size")
               : BT_OK;
}

static enum bt_err run(void *context, const struct bt_command_line *line, struct bt_diag *diag)
{
    struct request *r = context;
    struct bt_compute compute;
    enum bt_err err = check_request(r, line, diag);
    if (!err)
        err = bt_model_options_begin(&r->given, &compute, diag);
    if (err)
        return err;
    struct result *results = bt_zalloc(r->models.count, sizeof *results);
    if (!results)
        return bt_fail_nomem(diag);
    for (size_t i = 0; i < r->models.count && !err; i++) {
        err = evaluate(r, &compute, r->models.values[i], &results[i], diag);
        if (!err && !line->quiet)
            fprintf(stderr, "%s: %.1f s\n", results[i].model, results[i].seconds);
    }
    if (!err && r->json)
        err = print_json(r, results, r->models.count, diag);
    else if (!err)
        print_table(r, results, r->models.count);
    bt_free(results);
    return err;
}

static int run_program(struct request *r, int argc, char **argv)
{
    const struct bt_option options[] = {
        {"model", "DIR", BT_OPTION_LIST, &r->models, 0, "a model folder, a checkpoint or a GGUF file; may be repeated"},
        {"data", "FILE", BT_OPTION_LIST, &r->data, 0,
         "token shards (a glob is fine), or .txt and .jsonl, also compressed; may be repeated"},
        {"format", "llmc|nanogpt", BT_OPTION_CHOICE, &r->format, 0, "of the shards; default llmc"},
        {"max-seq-length", "N", BT_OPTION_NUMBER, &r->seq, 1,
         "tokens of a window; default 512, or as many as the model has positions"},
        {"stride", "N", BT_OPTION_NUMBER, &r->stride, 1, "sliding windows, one every N tokens"},
        {"packing", NULL, BT_OPTION_FLAG, &r->packing, 0, "rows of whole documents that do not see each other"},
        {"tokens", "N", BT_OPTION_NUMBER, &r->tokens, 0, "stop after the row that reaches N tokens; default 0: all"},
        {"batch-size", "N", BT_OPTION_NUMBER, &r->batch, 1, "windows at a time; default 8"},
        {"key", "NAME", BT_OPTION_TEXT, &r->key, 0, "where a line of .jsonl has its text; default \"text\""},
        {"separator", "LINE", BT_OPTION_TEXT, &r->separator, 0, "a line that ends documents of .txt"},
        {"before", "ID|bos|none", BT_OPTION_TEXT, &r->before, 0,
         "what begins a document; default: BOS where the model has one"},
        {"after", "ID|eos|none", BT_OPTION_TEXT, &r->after, 0,
         "what ends one; default: EOS where that is not what begins it"},
        {"choices", "FILE", BT_OPTION_TEXT, &r->choices, 0,
         "multiple choice: .jsonl with \"context\", \"endings\" and \"label\""},
        {"delimiter", "TEXT", BT_OPTION_TEXT, &r->delimiter, 0, "between context and ending; default a space"},
        {"json", NULL, BT_OPTION_FLAG, &r->json, 0, "write JSON in place of a table"},
        BT_MODEL_OPTION_ROWS(&r->given),
    };
    const struct bt_program program = {
        .name = "bitnet-eval",
        .usage = "bitnet-eval --model DIR [--model DIR]... --data FILE [OPTION]...\n"
                 "       bitnet-eval --model DIR [--model DIR]... --choices FILE [OPTION]...",
        .purpose = "Loss, perplexity and multiple-choice accuracy of models, side by side.",
        .options = options,
        .option_count = sizeof options / sizeof *options};
    return bt_program_run(&program, argc, argv, run, r);
}

int main(int argc, char **argv)
{
    struct request r = {.format = "llmc", .key = "text", .delimiter = " ", .batch = 8, .given = BT_MODEL_OPTIONS_NONE};
    r.models.values = calloc((size_t)argc + 1, sizeof *r.models.values);
    r.data.values = calloc((size_t)argc + 1, sizeof *r.data.values);
    if (!r.models.values || !r.data.values) {
        fputs("bitnet-eval: out of memory\n", stderr);
        return bt_exit_code(BT_ENOMEM);
    }
    const int status = run_program(&r, argc, argv);
    free(r.models.values);
    free(r.data.values);
    return status;
}
