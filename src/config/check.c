#include "config/check.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int64_t bt_schedule_decay_updates(const struct bt_cfg_scheduler_keys *scheduler, int64_t n)
{
    return (int64_t)rint((double)n * scheduler->decay_ratio);
}

enum bt_err bt_check_schedule(const struct bt_cfg_scheduler_keys *scheduler, int64_t updates, const char *stage,
                              struct bt_diag *diag)
{
    const int64_t warmup = scheduler->warmup_steps;
    if (warmup >= updates)
        return bt_fail(diag, BT_EUSAGE,
                       "%s.scheduler.warmup_steps: the warm-up of %" PRId64 " updates does not end before the stage, "
                       "which has %" PRId64,
                       stage, warmup, updates);
    if (scheduler->type != BT_SCHEDULE_WSD)
        return BT_OK;
    const int64_t decay = bt_schedule_decay_updates(scheduler, updates);
    if (!decay)
        return bt_fail(diag, BT_EUSAGE,
                       "%s.scheduler.decay_ratio: %g of %" PRId64 " updates is no update; type wsd needs at least one "
                       "(type constant has no decay)",
                       stage, scheduler->decay_ratio, updates);
    if (updates - decay < warmup)
        return bt_fail(diag, BT_EUSAGE,
                       "%s.scheduler.warmup_steps: the warm-up of %" PRId64
                       " updates runs into the decay, which begins "
                       "after update %" PRId64 " of %" PRId64,
                       stage, warmup, updates - decay, updates);
    return BT_OK;
}

enum bt_err bt_check_lambda_warmup(const struct bt_cfg_lambda_warmup *warmup, int64_t updates, const char *stage,
                                   struct bt_diag *diag)
{
    if (warmup->enabled && warmup->warmup_steps >= updates)
        return bt_fail(diag, BT_EUSAGE,
                       "%s.lambda_warmup.warmup_steps: the warm-up of %" PRId64
                       " updates does not end before the stage, "
                       "which has %" PRId64,
                       stage, warmup->warmup_steps, updates);
    return BT_OK;
}

static enum bt_err check_term_weight(const struct bt_cfg_term_weight *weight, int64_t updates, const char *stage,
                                     const char *term, struct bt_diag *diag)
{
    if (weight->kind == BT_WEIGHT_SCHEDULE && weight->warmup_steps > updates - 2)
        return bt_fail(diag, BT_EUSAGE,
                       "%s.losses.%s.weight: after a warm-up of %" PRId64
                       " updates the weight has no time to move in a "
                       "stage of %" PRId64,
                       stage, term, weight->warmup_steps, updates);
    if (weight->kind == BT_WEIGHT_BALANCE && weight->at >= updates)
        return bt_fail(diag, BT_EUSAGE,
                       "%s.losses.%s.weight: the weight would be found at update %" PRId64
                       ", but the stage has %" PRId64,
                       stage, term, weight->at, updates);
    return BT_OK;
}

enum bt_err bt_check_losses(const struct bt_cfg_losses *losses, int64_t updates, const char *stage,
                            struct bt_diag *diag)
{
    const struct {
        bool present;
        const struct bt_cfg_term_weight *weight;
        const char *name;
    } terms[] = {
        {losses->cross_entropy.present, &losses->cross_entropy.weight, "cross_entropy"},
        {losses->logits.present, &losses->logits.weight, "logits"},
        {losses->hidden.present, &losses->hidden.weight, "hidden"},
        {losses->relation.present, &losses->relation.weight, "attention_relation"},
    };
    enum bt_err err = BT_OK;
    for (size_t i = 0; i < sizeof terms / sizeof *terms && !err; i++)
        if (terms[i].present)
            err = check_term_weight(terms[i].weight, updates, stage, terms[i].name, diag);
    return err;
}

struct checker {
    const struct bt_train_config *config;
    const struct bt_yaml_node *root;
    const char *what;
    struct bt_diag *diag;
};

/* Where the key "a.b.c" stands: its own place, or that of the innermost section around it that is given. */
static struct bt_yaml_place place_of(const struct checker *c, const char *path)
{
    const struct bt_yaml_node *node = c->root, *found = NULL;
    struct bt_yaml_place place;
    while (node && node->kind == BT_YAML_MAPPING && *path) {
        char name[64];
        const size_t length = strcspn(path, ".");
        if (length >= sizeof name)
            break;
        memcpy(name, path, length);
        name[length] = 0;
        if ((node = bt_yaml_find(node, name)))
            found = node;
        path += length + (path[length] == '.');
    }
    if (found)
        return bt_yaml_key_place(found);
    snprintf(place.text, sizeof place.text, "%.240s", c->what);
    return place;
}

/* "run.yaml:12:5: why", with the place of the key `at`. */
static enum bt_err refuse(const struct checker *c, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static enum bt_err refuse(const struct checker *c, const char *at, const char *format, ...)
{
    char why[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    return bt_fail(c->diag, BT_EUSAGE, "%s: %s", place_of(c, at).text, why);
}

static bool runs(const struct bt_train_config *config, enum bt_stage_id stage)
{
    for (size_t i = 0; i < config->stage_count; i++)
        if (config->stages[i] == stage)
            return true;
    return false;
}

static enum bt_err check_name(const struct checker *c)
{
    const char *name = c->config->name;
    if (strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
        return refuse(c, "name", "name: found \"%.200s\", expected the plain name of a folder", name);
    return BT_OK;
}

static enum bt_err check_model(const struct checker *c)
{
    if (c->config->model_path && c->config->model_config)
        return refuse(c, "model.config", "model: found both \"path\" and \"config\", expected exactly one of the two");
    if (!c->config->model_path && !c->config->model_config)
        return refuse(c, "model", "model: missing \"path\" (a model folder) or \"config\" (a config.json)");
    return BT_OK;
}

/* A fault of one of the functions above, with its place. */
static enum bt_err with_place(const struct checker *c, enum bt_err err, const struct bt_diag *why)
{
    char key[128];
    if (!err)
        return BT_OK;
    snprintf(key, sizeof key, "%.*s", (int)strcspn(why->text, ":"), why->text);
    return refuse(c, key, "%s", why->text);
}

static enum bt_err check_length(const struct checker *c, const struct bt_cfg_train_stage *s, const char *stage)
{
    char key[64];
    snprintf(key, sizeof key, "%s.total_tokens", stage);
    if (s->max_steps && s->total_tokens)
        return refuse(c, key, "%s: found both \"max_steps\" and \"total_tokens\", expected exactly one of the two",
                      stage);
    if (!s->max_steps && !s->total_tokens)
        return refuse(c, stage, "%s: missing \"max_steps\" or \"total_tokens\"", stage);
    return BT_OK;
}

static enum bt_err check_lambda(const struct checker *c, const struct bt_cfg_train_stage *s, const char *stage)
{
    const struct bt_cfg_lambda_warmup *warmup = &s->lambda_warmup;
    struct bt_diag why = {""};
    char key[64];
    if (s->weights == BT_WEIGHTS_NONE && s->activations == BT_ACTIVATIONS_NONE)
        return BT_OK; /* the float twin of a run keeps the keys, but nothing reads them */
    snprintf(key, sizeof key, "%s.lambda_warmup.min", stage);
    if (warmup->min > warmup->max)
        return refuse(c, key, "%s: found %g, expected at most \"max\", which is %g", key, warmup->min, warmup->max);
    if (!s->max_steps)
        return BT_OK;
    return with_place(c, bt_check_lambda_warmup(warmup, s->max_steps, stage, &why), &why);
}

/* Without teacher.path the teacher is what stage 1 starts from, which must be a folder. */
static bool has_default_teacher(const struct bt_train_config *config)
{
    return runs(config, BT_STAGE1) && (config->model_path || runs(config, BT_STAGE0));
}

static enum bt_err check_teacher(const struct checker *c, enum bt_stage_id id, const struct bt_cfg_train_stage *s)
{
    const struct bt_cfg_losses *l = &s->losses;
    const char *stage = bt_stage_name(id);
    char key[64];
    snprintf(key, sizeof key, "%s.teacher", stage);
    if (!l->logits.present && !l->hidden.present && !l->relation.present)
        return BT_OK;
    if (runs(c->config, id) && !s->teacher.path && !has_default_teacher(c->config))
        return refuse(c, key, "%s: missing \"path\"; only a stage1 that starts from a model folder leaves a teacher",
                      key);
    if (!s->teacher.cache)
        return BT_OK;
    if (l->hidden.present || l->relation.present)
        return refuse(c, key, "%s.cache: it holds logits alone; %s needs the teacher itself", key,
                      l->hidden.present ? "hidden" : "attention_relation");
    return BT_OK;
}

static enum bt_err check_distillation(const struct checker *c, enum bt_stage_id id, const struct bt_cfg_train_stage *s)
{
    const struct bt_cfg_losses *l = &s->losses;
    const char *stage = bt_stage_name(id);
    struct bt_diag why = {""};
    char key[64];
    snprintf(key, sizeof key, "%s.losses", stage);
    if (!l->cross_entropy.present && !l->logits.present && !l->hidden.present && !l->relation.present)
        return refuse(c, key,
                      "%s: found no term, expected at least one of cross_entropy, logits, hidden, "
                      "attention_relation",
                      key);
    if (l->cross_entropy.present && l->cross_entropy.weight.kind == BT_WEIGHT_BALANCE)
        return refuse(c, key,
                      "%s.cross_entropy.weight: the other terms are balanced against it, so it takes a number or "
                      "a schedule",
                      key);
    const enum bt_err err = check_teacher(c, id, s);
    if (err || !s->max_steps)
        return err;
    return with_place(c, bt_check_losses(l, s->max_steps, stage, &why), &why);
}

/* It looks at validations, so there must be some while the stage runs. */
static enum bt_err check_early_stopping(const struct checker *c, enum bt_stage_id id,
                                        const struct bt_cfg_train_stage *s)
{
    char key[64];
    snprintf(key, sizeof key, "%s.early_stopping", bt_stage_name(id));
    if (!s->early_stopping.enabled || !runs(c->config, id))
        return BT_OK;
    if (!bt_train_config_data(c->config, id)->validation_count)
        return refuse(c, key, "%s: missing \"data.validation\", which it looks at", key);
    if (!c->config->logging.eval_interval)
        return refuse(c, key, "%s: logging.eval_interval is 0, so there would be nothing to look at before the end",
                      key);
    return BT_OK;
}

static enum bt_err check_train_stage(const struct checker *c, enum bt_stage_id id, const struct bt_cfg_train_stage *s)
{
    const char *stage = bt_stage_name(id);
    struct bt_diag why = {""};
    enum bt_err err;
    if (!s->present && runs(c->config, id))
        return refuse(c, "stages", "missing section \"%s\", which \"stages\" asks for", stage);
    if (!s->present)
        return BT_OK;
    if ((err = check_length(c, s, stage)) || (err = check_lambda(c, s, stage)) ||
        (err = check_early_stopping(c, id, s)))
        return err;
    if (bt_stage_distils(id) && (err = check_distillation(c, id, s)))
        return err;
    if (!s->max_steps)
        return BT_OK;
    return with_place(c, bt_check_schedule(&s->scheduler, s->max_steps, stage, &why), &why);
}

/* Keys that only one format has a use for. */
static enum bt_err check_source(const struct checker *c, const char *list, size_t i, const struct bt_cfg_source *s)
{
    char at[96];
    snprintf(at, sizeof at, "%s[%zu]", list, i);
    if (s->key && s->format != BT_CFG_JSONL)
        return refuse(c, list, "%s.key: only format: jsonl has keys; remove it, or set the format", at);
    if (s->chat_format && s->format != BT_CFG_JSONL)
        return refuse(c, list, "%s.chat_format: only format: jsonl has examples; remove it, or set the format", at);
    if (s->chat_format && s->key)
        return refuse(c, list, "%s.chat_format: with a key the lines are texts, not examples; remove one of the two",
                      at);
    if (s->separator && s->format != BT_CFG_TEXT)
        return refuse(c, list, "%s.separator: only format: text has lines that separate; remove it, or set the format",
                      at);
    if (s->separator && (!*s->separator || strchr(s->separator, '\n')))
        return refuse(c, list, "%s.separator: expected the text of one line", at);
    return BT_OK;
}

static enum bt_err check_sources(const struct checker *c, const char *section, const struct bt_cfg_data *data)
{
    enum bt_err err = BT_OK;
    char list[64];
    snprintf(list, sizeof list, "%s.train", section);
    for (size_t i = 0; !err && i < data->train_count; i++)
        err = check_source(c, list, i, &data->train[i]);
    snprintf(list, sizeof list, "%s.validation", section);
    for (size_t i = 0; !err && i < data->validation_count; i++)
        err = check_source(c, list, i, &data->validation[i]);
    return err;
}

static enum bt_err check_all_sources(const struct checker *c)
{
    enum bt_err err = check_sources(c, "data", &c->config->data);
    for (int i = 0; !err && i < BT_STAGE_COUNT; i++) {
        const struct bt_cfg_train_stage *section = bt_train_config_stage(c->config, (enum bt_stage_id)i);
        char name[32];
        snprintf(name, sizeof name, "%s.data", bt_stage_name((enum bt_stage_id)i));
        if (section && section->has_data)
            err = check_sources(c, name, &section->data);
    }
    return err;
}

static bool needs_data(const struct bt_train_config *config, enum bt_stage_id stage)
{
    if (stage == BT_STAGE1)
        return config->stage1.insert_subln && config->stage1.subln_init == BT_SUBLN_CALIBRATED;
    return true;
}

static enum bt_err check_data(const struct checker *c)
{
    enum bt_err err = check_all_sources(c);
    if (err)
        return err;
    for (size_t i = 0; i < c->config->stage_count; i++) {
        const enum bt_stage_id stage = c->config->stages[i];
        if (!needs_data(c->config, stage) || bt_train_config_data(c->config, stage)->train_count)
            continue;
        return refuse(c, "data.train", "missing \"data.train\" with at least one source, which %s needs%s",
                      bt_stage_name(stage), stage == BT_STAGE1 ? " (subln_init: calibrated)" : "");
    }
    return BT_OK;
}

enum bt_err bt_check_train_config(const struct bt_train_config *config, const struct bt_yaml_node *root,
                                  const char *what, struct bt_diag *diag)
{
    const struct checker c = {config, root, what, diag};
    enum bt_err err;
    if ((err = check_name(&c)) || (err = check_model(&c)))
        return err;
    for (unsigned id = 0; id < BT_STAGE_COUNT; id++) {
        const struct bt_cfg_train_stage *section = bt_train_config_stage(config, (enum bt_stage_id)id);
        if (section && (err = check_train_stage(&c, (enum bt_stage_id)id, section)))
            return err;
    }
    return check_data(&c);
}
