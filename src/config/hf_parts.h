/* config/hf_parts.h - the parts of reading a config.json, shared by the files hf_*.c and by nobody else. Each notes its
 * faults in `f` and fills the fields that its name says. */
#ifndef BT_CONFIG_HF_PARTS_H
#define BT_CONFIG_HF_PARTS_H

#include "config/hf_config.h"
#include "config/hf_fields.h"

struct bt_hf_family { /* what a family's class in transformers assumes where a key is absent */
    const char *name, *class_name;
    double rms_norm_eps, rope_theta;
    int64_t bos_token_id, eos_token_id;
};
extern const struct bt_hf_family bt_hf_families[BT_FAMILY_COUNT];

/* "bitnet_qwen2" and "BitNetQwen2ForCausalLM", or without `prefix` the family's own. */
struct bt_hf_class {
    char model_type[32], class_name[48];
};
struct bt_hf_class bt_hf_class_of(enum bt_family family, bool prefix);

void bt_hf_read_rope(const struct bt_hf_fields *f, struct bt_hf_config *config);   /* after max_position_embeddings */
void bt_hf_read_window(const struct bt_hf_fields *f, struct bt_hf_config *config); /* after num_hidden_layers */
/* quantization_config and bitnet_train; after rms_norm_eps. */
void bt_hf_read_quantization(const struct bt_hf_fields *f, struct bt_hf_config *config);

#endif
