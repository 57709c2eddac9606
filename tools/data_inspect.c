/* bitnet-data inspect - what a token shard holds. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/mem.h"
#include "data_commands.h"
#include "options.h"
#include "text/manifest.h"
#include "text/shard_facts.h"
#include "text/shard_mask.h"

#define DOCUMENTS_UNSET UINT64_MAX
#define DOCUMENTS_SHOWN 3 /* with a tokenizer */

struct request {
    const char *format, *tokenizer, *before, *after;
    uint64_t documents;
};

struct inspection {
    const char *path;
    struct bt_shard shard;
    struct bt_mask mask;            /* zeroed: none */
    struct bt_tokenizer *tokenizer; /* or NULL */
    struct bt_shard_origin origin;
    struct bt_separators separators;
    const char *separators_from;
    struct bt_shard_facts facts;
};

/* Without a tokenizer only what no vocabulary has, 2^31 and more, is refused. */
static enum bt_err check_ids(const struct inspection *in, struct bt_diag *diag)
{
    const uint64_t limit = in->tokenizer ? (uint64_t)bt_tokenizer_vocab_size(in->tokenizer) : (uint64_t)INT32_MAX + 1;
    return bt_shard_check(&in->shard, in->path, limit, diag);
}

static enum bt_err check_tokenizer(const struct inspection *in, const char *path, struct bt_diag *diag)
{
    if (!in->tokenizer || !in->origin.known || in->origin.tokenizer_hash == bt_tokenizer_hash(in->tokenizer))
        return BT_OK;
    return bt_fail(diag, BT_EINPUT,
                   "%s was made with another tokenizer: its manifest names %s with XXH3-64 %016" PRIx64
                   ", but that of %s is %016" PRIx64,
                   in->path, in->origin.tokenizer, in->origin.tokenizer_hash, path, bt_tokenizer_hash(in->tokenizer));
}

static enum bt_err check_bytes(const struct inspection *in, struct bt_diag *diag)
{
    const uint64_t hash = XXH3_64bits(in->shard.map.data, in->shard.map.size);
    if (!in->origin.hashed || in->origin.hash == hash)
        return BT_OK;
    return bt_fail(diag, BT_EINPUT,
                   "%s: its XXH3-64 is %016" PRIx64 ", but its manifest says %016" PRIx64
                   ": the shard was damaged or replaced",
                   in->path, hash, in->origin.hash);
}

/* What the options say, else the manifest, else the tokenizer. */
static enum bt_err find_separators(struct inspection *in, const struct request *r, struct bt_diag *diag)
{
    in->separators = (struct bt_separators){BT_NO_TOKEN, BT_NO_TOKEN};
    in->separators_from = "not known";
    if ((r->before || r->after) && !in->tokenizer)
        return bt_fail(diag, BT_EUSAGE, "--before and --after need --tokenizer FOLDER");
    if (in->tokenizer && (r->before || r->after || !in->origin.known)) {
        in->separators_from = r->before || r->after ? "as told" : "the tokenizer's";
        return bt_separators_choose(r->tokenizer, in->tokenizer, r->before, r->after, &in->separators, diag);
    }
    if (in->origin.known) {
        in->separators = in->origin.separators;
        in->separators_from = "of the manifest";
    }
    return BT_OK;
}

static void print_count(const char *name, size_t count, size_t all)
{
    printf("%-12s%zu tokens, %.4f%%\n", name, count, 100.0 * (double)count / (double)all);
}

static void print_separator(const char *name, int32_t id)
{
    if (id == BT_NO_TOKEN)
        printf("none %s", name);
    else
        printf("%" PRId32 " %s", id, name);
}

/* A mask knows where documents begin. */
static void print_separators(const struct inspection *in)
{
    if (bt_mask_exists(&in->mask))
        return;
    printf("separators  ");
    print_separator("before", in->separators.before);
    printf(", ");
    print_separator("after", in->separators.after);
    printf(" (%s)\n", in->separators_from);
}

static void print_facts(const struct inspection *in, const char *format)
{
    const struct bt_shard_facts *f = &in->facts;
    printf("file        %s, %zu bytes\n", in->path, in->shard.map.size);
    printf("layout      %s, %u bytes a token\n", format, in->shard.width);
    if (in->origin.known)
        printf("tokenizer   %s, XXH3-64 %016" PRIx64 "\n", in->origin.tokenizer, in->origin.tokenizer_hash);
    printf("tokens      %zu, ids from %" PRId32 " to %" PRId32 "\n", in->shard.count, f->smallest_id, f->largest_id);
    print_separators(in);
    if (bt_mask_exists(&in->mask))
        print_count("labels", f->labels, in->shard.count);
    if (bt_mask_exists(&in->mask) || in->separators.before != BT_NO_TOKEN || in->separators.after != BT_NO_TOKEN)
        printf("documents   %zu, of %zu to %zu tokens, %.1f on average; the longest is number %zu\n", f->documents,
               f->shortest, f->longest, (double)in->shard.count / (double)f->documents, f->longest_at);
    else if (in->origin.documents > 0)
        printf("documents   %" PRIu64 " by the manifest; no separator says where they begin\n", in->origin.documents);
    if (in->tokenizer) {
        print_count("unknown", f->unknown, in->shard.count);
        print_count("bytes", f->byte_ids, in->shard.count);
    }
}

/* Labels of a mask begin or end here. */
static void print_mark(bool begin)
{
    fputs(begin ? "\u27e6" : "\u27e7", stdout);
}

/* Token by token: of a shard with a mask, with marks around what is to be learned. */
static enum bt_err print_tokens(const struct inspection *in, struct bt_token_stream *stream, size_t first, size_t end,
                                struct bt_diag *diag)
{
    const bool masked = bt_mask_exists(&in->mask);
    bool label = false;
    const char *piece;
    size_t size;
    enum bt_err err = BT_OK;
    for (size_t i = first; !err && i < end; i++) {
        int32_t id;
        if (masked && bt_mask_is_label(&in->mask, i) != label)
            print_mark(label = !label);
        bt_shard_read(&in->shard, i, 1, &id);
        if (!(err = bt_token_stream_push(stream, id, &piece, &size, diag)))
            fwrite(piece, 1, size, stdout);
    }
    if (!err && !(err = bt_token_stream_end(stream, &piece, &size, diag)))
        fwrite(piece, 1, size, stdout);
    if (label)
        print_mark(false);
    return err;
}

static enum bt_err print_document(const struct inspection *in, size_t number, size_t first, size_t end,
                                  struct bt_diag *diag)
{
    struct bt_token_stream *stream;
    enum bt_err err = bt_token_stream_create(in->tokenizer, false, &stream, diag);
    if (err)
        return err;
    printf("\ndocument %zu, %zu tokens", number, end - first);
    if (bt_mask_exists(&in->mask))
        printf(", %zu labels", bt_mask_labels(&in->mask, first, end - first));
    fputc('\n', stdout);
    err = print_tokens(in, stream, first, end, diag);
    fputc('\n', stdout);
    bt_token_stream_destroy(stream);
    return err;
}

static enum bt_err print_documents(const struct inspection *in, uint64_t documents, struct bt_diag *diag)
{
    enum bt_err err = BT_OK;
    for (size_t i = 0, first = 0; !err && i < documents && first < in->shard.count && !ferror(stdout); i++) {
        const size_t end = bt_shard_document_end(&in->shard, &in->mask, &in->separators, first);
        err = print_document(in, i, first, end, diag);
        first = end;
    }
    return err;
}

static enum bt_err inspect(struct inspection *in, const struct request *r, struct bt_diag *diag)
{
    const enum bt_shard_format format = !strcmp(r->format, "nanogpt") ? BT_SHARD_NANOGPT : BT_SHARD_LLMC;
    const uint64_t documents = r->documents != DOCUMENTS_UNSET ? r->documents : r->tokenizer ? DOCUMENTS_SHOWN : 0;
    enum bt_err err = bt_shard_open(in->path, format, &in->shard, diag);
    if (!err)
        err = bt_manifest_find(in->path, &in->origin, diag);
    if (!err)
        err = bt_shard_mask_open(in->path, &in->shard, &in->mask, diag);
    if (!err && r->tokenizer)
        err = bt_tokenizer_open(r->tokenizer, &in->tokenizer, diag);
    if (err || (err = check_bytes(in, diag)) || (err = check_tokenizer(in, r->tokenizer, diag)) ||
        (err = check_ids(in, diag)) || (err = find_separators(in, r, diag)))
        return err;
    bt_shard_facts(&in->shard, &in->mask, &in->separators, in->tokenizer, &in->facts);
    print_facts(in, r->format);
    return print_documents(in, documents, diag);
}

static enum bt_err run(void *request, const struct bt_command_line *line, struct bt_diag *diag)
{
    const struct request *r = request;
    struct inspection in = {0};
    if (line->operand_count != 1)
        return bt_fail(diag, BT_EUSAGE, "found %zu files, expected one token shard", line->operand_count);
    if (r->documents != DOCUMENTS_UNSET && r->documents > 0 && !r->tokenizer)
        return bt_fail(diag, BT_EUSAGE, "--documents needs --tokenizer FOLDER");
    in.path = line->operands[0];
    const enum bt_err err = inspect(&in, r, diag);
    bt_tokenizer_close(in.tokenizer);
    bt_mask_close(&in.mask);
    bt_shard_close(&in.shard);
    return err;
}

int bt_data_inspect(int argc, char **argv)
{
    struct request r = {.format = "llmc", .documents = DOCUMENTS_UNSET};
    const struct bt_option options[] = {
        {"tokenizer", "FOLDER", BT_OPTION_TEXT, &r.tokenizer, 0,
         "a model folder, or a tokenizer.json: to show text, and tokens for what the vocabulary lacks"},
        {"documents", "N", BT_OPTION_NUMBER, &r.documents, 0, "how many documents to show (3 with a tokenizer)"},
        {"format", "llmc|nanogpt", BT_OPTION_CHOICE, &r.format, 0, "the layout of the file (llmc)"},
        {"before", "ID|bos|none", BT_OPTION_TEXT, &r.before, 0, "what begins a document (as the manifest says)"},
        {"after", "ID|eos|none", BT_OPTION_TEXT, &r.after, 0, "what ends a document (as the manifest says)"},
    };
    const struct bt_program program = {
        .name = "bitnet-data inspect",
        .usage = "bitnet-data inspect [OPTION]... SHARD",
        .purpose = "Prints what a token shard holds: counts, documents, what it was made with, and its first "
                   "documents, those\n"
                   "parts between \u27e6 and \u27e7 that its label mask leaves to be learned.",
        .options = options,
        .option_count = sizeof options / sizeof options[0],
    };
    return bt_program_run(&program, argc, argv, run, &r);
}
