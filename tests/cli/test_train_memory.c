/* The plan of --dry-run against what a run takes, with and without activation_checkpointing. */
#include "train_world.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static struct train_world world;

/* What a block saves is most of the memory, as in large models, and all of it is much more than the program. */
static const char model_config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_size\": 128,\n"
    " \"intermediate_size\": 512, \"num_hidden_layers\": 12, \"num_attention_heads\": 4, \"num_key_value_heads\": 2,\n"
    " \"vocab_size\": 64, \"max_position_embeddings\": 512, \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0,\n"
    " \"hidden_act\": \"silu\", \"tie_word_embeddings\": true, \"bos_token_id\": 1, \"eos_token_id\": 1}\n";

static const char run_config[] = "name: a\n"
                                 "stages: [stage2]\n"
                                 "model: {config: tiny/config.json}\n"
                                 "data: {train: [{path: train.bin}], max_seq_length: 512}\n"
                                 "stage2: {max_steps: 1, batch_size: 8, lambda_warmup: {enabled: false},\n"
                                 "  scheduler: {type: constant, warmup_steps: 0}}\n"
                                 "logging: {log_interval: 1}\n"
                                 "compute: {threads: 2}\n";

static double planned_mb(const char *set)
{
    WORLD_RUN_WITH(&world, "--dry-run", set);
    world_expect(&world, 0);
    const char *at = strstr(world.output.out, "peak memory");
    char *unit;
    assert_non_null(at);
    const double number = strtod(at + strlen("peak memory"), &unit);
    assert_int_equal(strncmp(unit, " MB", 3), 0);
    return number;
}

/* Of the largest child so far, so runs come in the order of their size. */
static double used_mb(const char *set)
{
    struct rusage usage;
    WORLD_RUN_WITH(&world, set);
    world_expect(&world, 0);
    assert_int_equal(getrusage(RUSAGE_CHILDREN, &usage), 0);
    return 1024.0 * (double)usage.ru_maxrss / 1e6;
}

static double check_plan(const char *set)
{
    const double planned = planned_mb(set), used = used_mb(set);
    print_message("%s: planned %.1f MB, used %.1f MB\n", set, planned, used);
    assert_true(used <= planned && used >= 0.95 * planned);
    return used;
}

/* The same records and weights too. */
static void a_run_stays_inside_its_plan(void **state)
{
    (void)state;
    if (TEST_IS_SLOW) {
        print_message("skipped: a sanitizer takes memory of its own\n");
        skip();
    }
    world_write(&world, "tiny/config.json", model_config);
    world_write(&world, "run.yaml", run_config);
    const double less = check_plan("--set=stage2.activation_checkpointing=true");
    char *files = world_listing(&world, "runs/a/stage2/model", true),
         *records = world_records(&world, "runs/a", "train");
    world_remove(&world, "runs");
    const double more = check_plan("--set=stage2.activation_checkpointing=false");
    char *plain_files = world_listing(&world, "runs/a/stage2/model", true);
    char *plain_records = world_records(&world, "runs/a", "train");
    assert_true(less < 0.4 * more);
    assert_string_equal(files, plain_files);
    assert_string_equal(records, plain_records);
    free(files);
    free(records);
    free(plain_files);
    free(plain_records);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_stays_inside_its_plan),
    };
    world_make(&world, argc, argv);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_finish(&world);
    return failed;
}
