/* Teachers in folders: mapped or read, found fit or refused. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "train/teaching.h"

static const struct bt_shape student = {.vocab = 32,
                                        .hidden = 16,
                                        .ffn = 24,
                                        .layers = 2,
                                        .heads = 4,
                                        .kv_heads = 2,
                                        .head_dim = 4,
                                        .eps = 1e-5f,
                                        .sub_norm = true,
                                        .rope = {.theta = 10000.0}};

struct numbers {
    int vocab, hidden, layers, heads, kv_heads;
    const char *more; /* of config.json */
};

static const struct numbers fit = {32, 16, 2, 4, 2, ""};

/* A folder with a random model of these numbers. */
static const char *make_folder(const char *name, struct numbers n)
{
    struct bt_diag diag = {0};
    struct bt_loaded_model *model = NULL;
    const char *folder = test_format("%s/%s", test_dir, name);
    const char *config = test_format("%s/%s.json", test_dir, name);
    const char *text =
        test_format("{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": %d, "
                    "\"hidden_size\": %d, \"intermediate_size\": 24, \"num_hidden_layers\": %d, "
                    "\"num_attention_heads\": %d, \"num_key_value_heads\": %d, \"head_dim\": 4, "
                    "\"hidden_act\": \"silu\", \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, "
                    "\"max_position_embeddings\": 64, \"tie_word_embeddings\": false%s}",
                    n.vocab, n.hidden, n.layers, n.heads, n.kv_heads, n.more);
    test_write_file(config, text, strlen(text));
    TEST_OK(bt_model_random(config, 3, &model, &diag), diag);
    TEST_OK(bt_dir_make(folder, &diag), diag);
    TEST_OK(
        bt_model_write(folder, model->config, &model->params, model->weights, &model->config->marks, NULL, NULL, &diag),
        diag);
    bt_model_unload(model);
    return folder;
}

static void same_values(const struct bt_loaded_model *a, const struct bt_loaded_model *b)
{
    assert_int_equal(a->params.count, b->params.count);
    for (size_t i = 0; i < a->params.count; i++)
        assert_memory_equal(a->values + a->params.list[i].offset, b->values + b->params.list[i].offset,
                            a->params.list[i].count * sizeof(float));
}

static void floats_of_one_file_are_mapped(void **state)
{
    (void)state;
    struct bt_diag diag = {0};
    struct bt_loaded_model *loaded = NULL, *mapped = NULL;
    const char *folder = make_folder("mapped", fit);
    TEST_OK(bt_model_load(folder, &loaded, &diag), diag);
    TEST_OK(bt_model_map(folder, &mapped, &diag), diag);
    assert_true(mapped->mapped && !mapped->weights && mapped->values);
    assert_true(!loaded->mapped && loaded->values == loaded->weights);
    same_values(mapped, loaded);
    bt_model_unload(loaded);
    bt_model_unload(mapped);
}

/* Halves, and floats in several files, are read into memory. */
static void other_forms_are_read(void **state)
{
    static const char *const folders[] = {"data/models/stories260K-bf16", "data/models/stories260K-f16-sharded"};
    (void)state;
    for (size_t i = 0; i < BT_ARRAY_LEN(folders); i++) {
        struct bt_diag diag = {0};
        struct bt_loaded_model *loaded = NULL, *mapped = NULL;
        const char *folder = test_shared(folders[i]);
        TEST_OK(bt_model_load(folder, &loaded, &diag), diag);
        TEST_OK(bt_model_map(folder, &mapped, &diag), diag);
        assert_true(!mapped->mapped && mapped->weights && mapped->values == mapped->weights);
        same_values(mapped, loaded);
        bt_model_unload(loaded);
        bt_model_unload(mapped);
    }
}

static struct bt_cfg_train_stage stage_of(bool hidden, bool relation)
{
    struct bt_cfg_train_stage stage = {.present = true};
    stage.losses.logits.present = true;
    stage.losses.logits.temperature = 2.0;
    stage.losses.hidden.present = hidden;
    stage.losses.hidden.layer_weights.name = BT_LAYERS_PROGRESSIVE;
    stage.losses.relation.present = relation;
    stage.losses.relation.layer = -1;
    stage.losses.relation.split_heads = 2;
    stage.losses.relation.temperature = 1.0;
    return stage;
}

static enum bt_err try_open(const struct bt_cfg_train_stage *stage, const char *folder, struct bt_teaching *t,
                            struct bt_diag *diag)
{
    return bt_teaching_open(stage, BT_STAGE3, &student, folder, NULL, true, t, diag);
}

static void expect_refusal(const struct bt_cfg_train_stage *stage, const char *folder, enum bt_err want,
                           const char *sentence)
{
    struct bt_teaching t = {0};
    struct bt_diag diag = {0};
    assert_int_equal(try_open(stage, folder, &t, &diag), want);
    if (!strstr(diag.text, sentence))
        fail_msg("got: %s\nwant: %s", diag.text, sentence);
}

static void teachers_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct bt_cfg_train_stage plain = stage_of(false, false), hidden = stage_of(true, false);
    struct bt_cfg_train_stage relation = stage_of(false, true);
    expect_refusal(&plain, test_format("%s/nowhere", test_dir), BT_EINPUT, "nowhere");
    expect_refusal(&plain, make_folder("words", (struct numbers){40, 16, 2, 4, 2, ""}), BT_EINPUT,
                   "the teacher has a vocabulary of 40 tokens, the model one of 32");
    const char *wide = make_folder("wide", (struct numbers){32, 20, 2, 4, 2, ""});
    const char *deep = make_folder("deep", (struct numbers){32, 16, 3, 4, 2, ""});
    const char *heads = make_folder("heads", (struct numbers){32, 16, 2, 2, 2, ""});
    expect_refusal(
        &hidden, wide, BT_EINPUT,
        "the teacher has 2 blocks of width 20, the model 2 of width 16; stage3.losses.hidden needs them equal");
    expect_refusal(&hidden, deep, BT_EINPUT, "the teacher has 3 blocks of width 16");
    expect_refusal(&relation, heads, BT_EINPUT,
                   "the teacher has 2 heads and 2 for keys and values, the model 4 and 2; "
                   "stage3.losses.attention_relation needs them equal in the form equation");
    relation.losses.relation.layer = 2;
    expect_refusal(&relation, deep, BT_EUSAGE,
                   "stage3.losses.attention_relation.layer: found 2, the model has 2 blocks");
    relation.losses.relation.layer = -3;
    expect_refusal(&relation, deep, BT_EUSAGE, "found -3, the model has 2 blocks");
    relation.losses.relation.layer = 0;
    relation.losses.relation.form = BT_RELATION_ALGORITHM;
    relation.losses.relation.split_heads = 3;
    expect_refusal(&relation, heads, BT_EUSAGE,
                   "split_heads: 3 does not divide the 16 channels of Q and the 8 of K and V of the model");
    hidden.losses.hidden.layer_weights = (struct bt_cfg_name_or_list){BT_LAYERS_LIST, (double[]){1, 2, 3}, 3};
    expect_refusal(&hidden, make_folder("fit", fit), BT_EUSAGE,
                   "stage3.losses.hidden.layer_weights: found 3 numbers, the model has 2 blocks");
    hidden.losses.hidden.layer_weights = (struct bt_cfg_name_or_list){BT_LAYERS_LIST, (double[]){0, 0}, 2};
    expect_refusal(&hidden, test_format("%s/fit", test_dir), BT_EUSAGE, "they are all 0");
    const char *ternary = make_folder("ternary", (struct numbers){32, 16, 2, 4, 2,
                                                                  ", \"bitnet_train\": {\"weights\": \"ternary\", "
                                                                  "\"activations\": \"int8\", \"exclude_layers\": [], "
                                                                  "\"lambda\": 1.0}"});
    expect_refusal(&plain, ternary, BT_EINPUT, "the teacher is a quantised BitNet model, expected a float one");
}

/* Terms that need less take teachers of other shapes. */
static void other_shapes_may_teach(void **state)
{
    (void)state;
    struct bt_teaching t = {0};
    struct bt_diag diag = {0};
    struct bt_cfg_train_stage plain = stage_of(false, false), relation = stage_of(false, true);
    const char *large = make_folder("large", (struct numbers){32, 40, 5, 10, 5, ""});
    TEST_OK(try_open(&plain, large, &t, &diag), diag);
    assert_int_equal(t.blocks, 5);
    bt_teaching_close(&t);
    relation.losses.logits.present = false;
    relation.losses.relation.form = BT_RELATION_ALGORITHM;
    relation.losses.relation.layer = -2;
    TEST_OK(try_open(&relation, large, &t, &diag), diag);
    assert_true(t.layer == 0 && t.teacher_layer == 3 && t.blocks == 4); /* no block that no term needs */
    assert_true(bt_teaching_options(&t, 1, 8).headless);
    bt_teaching_close(&t);
}

static void layer_weights_sum_to_one(void **state)
{
    static const double want[][2] = {{0.5, 0.5}, {1.0 / 3.0, 2.0 / 3.0}, {1.0 / 3.0, 2.0 / 3.0}, {0.25, 0.75}};
    (void)state;
    struct bt_cfg_train_stage stage = stage_of(true, false);
    const char *folder = make_folder("layers", fit);
    double list[] = {1.0, 3.0};
    for (unsigned i = 0; i <= BT_LAYERS_LIST; i++) {
        struct bt_teaching t = {0};
        struct bt_diag diag = {0};
        stage.losses.hidden.layer_weights = (struct bt_cfg_name_or_list){i, list, 2};
        TEST_OK(try_open(&stage, folder, &t, &diag), diag);
        for (size_t l = 0; l < 2; l++)
            assert_true(fabs(t.layer_weights[l] - want[i][l]) <= 1e-15);
        bt_teaching_close(&t);
    }
}

/* Another value or another config.json is another teacher. */
static void a_hash_tells_teachers_apart(void **state)
{
    (void)state;
    struct bt_teaching t = {0};
    struct bt_diag diag = {0};
    uint64_t hash[3], bytes = 0;
    struct bt_cfg_train_stage stage = stage_of(false, false);
    const char *folder = make_folder("hash", fit);
    for (int i = 0; i < 3; i++) {
        const char *file = test_format("%s/%s", folder, i == 1 ? "model.safetensors" : "config.json");
        size_t size;
        unsigned char *content = test_read_file(file, &size);
        if (i == 1)
            content[size - 2] ^= 1;
        else if (i == 2)
            content[size - 1] = ' '; /* the newline at its end */
        test_write_file(file, content, size);
        free(content);
        TEST_OK(try_open(&stage, folder, &t, &diag), diag);
        TEST_OK(bt_teaching_hash(&t, &hash[i], &bytes, &diag), diag);
        bt_teaching_close(&t);
    }
    assert_true(hash[0] != hash[1] && hash[1] != hash[2] && hash[0] != hash[2] && bytes > 1000);
}

static enum bt_err open_and_close(void *context)
{
    struct bt_teaching t = {0};
    struct bt_diag diag;
    const struct bt_cfg_train_stage stage = stage_of(true, true);
    const enum bt_err err = try_open(&stage, context, &t, &diag);
    bt_teaching_close(&t);
    return err;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", make_folder("allocations", fit));
    test_every_allocation_fails(open_and_close, folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(floats_of_one_file_are_mapped, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(other_forms_are_read, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(teachers_that_do_not_fit_are_refused, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(other_shapes_may_teach, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(layer_weights_sum_to_one, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(a_hash_tells_teachers_apart, test_dir_setup, test_dir_teardown),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, test_dir_setup, test_dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
