/* bitnet-data generate - documents of a probabilistic grammar, and the losses to read a model's loss against. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "data_commands.h"
#include "io/file.h"
#include "io/json.h"
#include "io/shard.h"
#include "options.h"
#include "text/bytes.h"
#include "text/corpus.h"
#include "text/grammar.h"
#include "text/trigram.h"

/* Validation documents have indices of their own, the same ones whatever the number of training documents. */
#define FIRST_VALIDATION (UINT64_C(1) << 40)

/* What the trainer counts (packing with BOS before and EOS after each document). */
#define LABELS                                                                                                         \
    "a document of n bytes has n + 2: its bytes, its EOS and the BOS of the document after it; the last one n + 1"

struct request {
    const char *grammar, *out, *tokenizer, *probability;
    uint64_t seed, documents, validation;
    bool quiet;
};

/* One half of what is written: documents and what is known of them. */
struct half {
    const char *name; /* "train" or "validation" */
    struct bt_corpus corpus;
    int32_t *tokens;
    size_t token_count;
    double source_loss; /* nats a label */
};

static void finish_half(struct half *half)
{
    bt_corpus_finish(&half->corpus);
    bt_free(half->tokens);
}

static size_t label_count(const struct half *half)
{
    return half->token_count ? half->token_count - 1 : 0;
}

static enum bt_err make_half(const struct request *request, const struct bt_grammar *grammar, uint64_t first,
                             uint64_t documents, struct half *half, struct bt_diag *diag)
{
    double log_probability;
    enum bt_err err = bt_corpus_generate(grammar, request->seed, first, documents, &half->corpus, diag);
    if (!err)
        err = bt_corpus_tokens(&half->corpus, &half->tokens, &half->token_count, diag);
    if (!err)
        err = bt_corpus_log_probability(&half->corpus, grammar, &log_probability, diag);
    /* EOS and the next BOS are certain, and BOS is the stream's first token: they add labels and no nats. */
    if (!err && half->token_count)
        half->source_loss = -log_probability / (double)label_count(half);
    return err;
}

static void say(const struct request *request, const char *path)
{
    if (!request->quiet)
        fprintf(stderr, "wrote %s\n", path);
}

static enum bt_err write_half(const struct request *request, const struct half *half, struct bt_diag *diag)
{
    char *shard = bt_sprintf("%s-%s.bin", request->out, half->name);
    char *readable = bt_sprintf("%s-%s.txt", request->out, half->name);
    char *text = NULL;
    size_t size = 0;
    enum bt_err err = shard && readable ? bt_corpus_readable(&half->corpus, &text, &size, diag) : bt_fail_nomem(diag);
    if (!err)
        err = bt_shard_write(shard, half->tokens, half->token_count, 2, diag);
    if (!err)
        err = bt_file_replace(readable, text, size, diag);
    if (!err) {
        say(request, shard);
        say(request, readable);
    }
    bt_free(text);
    bt_free(readable);
    bt_free(shard);
    return err;
}

static json_t *report_half(const struct half *half)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:f}", "documents", (json_int_t)half->corpus.documents, "bytes",
                     (json_int_t)bt_corpus_bytes(&half->corpus), "tokens", (json_int_t)half->token_count, "labels",
                     (json_int_t)label_count(half), "source_nats_per_label", half->source_loss);
}

static json_t *make_report(const struct request *request, const struct bt_grammar *grammar, const struct half *train,
                           json_t *validation)
{
    const double entropy = bt_grammar_entropy(grammar), length = bt_grammar_mean_length(grammar);
    return json_pack("{s:s, s:I, s:f, s:f, s:f, s:f, s:I, s:I, s:s, s:o, s:o}", "grammar", request->grammar, "seed",
                     (json_int_t)request->seed, "entropy_nats_per_document", entropy, "entropy_nats_per_byte",
                     length > 0.0 ? entropy / length : 0.0, "entropy_nats_per_label", entropy / (length + 2.0),
                     "bytes_per_document", length, "shortest_document", (json_int_t)bt_grammar_shortest(grammar),
                     "longest_document", (json_int_t)bt_grammar_longest(grammar), "labels", LABELS, "train",
                     report_half(train), "validation", validation);
}

/* Trigram counts come from the training half, and so does the text that validation documents may repeat. */
static enum bt_err compare_halves(const struct half *train, const struct half *validation, double *ret_trigram_loss,
                                  size_t *ret_repeated, struct bt_diag *diag)
{
    struct bt_trigram *trigram;
    enum bt_err err =
        bt_trigram_create(train->tokens, train->token_count, BT_BYTES_VOCAB, BT_BYTES_BOS, &trigram, diag);
    if (err)
        return err;
    *ret_trigram_loss = bt_trigram_loss(trigram, validation->tokens, validation->token_count);
    bt_trigram_destroy(trigram);
    return bt_corpus_repeated(&validation->corpus, &train->corpus, ret_repeated, diag);
}

static void print_summary(const struct bt_grammar *grammar, const struct half *train, const struct half *validation,
                          double trigram_loss)
{
    const double entropy = bt_grammar_entropy(grammar), length = bt_grammar_mean_length(grammar);
    printf("source      %.4f nats a byte, %.2f nats a document\n", length > 0.0 ? entropy / length : 0.0, entropy);
    printf("train       %zu documents, %zu bytes, source loss %.4f nats a label\n", train->corpus.documents,
           bt_corpus_bytes(&train->corpus), train->source_loss);
    if (validation->corpus.documents)
        printf("validation  %zu documents, %zu bytes, source loss %.4f, trigram loss %.4f nats a label\n",
               validation->corpus.documents, bt_corpus_bytes(&validation->corpus), validation->source_loss,
               trigram_loss);
}

/* Adds to the object what a validation half has besides; false when memory is out. */
static bool add_comparison(json_t *half, double trigram_loss, size_t repeated)
{
    return half && !json_object_set_new(half, "trigram_nats_per_label", json_real(trigram_loss)) &&
           !json_object_set_new(half, "documents_also_in_train", json_integer((json_int_t)repeated));
}

static enum bt_err write_report(const struct request *request, const struct bt_grammar *grammar,
                                const struct half *train, const struct half *validation, struct bt_diag *diag)
{
    double trigram_loss;
    size_t repeated;
    enum bt_err err = compare_halves(train, validation, &trigram_loss, &repeated, diag);
    if (err)
        return err;
    json_t *second = validation->corpus.documents ? report_half(validation) : json_null();
    if (validation->corpus.documents && !add_comparison(second, trigram_loss, repeated)) {
        json_decref(second);
        return bt_fail_nomem(diag);
    }
    json_t *report = make_report(request, grammar, train, second);
    char *path = bt_sprintf("%s.json", request->out);
    err = report && path ? bt_json_replace(path, report, diag) : bt_fail_nomem(diag);
    if (!err) {
        say(request, path);
        print_summary(grammar, train, validation, trigram_loss);
    }
    bt_free(path);
    json_decref(report);
    return err;
}

/* Makes the folder that the files go to. */
static enum bt_err make_folder(const char *prefix, struct bt_diag *diag)
{
    const char *slash = strrchr(prefix, '/');
    if (!slash || slash == prefix)
        return BT_OK;
    char *folder = bt_strndup(prefix, (size_t)(slash - prefix));
    const enum bt_err err = folder ? bt_dir_make(folder, diag) : bt_fail_nomem(diag);
    bt_free(folder);
    return err;
}

static enum bt_err write_files(const struct request *request, const struct bt_grammar *grammar, struct bt_diag *diag)
{
    struct half train = {.name = "train"}, validation = {.name = "validation"};
    enum bt_err err = make_half(request, grammar, 0, request->documents, &train, diag);
    if (!err)
        err = make_half(request, grammar, FIRST_VALIDATION, request->validation, &validation, diag);
    if (!err)
        err = make_folder(request->out, diag);
    if (!err)
        err = write_half(request, &train, diag);
    if (!err && request->validation)
        err = write_half(request, &validation, diag);
    if (!err) /* last: where it stands, the other files are whole */
        err = write_report(request, grammar, &train, &validation, diag);
    finish_half(&train);
    finish_half(&validation);
    return err;
}

static enum bt_err print_documents(const struct request *request, const struct bt_grammar *grammar,
                                   struct bt_diag *diag)
{
    for (uint64_t i = 0; i < request->documents && !ferror(stdout); i++) {
        char *text;
        size_t size;
        const enum bt_err err = bt_grammar_generate(grammar, request->seed, i, &text, &size, diag);
        if (err)
            return err;
        fwrite(text, 1, size, stdout);
        fputs("\n<|eos|>\n", stdout);
        bt_free(text);
    }
    return BT_OK;
}

static enum bt_err print_probabilities(const struct request *request, const struct bt_grammar *grammar,
                                       struct bt_diag *diag)
{
    struct bt_map map;
    struct bt_corpus corpus = {0};
    enum bt_err err = bt_map_open(request->probability, &map, diag);
    if (err)
        return err;
    err = bt_corpus_split((const char *)map.data, map.size, &corpus, diag);
    bt_map_close(&map);
    for (size_t i = 0; !err && i < corpus.documents; i++) {
        size_t size;
        double log_probability;
        const char *text = bt_corpus_document(&corpus, i, &size);
        if (!(err = bt_grammar_log_probability(grammar, text, size, &log_probability, diag)))
            printf("%zu\t%zu\t%.17g\n", i, size, log_probability);
    }
    bt_corpus_finish(&corpus);
    return err;
}

static enum bt_err run(const struct request *request, struct bt_diag *diag)
{
    struct bt_grammar *grammar = NULL;
    enum bt_err err = BT_OK;
    if (request->tokenizer) {
        if (!(err = bt_dir_make(request->tokenizer, diag)))
            err = bt_bytes_write_tokenizer(request->tokenizer, diag);
        if (err || !request->grammar)
            return err;
    }
    if (!request->grammar)
        return bt_fail(diag, BT_EUSAGE, "--grammar FILE is missing");
    if ((err = bt_grammar_read(request->grammar, &grammar, diag)))
        return err;
    if (request->probability)
        err = print_probabilities(request, grammar, diag);
    else if (request->out)
        err = write_files(request, grammar, diag);
    else
        err = print_documents(request, grammar, diag);
    bt_grammar_destroy(grammar);
    return err;
}

int bt_data_generate(int argc, char **argv)
{
    struct request request = {.seed = 42, .documents = 10};
    const struct bt_option options[] = {
        {"grammar", "FILE", BT_OPTION_TEXT, &request.grammar, 0, "the grammar, e.g. data/stories.grammar"},
        {"seed", "N", BT_OPTION_NUMBER, &request.seed, 0, "the same seed gives the same documents (42)"},
        {"documents", "N", BT_OPTION_NUMBER, &request.documents, 1, "how many to make (10)"},
        {"validation", "N", BT_OPTION_NUMBER, &request.validation, 0, "how many more, with --out, for validation (0)"},
        {"out", "PREFIX", BT_OPTION_TEXT, &request.out, 0,
         "write PREFIX-train.bin, -train.txt, the same for validation, and PREFIX.json"},
        {"tokenizer", "FOLDER", BT_OPTION_TEXT, &request.tokenizer, 0,
         "write the byte-level tokenizer's files; needs no grammar"},
        {"probability", "FILE", BT_OPTION_TEXT, &request.probability, 0,
         "print number, bytes and log probability (nats) of each document in FILE"},
    };
    const struct bt_program program = {
        .name = "bitnet-data generate",
        .usage = "bitnet-data generate --grammar FILE [--seed N] [--documents N] [--out PREFIX [--validation N]]\n"
                 "       bitnet-data generate --grammar FILE --probability FILE\n"
                 "       bitnet-data generate --tokenizer FOLDER",
        .purpose =
            "Writes documents of a probabilistic grammar: to stdout, or with --out as token shards and as texts\n"
            "(a line <|eos|> ends a document), with a report of the exact entropy of the source, the loss of the\n"
            "source itself on these documents, and the loss of a byte trigram model.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
    };
    struct bt_diag diag = {""};
    struct bt_command_line line = {.operands = bt_zalloc((size_t)argc, sizeof *line.operands)};
    enum bt_err err = line.operands ? bt_options_parse(&program, argc, argv, &line, &diag) : bt_fail_nomem(&diag);
    if (!err && line.operand_count)
        err = bt_fail(&diag, BT_EUSAGE, "found \"%s\", expected only options", line.operands[0]);
    bt_free(line.operands);
    if (!err && line.help)
        return bt_program_help(&program);
    if (!err && line.version)
        return bt_program_version(&program);
    request.quiet = line.quiet;
    return bt_program_end(&program, err ? err : run(&request, &diag), &diag);
}
