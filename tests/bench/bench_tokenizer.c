/* Tokenizers against Hugging Face's own library, in one run: one process and one thread each, the same documents in the
 * same order, the best of some rounds. Theirs is asked in both ways that it has, a document a call and all in one call,
 * and the faster one counts. Then the peak memory of `bitnet-data tokenize` for files of two sizes.
 *   bench_tokenizer NPM_FOLDER TEXTS_AND_TOKENIZERS BITNET_DATA [--rounds N] */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "peer.h"
#include "text/tokenizer.h"

#define DOCUMENT ((size_t)4096) /* bytes of a document at least; it ends with a line */

static const char *const tokenizers[] = {"gpt2",   "smollm2",      "llama3",      "qwen3",
                                         "llama2", "mistral-v0.1", "mistral-v0.3"};
static const char *const texts[] = {"grimm-fairy-tales", "gutenberg-4791-fr", "gutenberg-23950-zh",
                                    "wikitext-2-raw-test"};
static const char *shared;
static size_t rounds = 3;

struct result {
    double seconds;
    size_t tokens;
};

static _Noreturn void give_up(const char *why)
{
    fprintf(stderr, "bench_tokenizer: %s\n", why);
    exit(1);
}

/* Of the processor, so that other programs on the machine do not count. */
static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static json_t *cut_documents(const char *text, size_t size)
{
    json_t *documents = json_array();
    for (size_t start = 0, end; start < size; start = end) {
        const size_t from = start + DOCUMENT < size ? start + DOCUMENT : size;
        const char *line = memchr(text + from, '\n', size - from);
        end = line ? (size_t)(line - text) + 1 : size;
        if (json_array_append_new(documents, json_stringn(text + start, end - start)))
            give_up("a text is not UTF-8, or memory is out");
    }
    return documents;
}

/* One round, beginning with a scratch that has seen nothing. */
static struct result encode_all(const struct bt_tokenizer *tokenizer, const json_t *documents)
{
    struct bt_tokenizer_scratch *scratch;
    struct bt_diag diag = {""};
    struct bt_ids ids = {0};
    struct result result = {.seconds = now_s()};
    if (bt_tokenizer_scratch_create(tokenizer, &scratch, &diag))
        give_up(diag.text);
    for (size_t i = 0; i < json_array_size(documents); i++) {
        const json_t *document = json_array_get(documents, i);
        ids.count = 0;
        if (bt_tokenizer_encode(tokenizer, scratch, json_string_value(document), json_string_length(document), false,
                                &ids, &diag))
            give_up(diag.text);
        result.tokens += ids.count;
    }
    result.seconds = now_s() - result.seconds;
    bt_ids_finish(&ids);
    bt_tokenizer_scratch_destroy(scratch);
    return result;
}

static struct result time_ours(const struct bt_tokenizer *tokenizer, const json_t *documents)
{
    struct result best = encode_all(tokenizer, documents);
    for (size_t i = 1; i < rounds; i++) {
        const struct result again = encode_all(tokenizer, documents);
        if (again.seconds < best.seconds)
            best = again;
    }
    return best;
}

/* On the processor, or on the clock where helper threads of node make that less. *busiest: the most processors that it
 * kept busy, to see that it is one. */
static struct result time_theirs(struct peer *peer, json_t *documents, bool batch, double *busiest)
{
    json_t *answer =
        peer_ask(peer, json_pack("{s:O, s:I, s:b}", "time", documents, "rounds", (json_int_t)rounds, "batch", batch));
    const double clock = json_number_value(json_object_get(answer, "seconds"));
    const double cpu = json_number_value(json_object_get(answer, "cpu"));
    const struct result result = {.seconds = cpu < clock ? cpu : clock,
                                  .tokens = (size_t)json_integer_value(json_object_get(answer, "tokens"))};
    *busiest = cpu / clock > *busiest ? cpu / clock : *busiest;
    json_decref(answer);
    return result;
}

static char *path_of(const char *kind, const char *name, const char *end)
{
    char *path = bt_sprintf("%s/%s/%s%s", shared, kind, name, end);
    return path ? path : (give_up("memory is out"), NULL);
}

/* Whether ours was as fast. */
static bool compare_text(struct peer *peer, const struct bt_tokenizer *tokenizer, const char *name, const char *text,
                         double *busiest)
{
    char *path = path_of("text", text, ".txt"), *bytes;
    size_t size;
    struct bt_diag diag = {""};
    if (bt_file_read(path, &bytes, &size, &diag))
        give_up(diag.text);
    json_t *documents = cut_documents(bytes, size);
    const struct result ours = time_ours(tokenizer, documents);
    const struct result one = time_theirs(peer, documents, false, busiest);
    const struct result all = time_theirs(peer, documents, true, busiest);
    if (ours.tokens != one.tokens || ours.tokens != all.tokens)
        give_up("the two made another number of tokens");
    const double mb = (double)size / 1e6, theirs = one.seconds < all.seconds ? one.seconds : all.seconds;
    printf("%-13s %-20s %9zu %9.2f %9.2f %9.2f %8.1f\n", name, text, ours.tokens, mb / ours.seconds, mb / one.seconds,
           mb / all.seconds, theirs / ours.seconds);
    fflush(stdout);
    json_decref(documents);
    bt_free(bytes);
    bt_free(path);
    return ours.seconds <= theirs;
}

static size_t compare_tokenizer(struct peer *peer, const char *name, double *busiest)
{
    char *path = path_of("tokenizers", name, "/tokenizer.json");
    struct bt_tokenizer *tokenizer;
    struct bt_diag diag = {""};
    size_t slower = 0;
    if (bt_tokenizer_open(path, &tokenizer, &diag))
        give_up(diag.text);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_decref(peer_ask(peer, json_pack("{s:s}", "open", path))); /* anew: what it remembers is gone */
        slower += !compare_text(peer, tokenizer, name, texts[i], busiest);
    }
    bt_tokenizer_close(tokenizer);
    bt_free(path);
    return slower;
}

/* ---- peak memory ---- */

/* Of the largest child that has ended so far. */
static double peak_of_children(void)
{
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    return (double)usage.ru_maxrss / 1e3;
}

static void write_copies(const char *path, size_t least)
{
    char *source = path_of("text", texts[3], ".txt"), *bytes;
    size_t size;
    struct bt_diag diag = {""};
    FILE *file = fopen(path, "wb");
    if (!file || bt_file_read(source, &bytes, &size, &diag))
        give_up("cannot write the text for measuring memory");
    for (size_t done = 0; done < least; done += size)
        if (fwrite(bytes, 1, size, file) != size)
            give_up("cannot write the text for measuring memory");
    fclose(file);
    bt_free(bytes);
    bt_free(source);
}

static void run_tokenize(const char *bitnet_data, const char *folder, const char *text)
{
    extern char **environ;
    char *tokenizer = path_of("tokenizers", "gpt2", ""), *out = bt_sprintf("%s/out", folder);
    const char *argv[] = {bitnet_data, "tokenize", "--quiet",     "--tokenizer", tokenizer,     "--out",
                          out,         text,       "--separator", " ",           "--threads=1", NULL};
    posix_spawn_file_actions_t quiet;
    pid_t child;
    int status;
    if (posix_spawn_file_actions_init(&quiet) ||
        posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0) ||
        posix_spawn(&child, bitnet_data, &quiet, NULL, (char *const *)(uintptr_t)argv, environ) ||
        waitpid(child, &status, 0) != child || status != 0)
        give_up("bitnet-data tokenize failed");
    posix_spawn_file_actions_destroy(&quiet);
    bt_free(tokenizer);
    bt_free(out);
}

static void measure_memory(const char *bitnet_data)
{
    char folder[] = "/tmp/bench-tokenizer-XXXXXX";
    struct bt_diag diag = {""};
    if (!mkdtemp(folder))
        give_up("no temporary folder");
    char *text = bt_sprintf("%s/text.txt", folder);
    if (!text)
        give_up("memory is out");
    printf("\npeak memory of bitnet-data tokenize (gpt2, 1 thread)\n");
    for (size_t mb = 10; mb <= 100; mb *= 10) {
        write_copies(text, mb * 1000000);
        run_tokenize(bitnet_data, folder, text);
        printf("%4zu MB of text: %.1f MB\n", mb, peak_of_children());
    }
    bt_free(text);
    if (bt_dir_remove(folder, &diag))
        give_up(diag.text);
}

int main(int argc, char **argv)
{
    if (argc != 4 && !(argc == 6 && !strcmp(argv[4], "--rounds")))
        return 2;
    if (argc == 6)
        rounds = strtoull(argv[5], NULL, 10);
    shared = argv[2];
    struct stat info;
    struct peer *peer = stat(shared, &info) ? NULL : peer_start(argv[1], false);
    if (!peer) {
        printf("skipped: without the shared inputs and Hugging Face's tokenizers there is nothing to compare\n");
        return 77;
    }
    printf("documents of %zu bytes and the rest of a line; MB a second of processor time, best of %zu rounds; theirs: "
           "a document a call, all in "
           "one\n\n%-13s %-20s %9s %9s %9s %9s %8s\n",
           DOCUMENT, rounds, "", "", "tokens", "ours", "encode", "batch", "ratio");
    double busiest = 0.0;
    size_t slower = 0;
    for (size_t i = 0; i < sizeof tokenizers / sizeof *tokenizers; i++)
        slower += compare_tokenizer(peer, tokenizers[i], &busiest);
    printf("\nslower than theirs: %zu of %zu; theirs kept %.2f processors busy at most\n", slower,
           sizeof tokenizers / sizeof *tokenizers * (sizeof texts / sizeof *texts), busiest);
    measure_memory(argv[3]); /* while the peer runs, because its memory counts once it has ended */
    peer_stop(peer);
    return slower > 0;
}
