/* Exported files in which something was damaged: a clear error, or the identical model. A file of ours carries its
 * checksum, and a folder those of its other files, so damage that leaves a valid file is found as well. */
#include "export_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "export/gguf.h"
#include "export/verify.h"
#include "io/file.h"
#include "text/bytes.h"
#include "train/checksums.h"

enum { ROUNDS = 1000 }; /* of a GGUF file and of a folder each */

static const char config[] =
    "{\"model_type\": \"bitnet\", \"hidden_act\": \"silu\", \"tie_word_embeddings\": true, \"vocab_size\": 258,"
    " \"hidden_size\": 16, \"intermediate_size\": 24, \"num_hidden_layers\": 2, \"num_attention_heads\": 4,"
    " \"num_key_value_heads\": 2, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0,"
    " \"bos_token_id\": 256, \"eos_token_id\": 257}";
static const struct bt_hf_options packed = {BT_HF_AUTOBITLINEAR, false, false};

static const char *in(const char *folder, const char *name)
{
    return test_format("%s/%s", folder, name);
}

static void write_model(const struct export_world *w)
{
    struct bt_diag diag = {0};
    export_world_write_ternary(w, config, NULL);
    TEST_OK(bt_bytes_write_tokenizer(w->model, &diag), diag);
}

/* ---- damage ---- */

struct bytes {
    unsigned char *data;
    size_t size;
};

static void flip_bits(struct bytes *b, uint64_t key)
{
    const uint64_t count = 1 + bt_rng_below(key, 10, 4);
    for (uint64_t i = 0; i < count; i++)
        b->data[bt_rng_below(key, 20 + i, b->size)] ^= (unsigned char)(1U << bt_rng_below(key, 30 + i, 8));
}

/* A run of other bytes, zeros or one letter among them. */
static void overwrite(struct bytes *b, uint64_t key)
{
    const size_t at = (size_t)bt_rng_below(key, 10, b->size), left = b->size - at;
    const size_t count = 1 + (size_t)bt_rng_below(key, 11, left < 40 ? left : 40);
    const uint64_t kind = bt_rng_below(key, 12, 3);
    for (size_t i = 0; i < count; i++)
        b->data[at + i] = kind == 0 ? 0 : kind == 1 ? '7' : (unsigned char)bt_rng_u64(key, 20 + i);
}

static void cut(struct bytes *b, uint64_t key)
{
    b->size = (size_t)bt_rng_below(key, 10, b->size);
}

/* There is room for 64 bytes. */
static void extend(struct bytes *b, uint64_t key)
{
    const size_t count = 1 + (size_t)bt_rng_below(key, 10, 64);
    for (size_t i = 0; i < count; i++)
        b->data[b->size++] = bt_rng_below(key, 11, 2) ? '\0' : (unsigned char)bt_rng_u64(key, 20 + i);
}

static struct bytes damaged_copy(const struct bytes *whole, uint64_t key)
{
    static void (*const ways[])(struct bytes *, uint64_t) = {flip_bits, overwrite, flip_bits, overwrite, cut, extend};
    struct bytes copy = {malloc(whole->size + 64), whole->size};
    assert_non_null(copy.data);
    memcpy(copy.data, whole->data, whole->size);
    ways[bt_rng_below(key, 0, BT_ARRAY_LEN(ways))](&copy, key);
    return copy;
}

/* ---- the judgement ---- */

struct subject {
    const char *path, *again;                                            /* what is damaged; its export */
    void (*export)(const struct bt_export_model *model, const char *to); /* in the same form */
    void (*compare)(const struct subject *subject);                      /* the export with the whole original */
    const struct bt_loaded_model *whole;
    const struct bytes *files;
    size_t refused, same;
};

static void check_same_logits(const struct bt_loaded_model *whole, const struct bt_loaded_model *model)
{
    struct bt_export_report report = {0};
    struct bt_diag diag = {0};
    const struct bt_verify_side want = {&whole->params, whole->weights, true, true};
    const struct bt_verify_side got = {&model->params, model->weights, true, true};
    TEST_OK(bt_verify_logits(&want, &got, &report, &diag), diag);
    assert_true(report.logit_difference == 0.0);
}

static void judge(struct subject *s)
{
    struct bt_diag diag = {0};
    struct bt_export_model *model = NULL;
    const long live = bt_alloc_live();
    const enum bt_err err = bt_export_open(s->path, &model, &diag);
    if (err) {
        if (err != BT_EINPUT || !strstr(diag.text, s->path) || strchr(diag.text, '\n'))
            fail_msg("error %d: %s", (int)err, diag.text);
        s->refused++;
    } else {
        check_same_logits(s->whole, model->source);
        s->export(model, s->again);
        s->compare(s);
        s->same++;
    }
    bt_export_close(model);
    assert_int_equal(bt_alloc_live(), live);
}

static void report(const char *what, const struct subject *s)
{
    print_message("%s: %zu refused, %zu the identical model\n", what, s->refused, s->same);
}

/* ---- a GGUF file ---- */

static void export_gguf(const struct bt_export_model *model, const char *to)
{
    const struct bt_gguf_options options = {.type = "f16", .embedding_type = "f16"};
    struct bt_export_report report;
    struct bt_diag diag = {0};
    TEST_OK(bt_export_gguf(model, &options, to, &report, &diag), diag);
}

static void compare_gguf(const struct subject *s)
{
    size_t size;
    unsigned char *data = test_read_file(s->again, &size);
    assert_int_equal(size, s->files->size);
    assert_memory_equal(data, s->files->data, size);
    free(data);
}

static void damaged_gguf_files_are_refused_or_the_same(void **state)
{
    const struct export_world *w = *state;
    char *path = strdup(in(w->dir, "one.gguf")), *again = strdup(in(w->dir, "two.gguf"));
    struct bytes file;
    write_model(w);
    struct bt_export_model *model = export_world_open(w->model);
    export_gguf(model, path);
    bt_export_close(model);
    file.data = test_read_file(path, &file.size);
    struct bt_loaded_model *whole = export_world_load(path);
    struct subject s = {path, again, export_gguf, compare_gguf, whole, &file, 0, 0};
    judge(&s);
    assert_int_equal(s.same, 1);
    for (int i = 0; i < ROUNDS; i++) {
        const struct bytes damaged = damaged_copy(&file, bt_rng_key((uint64_t)i, "gguf"));
        test_write_file(path, damaged.data, damaged.size);
        judge(&s);
        free(damaged.data);
    }
    report("GGUF", &s);
    assert_int_equal(s.refused + s.same, ROUNDS + 1);
    bt_model_unload(whole);
    free(file.data);
    free(path);
    free(again);
}

/* ---- a packed folder ---- */

static const char *const names[] = {"model.safetensors",      "config.json",
                                    "tokenizer.json",         "tokenizer_config.json",
                                    "generation_config.json", BT_CHECKSUMS_FILE};
enum { FILES = BT_ARRAY_LEN(names) };

static void export_folder(const struct bt_export_model *model, const char *to)
{
    struct bt_export_report report;
    struct bt_diag diag = {0};
    TEST_OK(bt_dir_remove(to, &diag), diag);
    TEST_OK(bt_dir_make(to, &diag), diag);
    TEST_OK(bt_export_hf(model, &packed, to, &report, &diag), diag);
}

static void compare_folder(const struct subject *s)
{
    for (size_t f = 0; f < FILES; f++) {
        size_t size;
        unsigned char *data = test_read_file(in(s->again, names[f]), &size);
        assert_int_equal(size, s->files[f].size);
        assert_memory_equal(data, s->files[f].data, size);
        free(data);
    }
}

/* Every file in turn, the weights every second time. */
static void damaged_folders_are_refused_or_the_same(void **state)
{
    const struct export_world *w = *state;
    struct bytes files[FILES];
    write_model(w);
    struct bt_export_model *model = export_world_open(w->model);
    export_folder(model, w->out);
    bt_export_close(model);
    for (size_t f = 0; f < FILES; f++)
        files[f].data = test_read_file(in(w->out, names[f]), &files[f].size);
    struct bt_loaded_model *whole = export_world_load(w->out);
    struct subject s = {w->out, w->again, export_folder, compare_folder, whole, files, 0, 0};
    judge(&s);
    assert_int_equal(s.same, 1);
    for (int i = 0; i < ROUNDS; i++) {
        const size_t f = i % 2 ? 0 : (size_t)(i / 2) % FILES;
        const struct bytes damaged = damaged_copy(&files[f], bt_rng_key((uint64_t)i, "folder"));
        test_write_file(in(w->out, names[f]), damaged.data, damaged.size);
        judge(&s);
        test_write_file(in(w->out, names[f]), files[f].data, files[f].size);
        free(damaged.data);
    }
    report("packed folder", &s);
    assert_int_equal(s.refused + s.same, ROUNDS + 1);
    bt_model_unload(whole);
    for (size_t f = 0; f < FILES; f++)
        free(files[f].data);
}

/* What the sentence says: the file, and how a change on purpose is taken. */
static void a_changed_file_is_named_and_can_be_taken(void **state)
{
    const struct export_world *w = *state;
    struct bt_diag diag = {0};
    write_model(w);
    export_world_export(w->model, w->out, &packed);
    test_write_file(in(w->out, "generation_config.json"), "{\"eos_token_id\": 3}", 19);
    export_world_refused(w->out, "/generation_config.json: the file is damaged or was changed",
                         "after a change on purpose, delete its line there");
    TEST_OK(bt_dir_remove(in(w->out, BT_CHECKSUMS_FILE), &diag), diag);
    test_write_file(in(w->out, BT_CHECKSUMS_FILE), "{}", 2);
    bt_model_unload(export_world_load(w->out));
    test_write_file(in(w->out, BT_CHECKSUMS_FILE), "{\"../x\": \"0123456789abcdef\"}", 28);
    export_world_refused(w->out, BT_CHECKSUMS_FILE, "in the same folder");
    test_write_file(in(w->out, BT_CHECKSUMS_FILE), "[]", 2);
    export_world_refused(w->out, BT_CHECKSUMS_FILE, "an object was expected");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_gguf_files_are_refused_or_the_same),
        cmocka_unit_test(damaged_folders_are_refused_or_the_same),
        cmocka_unit_test(a_changed_file_is_named_and_can_be_taken),
    };
    return cmocka_run_group_tests(tests, export_world_setup, export_world_teardown);
}
